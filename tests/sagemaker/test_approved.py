"""From the registry to a model folder: only what was approved, and only a whole model."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from infra.preflight import Account, ReleaseError
from infra.sagemaker import approved
from infra.sagemaker.container import MODEL_FILES
from lenslet.inference.errors import ArtifactError
from tests.support.endpoint import ROOT

BUCKET = "lenslet-data"

pytestmark = pytest.mark.slow


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    with mock_aws():
        there = Account("123456789012", "eu-central-1", boto3.Session())
        there.client("s3").create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        there.client("sagemaker").create_model_package_group(ModelPackageGroupName="lenslet")
        yield there


def registered(account: Account, without: str = "") -> str:
    """ARN of a package with the shipped model, and a file that has no business in one."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as file:
        for name in MODEL_FILES:
            if name != without:
                file.add(ROOT / "model" / name, arcname=name)
        file.add(ROOT / "README.md", arcname="../escaped.md")
    account.client("s3").put_object(Bucket=BUCKET, Key="model.tar.gz", Body=archive.getvalue())
    arn: str = account.client("sagemaker").create_model_package(
        ModelPackageGroupName="lenslet",
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [{"Image": "image", "ModelDataUrl": f"s3://{BUCKET}/model.tar.gz"}],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        CustomerMetadataProperties={"accuracy": "0.9462"},
    )["ModelPackageArn"]
    return arn


def approve(account: Account, package: str) -> None:
    # moto forgets the properties unless they are given again.
    account.client("sagemaker").update_model_package(
        ModelPackageArn=package,
        ModelApprovalStatus="Approved",
        CustomerMetadataProperties={"accuracy": "0.9462"},
    )


def test_approved_model_is_fetched(account: Account, tmp_path: Path) -> None:
    package = registered(account)
    with pytest.raises(ReleaseError, match="is PendingManualApproval, not Approved"):
        approved.fetch(account, package, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    approve(account, package)
    approved.fetch(account, package, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out" / "model").iterdir()) == sorted(MODEL_FILES)
    for name in MODEL_FILES:
        assert (tmp_path / "out" / "model" / name).read_bytes() == (ROOT / "model" / name).read_bytes()
    assert "| accuracy | 0.9462 |" in (tmp_path / "out" / "body.md").read_text()
    assert not list(tmp_path.rglob("escaped.md"))


def test_model_that_is_not_whole_is_refused(account: Account, tmp_path: Path) -> None:
    package = registered(account)
    approve(account, package)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as file:
        for name in MODEL_FILES:
            file.add(ROOT / "model" / ("model.json" if name == "model.tflite" else name), arcname=name)
    account.client("s3").put_object(Bucket=BUCKET, Key="model.tar.gz", Body=archive.getvalue())
    with pytest.raises(ArtifactError):
        approved.fetch(account, package, tmp_path / "out")


@pytest.mark.parametrize(
    "package",
    ["", "lenslet/3", "arn:aws:sagemaker:eu-central-1:123456789012:model-package/others/3"],
)
def test_package_of_another_group_is_refused(account: Account, tmp_path: Path, package: str) -> None:
    with pytest.raises(ReleaseError, match="is no version of the model group lenslet"):
        approved.fetch(account, package, tmp_path)

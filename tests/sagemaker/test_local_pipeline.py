"""Every step of the SageMaker pipeline, really run by the SDK's local mode on photos from moto's S3."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra import snapshot
from lenslet.inference.artifact import read_artifact
from tests.support.endpoint import ROOT
from tests.support.sagemaker_sdk import BUCKET, SDK, client, sagemaker_environment

# The head alone, on the network that is in git: seconds instead of minutes.
GOOD = {
    "Weights": "model/model.keras",
    "Settings": "train.fine_tune.epochs=0 train.head.epochs=10 evaluate.corruption_photos=0 "
    "convert.explanation_photos=2 convert.precisions=[float16]",
}
# One epoch of three convolutions.
BAD = {
    "Backbone": "small_cnn",
    "Weights": "none",
    "Settings": "train.image_size=64 train.fine_tune.epochs=1 train.fine_tune.min_steps_per_epoch=1 "
    "evaluate.corruption_photos=0 convert.explanation_photos=0 convert.precisions=[float16]",
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("the stand-in for docker needs root and unshare")
    with sagemaker_environment(tmp_path_factory.mktemp("sagemaker")) as environment:
        yield environment


def run(environment: dict[str, str], **parameters: object) -> dict[str, Any]:
    done = subprocess.run(
        [SDK, ROOT / "tests" / "sagemaker" / "run_local.py", BUCKET, json.dumps(parameters)],
        env=environment, capture_output=True, text=True, cwd=environment["HOME"],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**said, "log": done.stdout + done.stderr}


def test_good_model_is_registered_and_another_is_refused(cloud: dict[str, str], tmp_path: Path) -> None:
    s3, registry = client("s3", cloud), client("sagemaker", cloud)
    registry.create_model_package_group(ModelPackageGroupName="lenslet")  # as infra/training.yaml does
    data = snapshot.keep(s3, ROOT / "data" / "sample", BUCKET)

    passed = run(cloud, **GOOD, DataUri=data, MinimumAccuracy=0.7)
    assert passed["status"] == "Succeeded", passed["log"][-4000:]
    assert passed["steps"] == dict.fromkeys(
        ("Prepare", "Train", "Convert", "Evaluate", "Gate", "Register"), "Succeeded"
    )
    [package] = registry.list_model_packages(ModelPackageGroupName="lenslet")["ModelPackageSummaryList"]
    about = registry.describe_model_package(ModelPackageName=package["ModelPackageArn"])
    assert about["ModelApprovalStatus"] == "PendingManualApproval"
    properties = about["CustomerMetadataProperties"]
    assert float(properties["accuracy"]) >= 0.7 and properties["data"] == data
    for address in (
        about["InferenceSpecification"]["Containers"][0]["ModelDataUrl"],
        about["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"],
        properties["model_card"],
    ):
        bucket, _, key = address.removeprefix("s3://").partition("/")
        assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] > 0
    registry.update_model_package(ModelPackageArn=package["ModelPackageArn"], ModelApprovalStatus="Approved")
    fetched = subprocess.run(
        [sys.executable, "-m", "infra.sagemaker.approved", package["ModelPackageArn"], tmp_path / "candidate"],
        env={**os.environ, **cloud}, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert fetched.returncode == 0, fetched.stderr
    # What a release goes by is in it.
    figures = read_artifact(tmp_path / "candidate" / "model").metrics["test"]
    assert f"{figures['accuracy']:.4f}" == properties["accuracy"]

    refused = run(cloud, **BAD, DataUri=data, MinimumAccuracy=0.7)
    assert refused["steps"]["Evaluate"] == "Succeeded" and "Register" not in refused["steps"]
    assert refused["status"] == "Failed"
    assert len(registry.list_model_packages(ModelPackageGroupName="lenslet")["ModelPackageSummaryList"]) == 1

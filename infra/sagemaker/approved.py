"""The model of an approved package of the registry, as a model folder and the text of its pull request.

    python -m infra.sagemaker.approved arn:aws:sagemaker:…:model-package/lenslet/3 candidate

Writes candidate/model and candidate/body.md. Exit code 2 with a sentence if the package is not approved, is of another
group, or holds no whole model.
"""

import argparse
import re
import sys
import tarfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.preflight import Account, ReleaseError, find_account
from infra.sagemaker.container import MODEL_FILES
from lenslet.inference.artifact import read_artifact, read_model
from lenslet.inference.errors import ArtifactError

PACKAGE = re.compile(r"arn:aws[\w-]*:sagemaker:[a-z0-9-]+:\d{12}:model-package/lenslet/\d+")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m infra.sagemaker.approved", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("package", help="ARN of a version in the group lenslet")
    parser.add_argument("out", type=Path, help="folder to write")
    arguments = parser.parse_args(argv)
    try:
        fetch(find_account(), arguments.package, arguments.out)
    except (ReleaseError, ArtifactError, BotoCoreError, ClientError, OSError, tarfile.TarError) as error:
        print(f"infra.sagemaker.approved: {error}", file=sys.stderr)
        return 2
    return 0


def fetch(account: Account, package: str, out: Path) -> None:
    """Raises: ReleaseError, ArtifactError if the model is not whole."""
    if not PACKAGE.fullmatch(package):
        raise ReleaseError(f"{package!r} is no version of the model group lenslet")
    about = account.client("sagemaker").describe_model_package(ModelPackageName=package)
    if about["ModelApprovalStatus"] != "Approved":
        raise ReleaseError(f"{package} is {about['ModelApprovalStatus']}, not Approved")
    address = about["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]
    bucket, _, key = address.removeprefix("s3://").partition("/")
    archive = account.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    extract(archive, out / "model")
    read_model(out / "model", read_artifact(out / "model"))
    (out / "body.md").write_text(description(about), encoding="utf-8")


def extract(archive: bytes, folder: Path) -> None:
    """The model's files alone, by name: an archive may hold anything."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=BytesIO(archive), mode="r:gz") as file:
        for name in MODEL_FILES:
            if (member := file.extractfile(name)) is not None:
                (folder / name).write_bytes(member.read())


def description(about: Mapping[str, Any]) -> str:
    figures = about.get("CustomerMetadataProperties", {})
    rows = "\n".join(f"| {name} | {value} |" for name, value in figures.items())
    return (
        f"Approved in SageMaker's registry: `{about['ModelPackageArn']}`, trained by the pipeline in infra/sagemaker/. "
        f"Merging this releases the model, first to staging.\n\n| | |\n| --- | --- |\n{rows}\n"
    )


if __name__ == "__main__":
    sys.exit(main())

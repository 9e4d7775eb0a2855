"""The SageMaker SDK in its own environment, before a moto of its own, with a stand-in for docker."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.support.aws import moto_server
from tests.support.endpoint import ROOT

SDK = ROOT / ".venv-sagemaker" / "bin" / "python"
BUCKET = "lenslet-data-123456789012-eu-central-1"


@contextmanager
def sagemaker_environment(folder: Path) -> Iterator[dict[str, str]]:
    """Variables with which the SDK, docker's stand-in and the steps find moto."""
    if not SDK.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("the SDK is missing: make sagemaker")
        pytest.skip("the SDK is missing: make sagemaker")
    docker = folder / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(f'#!/bin/sh\nexec {SDK} {ROOT}/tests/sagemaker/docker_compose.py "$@"\n')
    docker.chmod(0o755)
    with moto_server() as address:
        yield {
            "PATH": f"{docker.parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "PYTHONPATH": str(ROOT),
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "IMAGE_ROOT": str(ROOT),
            "IMAGE_PYTHON": sys.executable,
        }


def client(service: str, environment: dict[str, str]) -> Any:
    """Of moto, with its bucket."""
    made = boto3.client(
        service, endpoint_url=environment["AWS_ENDPOINT_URL"], region_name="eu-central-1",
        aws_access_key_id="id", aws_secret_access_key="secret",
    )  # fmt: skip
    # Servers of one process share their buckets: another module may have made it.
    if service == "s3" and BUCKET not in [each["Name"] for each in made.list_buckets()["Buckets"]]:
        made.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return made

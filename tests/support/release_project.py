"""A copy of the project under git, with a simulated AWS account: for tests of the release commands.

Real are boto3, git, lenslet gate, test.py against lenslet serve, and infra/account.yaml. A stub stands in for
docker, because a build needs an engine: it records what it was told and puts an image into moto's repository, as a
push would. Another stands in for SAM, which takes six seconds a deployment and whose real template moto cannot
make: it makes the stack of a small template with the same parameters and outputs.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests

from tests.support.aws import moto_server
from tests.support.endpoint import ROOT, running

KEY = "a-key-for-tests-of-twenty-characters-or-more"
FUNCTION_KEY = "another-key-of-the-function"
COPIED = (
    "lenslet",
    "infra",
    "bench",
    "model",
    "test.py",
    "params.yaml",
)

# Records its arguments; a push puts an image with the tag into the repository, another for each tag.
DOCKER = """
import hashlib, json, os, sys
with open(os.environ["DOCKER_LOG"], "a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1:3] == ["buildx", "inspect"]:
    print("Platforms: " + os.environ.get("DOCKER_PLATFORMS", "linux/amd64, linux/arm64"))
elif sys.argv[1] == "login":
    sys.exit(not sys.stdin.read())
elif sys.argv[1:3] == ["buildx", "build"]:
    if os.environ.get("DOCKER_FAILS"):
        sys.exit("no space left on device")
    import boto3
    repository, tag = sys.argv[sys.argv.index("--tag") + 1].split("/")[1].split(":")
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": {"size": 1, "digest": tag}, "layers": []})
    digest = "sha256:" + hashlib.sha256(manifest.encode()).hexdigest()
    ecr = boto3.client("ecr")
    ecr.put_image(repositoryName=repository, imageTag=tag, imageManifest=manifest, imageDigest=digest)
    ecr.start_image_scan(repositoryName=repository, imageId={"imageDigest": digest})  # as ScanOnPush does
"""

# Creates or updates the stack with plain CloudFormation; parameters that are not given stay, as with SAM.
SAM = """
import boto3, json, os, sys
with open(os.environ["SAM_LOG"], "a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
if os.environ.get("SAM_FAILS"):
    sys.exit("Error: Failed to create/update the stack")
option = lambda name: sys.argv[sys.argv.index(name) + 1]
given = {}
if "--parameter-overrides" in sys.argv:
    for pair in sys.argv[sys.argv.index("--parameter-overrides") + 1:]:
        if pair.startswith("--"):
            break
        name, _, value = pair.partition("=")
        given[name] = json.loads(value)
cloudformation = boto3.client("cloudformation")
name, body = option("--stack-name"), open(option("--template-file")).read()
body = body.replace("RetainExceptOnCreate", "Retain")  # moto knows no other, and would remove the repository
wanted = [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()]
try:
    old = cloudformation.describe_stacks(StackName=name)["Stacks"][0].get("Parameters", [])
except cloudformation.exceptions.ClientError:
    cloudformation.create_stack(StackName=name, TemplateBody=body, Parameters=wanted)
else:
    wanted += [each for each in old if each["ParameterKey"] not in given]
    try:
        cloudformation.update_stack(StackName=name, TemplateBody=body, Parameters=wanted)
    except cloudformation.exceptions.ClientError as error:
        if "No updates" not in str(error):
            raise
"""

# In place of lenslet accept, which has tests of its own: fails where a file says so.
ROBUSTNESS = """
import os, pathlib
def main(argv):
    print("robustness check with", "a key" if os.environ.get("LENSLET_API_KEY") else "no key", *argv)
    return int(pathlib.Path("robustness-fails").exists())
"""

SMALL_TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Description: "%(description)s"
Parameters:
  Stage: {Type: String}
  ImageUri: {Type: String}
  Architecture: {Type: String, Default: x86_64}
  AlarmEmail: {Type: String, Default: ""}
  ApiKeyHashes: {Type: String, Default: ""}
  PermissionsBoundary: {Type: String, Default: ""}
  WithCanary: {Type: String, Default: "true"}
  ReservedConcurrency: {Type: Number, Default: 10}
  ReleasedAt: {Type: String, Default: ""}
Resources:
  Logs: {Type: "AWS::Logs::LogGroup", Properties: {LogGroupName: !Sub "/aws/lambda/lenslet-${Stage}"}}
Outputs:
  Endpoint: {Value: "%(endpoint)s"}
  ApiKeyId: {Value: "%(key)s"}
  HttpEndpoint: {Value: "%(endpoint)s"}
  UploadBucket: {Value: !Sub "lenslet-${Stage}-uploads"}
"""


@dataclass
class Project:
    """A copy of the project under git, with its own PATH and simulated AWS account."""

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str, answer: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "infra.release", *command],
            cwd=self.folder,
            env={**self.environment, **environment},
            input=answer,
            capture_output=True,
            text=True,
        )

    def succeed(self, *command: str, answer: str = "") -> str:
        done = self.run(*command, answer=answer)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def commit(self) -> None:
        """Commit a change, so that the next image is a new one."""
        git(self.folder, "commit", "--quiet", "--allow-empty", "--message", "another")

    def log(self, tool: str) -> list[list[str]]:
        path = self.folder.parent / f"{tool}.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name="eu-central-1",
            aws_access_key_id="id",
            aws_secret_access_key="secret",
        )

    def stacks(self) -> dict[str, dict[str, str]]:
        """Name → parameters."""
        return {
            stack["StackName"]: {
                each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", [])
            }
            for stack in self.client("cloudformation").describe_stacks()["Stacks"]
        }

    def tags(self) -> dict[str, list[str]]:
        """Digest → tags, sorted, the times cut off."""
        details = self.client("ecr").describe_images(repositoryName="lenslet")["imageDetails"]
        return {
            each["imageDigest"]: sorted(re.sub(r"-\d{8}T\d+Z$", "", tag) for tag in each["imageTags"])
            for each in details
        }

    def running(self, stage: str) -> str:
        return self.stacks()[f"lenslet-{stage}"]["ImageUri"].partition("@")[2]


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=nobody", "-c", "user.email=nobody@example.com", *arguments],
        cwd=folder,
        check=True,
    )


def put_program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with moto_server() as address:
        yield address


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The deployed stage: lenslet serve, which asks for KEY as the gateway would."""
    # One server stands for the gateway, which knows its own key, and for the function behind the HTTP API.
    hashes = (hashlib.sha256(key.encode()).hexdigest() for key in (KEY, FUNCTION_KEY))
    os.environ["LENSLET_API_KEYS"] = ",".join(hashes)
    try:
        with running() as (address, _):
            yield address
    finally:
        del os.environ["LENSLET_API_KEYS"]


@pytest.fixture
def project(tmp_path: Path, aws: str, endpoint: str) -> Project:
    requests.post(f"{aws}/moto-api/reset", timeout=10)
    from tests.support import moto_gaps  # late, as in tests/support/aws.py

    moto_gaps.protected.clear()
    moto_gaps.limits.update(moto_gaps.USUAL_LIMITS)
    folder, programs, home = (tmp_path / name for name in ("project", "bin", "home"))
    for path in (folder, programs, home):
        path.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.keras"))
        else:
            shutil.copy(source, folder / name)
    (folder / "lenslet" / "commands" / "accept.py").write_text(ROBUSTNESS)
    (folder / ".gitignore").write_text("__pycache__/\nrobustness-fails\n")
    put_program(programs, "docker", DOCKER)
    put_program(programs, "sam", SAM)
    (programs / "git").symlink_to(str(shutil.which("git")))
    environment = {
        "PATH": str(programs),
        "HOME": str(home),
        "AWS_ENDPOINT_URL": aws,
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "DOCKER_LOG": str(tmp_path / "docker.log"),
        "SAM_LOG": str(tmp_path / "sam.log"),
    }
    made = Project(folder, environment)
    key = made.client("apigateway").create_api_key(name="lenslet", value=KEY, enabled=True)
    template = SMALL_TEMPLATE % {"endpoint": endpoint, "key": key["id"], "description": "first"}
    (folder / "infra" / "template.yaml").write_text(template)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    return made

"""Preconditions of a release: tools, account, region, a clean commit, a model that passes the gate."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from lenslet.config import ParamsError, read_params
from lenslet.evaluation.limits import are_all_kept, check_limits, limits_table
from lenslet.inference.artifact import Artifact, read_artifact, read_model
from lenslet.inference.errors import ArtifactError

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "model"
# Lambda's name of an architecture → Docker's
PLATFORMS = {"arm64": "linux/arm64", "x86_64": "linux/amd64"}
DIGITS = 12  # of commit and checksums, in tags
ENGINE_TIMEOUT_S = 60


class ReleaseError(Exception):
    """A precondition of a release is not met; the message is one sentence with the remedy."""


class ReleaseFailed(ReleaseError):
    """A step of a release failed; the message says in which state it left the stage."""


@dataclass(frozen=True)
class Account:
    """An AWS account in one region, and clients for its services."""

    number: str
    region: str
    session: Any

    def client(self, service: str) -> Any:
        return self.session.client(service, region_name=self.region)


def find_sam() -> str:
    """Path of SAM's command line: in the project's own environment, else on the PATH. Raises: ReleaseError."""
    own = ROOT / ".venv-infra" / "bin" / "sam"
    found = str(own) if own.exists() else shutil.which("sam")
    if not found:
        raise ReleaseError("sam is missing: make .venv-infra/installed")
    return found


def check_docker(architecture: str) -> str:
    """Path of docker. Raises: ReleaseError unless its engine answers and can build for the architecture."""
    docker = shutil.which("docker")
    if not docker:
        raise ReleaseError("docker is missing: https://docs.docker.com/engine/install/")
    if _ask(docker, "buildx", "version") is None:
        raise ReleaseError("docker has no buildx: https://github.com/docker/buildx#installing")
    if _ask(docker, "info", "--format", "{{.ServerVersion}}") is None:
        raise ReleaseError("no Docker engine answers: start it, or say where it is in DOCKER_HOST")
    platforms = _ask(docker, "buildx", "inspect", "--bootstrap") or ""
    if PLATFORMS[architecture] not in platforms:
        raise ReleaseError(
            f"this Docker does not build for {PLATFORMS[architecture]}: "
            f"`docker run --privileged --rm tonistiigi/binfmt --install {PLATFORMS[architecture].split('/')[1]}` "
            "teaches it to, or give ARCHITECTURE"
        )
    return docker


def find_account() -> Account:
    """Raises: ReleaseError without a region, or where AWS does not accept the credentials."""
    session = boto3.Session()
    # boto3 reads AWS_DEFAULT_REGION only; SAM and AWS's own machines set AWS_REGION.
    region = session.region_name or os.environ.get("AWS_REGION")
    if not region:
        raise ReleaseError("no AWS region is set: export AWS_DEFAULT_REGION=eu-central-1, or aws configure")
    try:
        if session.get_credentials() is None:
            raise ReleaseError(
                "no AWS credentials were found: aws configure, or aws sso login and AWS_PROFILE"
            )
        number = session.client("sts", region_name=region).get_caller_identity()["Account"]
    except (BotoCoreError, ClientError) as error:
        raise ReleaseError(f"AWS: {error}") from error
    return Account(number, region, session)


def find_commit() -> str:
    """The first twelve digits of the current commit. Raises: ReleaseError if a file differs from it."""
    changed = _git("status", "--porcelain").splitlines()
    if changed:
        others = f" and {len(changed) - 1} more" if changed[1:] else ""
        raise ReleaseError(
            "the image's tag names the commit, so no file may differ from it: "
            f"commit or stash {changed[0][3:]}{others}"
        )
    return _git("rev-parse", "HEAD")[:DIGITS]


def check_model() -> Artifact:
    """The model of the image. Raises: ReleaseError if it is incomplete, or misses a limit of `lenslet gate`."""
    try:
        artifact = read_artifact(MODEL)
        read_model(MODEL, artifact)
        limits = read_params(ROOT / "params.yaml").gate
    except (ArtifactError, ParamsError) as error:
        raise ReleaseError(str(error)) from error
    figures = artifact.metrics.get("test", {})
    verdicts = check_limits(figures, limits.of(artifact.name))
    print(limits_table(verdicts, "not to be released"), flush=True)
    if not are_all_kept(verdicts):
        raise ReleaseError(
            "the model in model/ does not keep the limits of params.yaml, as lenslet gate says, too"
        )
    return artifact


def _git(*arguments: str) -> str:
    if not shutil.which("git"):
        raise ReleaseError("git is missing, and the image's tag names the commit")
    answer = _ask("git", "-C", str(ROOT), *arguments)
    if answer is None:
        raise ReleaseError(
            f"{ROOT} is not a git repository with a commit, and the image's tag names the commit"
        )
    return answer


def _ask(*command: str) -> str | None:
    """Output of the command; None if it fails or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ENGINE_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.rstrip() if done.returncode == 0 else None

"""Images in ECR: push, tags, and those that were in production.

An image's tags, which are immutable, hold the whole state of a release, so that any computer can continue it.
`<commit>-<model checksum>-<architecture>` says what the image was built from. `<event>-<time>` says what happened to
it: it passed the checks in staging (`checked`) or failed them (`failed`), was promoted to production (`production`), or
was rolled back (`withdrawn`).
"""

import base64
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra.preflight import DIGITS, MODEL, PLATFORMS, ROOT, Account, ReleaseError, ReleaseFailed
from lenslet.inference.artifact import Artifact

REPOSITORY = "lenslet"
BUILT = re.compile(rf"([0-9a-f]{{{DIGITS}}})-([0-9a-f]{{{DIGITS}}})-(arm64|x86_64)")
EVENT = re.compile(r"(checked|failed|production|withdrawn)-(\d{8}T\d{12}Z)")
URI = re.compile(r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?/[a-z0-9/_.-]+@(sha256:[0-9a-f]{64})")


@dataclass(frozen=True)
class Image:
    digest: str  # "sha256:…"
    tags: tuple[str, ...]
    bytes: int  # compressed

    @property
    def source(self) -> tuple[str, str, str]:
        """Commit, model checksum and architecture of the build, read from the tag. Raises: ReleaseError without one."""
        for tag in self.tags:
            if found := BUILT.fullmatch(tag):
                return found[1], found[2], found[3]
        raise ReleaseError(f"image {self.digest[:19]} has no tag that says what it was built from")

    @property
    def events(self) -> list[tuple[str, str]]:
        """(time, event) pairs, the latest last."""
        return sorted((found[2], found[1]) for tag in self.tags if (found := EVENT.fullmatch(tag)))

    @property
    def is_checked(self) -> bool:
        """Whether the image passed its last check."""
        verdicts = [event for _, event in self.events if event in ("checked", "failed")]
        return verdicts[-1:] == ["checked"]


def built_tag(commit: str, artifact: Artifact, architecture: str) -> str:
    return f"{commit}-{artifact.sha256[:DIGITS]}-{architecture}"


def event_tag(event: str) -> str:
    """A unique tag for an event now, with its time to the microsecond."""
    return f"{event}-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"


def registry(account: Account) -> str:
    domain = "amazonaws.com.cn" if account.region.startswith("cn-") else "amazonaws.com"
    return f"{account.number}.dkr.ecr.{account.region}.{domain}"


def image_uri(account: Account, digest: str) -> str:
    return f"{registry(account)}/{REPOSITORY}@{digest}"


def digest_of(uri: str) -> str:
    """The digest in a stack's ImageUri. Raises: ReleaseError if it names none."""
    found = URI.fullmatch(uri)
    if not found:
        raise ReleaseError(f"the stack runs {uri or 'no image'}, which names no digest: deploy it again")
    return found[1]


def read_images(account: Account) -> dict[str, Image]:
    """Digest → image, for all images of the repository."""
    ecr = account.client("ecr")
    try:
        pages = list(ecr.get_paginator("describe_images").paginate(repositoryName=REPOSITORY))
    except ecr.exceptions.RepositoryNotFoundException:
        return {}
    return {
        detail["imageDigest"]: Image(
            detail["imageDigest"], tuple(detail.get("imageTags", ())), detail.get("imageSizeInBytes", 0)
        )
        for page in pages
        for detail in page["imageDetails"]
    }


def find_image(images: dict[str, Image], tag: str) -> Image | None:
    return next((image for image in images.values() if tag in image.tags), None)


def build_and_push(account: Account, docker: str, tag: str, architecture: str) -> None:
    """Raises: ReleaseFailed if Docker fails; it has printed why."""
    _log_in(account, docker)
    commit, model, _ = tag.split("-")
    command = [
        docker, "buildx", "build", "--platform", PLATFORMS[architecture],
        # Lambda takes only a plain image; with an attestation, Docker pushes an index.
        "--provenance=false", "--sbom=false",
        "--label", f"org.opencontainers.image.revision={commit}", "--label", f"lenslet.model={model}",
        "--tag", f"{registry(account)}/{REPOSITORY}:{tag}", "--push", ".",
    ]  # fmt: skip
    if subprocess.run(command, cwd=ROOT).returncode:
        raise ReleaseFailed(
            f"docker did not build and push {tag}: see its message above; the stage is unchanged"
        )


def _log_in(account: Account, docker: str) -> None:
    token = account.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    done = subprocess.run(
        [docker, "login", "--username", user, "--password-stdin", registry(account)],
        input=password, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise ReleaseFailed(f"docker could not log in to {registry(account)}: {done.stderr.strip()}")


def add_tag(account: Account, digest: str, tag: str) -> None:
    """Add a tag to an image, which may have it already. Raises: ReleaseError if the repository lacks the image."""
    ecr = account.client("ecr")
    found = ecr.batch_get_image(repositoryName=REPOSITORY, imageIds=[{"imageDigest": digest}])["images"]
    if not found:
        raise ReleaseError(f"image {digest[:19]} is no longer in the repository {REPOSITORY}")
    manifest: dict[str, Any] = {"imageManifest": found[0]["imageManifest"]}
    if found[0].get("imageManifestMediaType"):
        manifest["imageManifestMediaType"] = found[0]["imageManifestMediaType"]
    try:
        ecr.put_image(repositoryName=REPOSITORY, imageTag=tag, **manifest)
    except ecr.exceptions.ImageAlreadyExistsException:
        return


def remove_repository(account: Account) -> None:
    """Delete the repository with all images: the stack retains it when it is deleted."""
    ecr = account.client("ecr")
    try:
        ecr.delete_repository(repositoryName=REPOSITORY, force=True)
    except ecr.exceptions.RepositoryNotFoundException:
        return


def production_history(images: dict[str, Image]) -> list[str]:
    """Digests that were in production and have not been rolled back since, the latest last."""
    events = sorted((*event, image.digest) for image in images.values() for event in image.events)
    history: list[str] = []
    for _, event, digest in events:
        if event in ("production", "withdrawn"):
            history = [each for each in history if each != digest]
        if event == "production":
            history.append(digest)
    return history


def digest_before(history: Sequence[str], current: str) -> str | None:
    """The release before `current`, to which production is rolled back; None if there is none.

    If `current` is not in the history (its command was killed), it came after all recorded releases.
    """
    earlier = history[: history.index(current)] if current in history else history
    return earlier[-1] if earlier else None


def model_json_in(commit: str) -> str:
    """The argument of `git show` that prints the model.json of a commit."""
    return f"{commit}:{MODEL.name}/model.json"

"""Format of a batch's plan: which photos there are, in which order, and which of them belong to which part.

`lenslet predict` and the function on AWS write and read the same plan, so that each may finish what the other began.
"""

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lenslet.inference.artifact import Artifact
from lenslet.inference.json_text import parse_json

# In a folder whose name query engines skip: beside it, they read all parts as one table.
PLAN_NAME, PHOTOS_NAME = "_plan/plan.json", "_plan/photos.jsonl"
PART = "part-"  # how the names of parts begin
VERSION = 1


@dataclass(frozen=True)
class Source:
    """One photo: what it is called in the answers, and where its bytes are."""

    name: str
    place: str  # a path, or an http(s) or s3 address
    tag: str = (
        ""  # changes when the photo does, as far as a look from outside tells: size, or S3's entity tag
    )
    error: str = ""  # why there are no bytes, where that is known already


@dataclass(frozen=True)
class BatchPlan:
    """The same photos in the same order and the same model give the same plan, on any machine."""

    photos: int
    part_photos: int
    digest: str  # of the names and tags of the photos
    model: str  # name and version
    checksum: str  # `answer_checksum` of the model
    labels: tuple[str, ...]
    format: str
    version: int = VERSION

    @property
    def parts(self) -> int:
        return math.ceil(self.photos / self.part_photos)

    def part_name(self, number: int) -> str:
        return f"{PART}{number:06}.{self.format}"

    def text(self) -> str:
        return f"{json.dumps(asdict(self), indent=1)}\n"


@dataclass
class SourceList:
    """The file of a plan's photos: a line for each; and what makes it this one."""

    photos: int = 0
    starts: list[int] = field(default_factory=list)  # of every `each`-th line, in bytes
    digest: str = ""


def plan_of_text(text: bytes) -> BatchPlan:
    """Raises: ValueError, KeyError, TypeError if it is no plan of this version."""
    content = parse_json(text)
    if content["version"] != VERSION:
        raise ValueError(f"it is of version {content['version']}, and not {VERSION}")
    plan = BatchPlan(**{**content, "labels": tuple(content["labels"])})
    if type(plan.part_photos) is not int or plan.part_photos < 1:
        raise ValueError(f"its parts have {plan.part_photos!r} photos")
    return plan


def write_sources(sources: Iterable[Source], path: Path, each: int = 0) -> SourceList:
    """Write a line for each photo. `each`: note where every so-many-th line starts."""
    found, digest = SourceList(), hashlib.sha256()
    with path.open("w", encoding="ascii", newline="\n") as file:
        size = 0
        for source in sources:
            if each and found.photos % each == 0:
                found.starts.append(size)
            found.photos += 1
            digest.update(json.dumps([source.name, source.tag, source.error]).encode())
            place = "" if source.place == source.name else source.place
            size += file.write(f"{json.dumps([source.name, place, source.tag, source.error])}\n")
    found.digest = digest.hexdigest()
    if each:
        found.starts.append(size)
    return found


def source_of(line: str | bytes) -> Source:
    """The photo of a line of `write_sources`."""
    name, place, tag, error = json.loads(line)
    return Source(name, place or name, tag, error)


def answer_checksum(artifact: Artifact) -> str:
    """Changes with all that the answers depend on, and not with figures that are recorded later."""
    facts = [
        artifact.sha256, artifact.labels, artifact.image_size, artifact.resize, artifact.conformal_threshold,
        artifact.conformal_alpha, artifact.ood_kind, artifact.ood_threshold,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def plan_difference(begun: BatchPlan, plan: BatchPlan, output: object) -> str:
    """Why `plan` cannot continue what was begun in `output`, in one sentence without a remedy; empty if it can."""
    if begun.checksum != plan.checksum:
        return f"{output} was begun with the model {begun.model}, now it is {plan.model} with its settings of today"
    if begun.digest != plan.digest:
        return (
            f"the photos are not those that {output} was begun with ({begun.photos:,} then, {plan.photos:,} now; "
            "their names and sizes count)"
        )
    if begun.format != plan.format:
        return f"{output} was begun with --format {begun.format}, not {plan.format}"
    return ""

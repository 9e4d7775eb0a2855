"""The plan of a batch: which photos there are, in which order, and which of them belong to which part."""

import hashlib
import json
import math
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from lenslet.batch.outputs import Output
from lenslet.batch.places import Source
from lenslet.inference.errors import InputError
from lenslet.inference.json_text import parse_json

# In a folder whose name query engines skip: beside it, they read all parts as one table.
PLAN_NAME, PHOTOS_NAME = "_plan/plan.json", "_plan/photos.jsonl"
VERSION = 1
# Photos of a part, unless they are given: 64 parts or more, so that all processors have work to the end.
LEAST_PHOTOS, MOST_PHOTOS, WANTED_PARTS = 25, 1000, 64


class PlanError(InputError):
    """The plan in the output is another one; the message is one sentence with the remedy."""


class Part(NamedTuple):
    number: int
    sources: list[Source]


@dataclass(frozen=True)
class BatchPlan:
    """The same photos in the same order and the same model give the same plan, on any machine."""

    photos: int
    part_photos: int
    digest: str  # of the names and tags of the photos
    model: str  # name and version
    checksum: str  # of model.json, which holds that of the network
    labels: tuple[str, ...]
    format: str
    version: int = VERSION

    @property
    def parts(self) -> int:
        return math.ceil(self.photos / self.part_photos)

    def part_name(self, number: int) -> str:
        return f"part-{number:06}.{self.format}"


def write_sources(sources: Iterable[Source], path: Path) -> tuple[int, str]:
    """Write a line for each photo. Returns: how many there are, and the digest of their names and tags."""
    count, digest = 0, hashlib.sha256()
    with path.open("w", encoding="ascii") as file:
        for source in sources:
            count += 1
            facts = json.dumps([source.name, source.tag, source.error])
            digest.update(facts.encode())
            place = "" if source.place == source.name else source.place
            file.write(f"{json.dumps([source.name, place, source.tag, source.error])}\n")
    return count, digest.hexdigest()


def parts_of_plan(path: Path, plan: BatchPlan) -> Iterator[Part]:
    """All parts, one after the other, from the file of `write_sources`."""
    with path.open(encoding="ascii") as file:
        for number in range(plan.parts):
            yield Part(number, [_source_of(line) for line in islice(file, plan.part_photos)])


def photos_in_part(count: int) -> int:
    return min(MOST_PHOTOS, max(LEAST_PHOTOS, math.ceil(count / WANTED_PARTS)))


def agree(plan: BatchPlan, photos: Path, output: Output, part_photos: int | None = None) -> BatchPlan:
    """The plan in `output`; where there is none, `plan` is put there with the list of photos.

    `part_photos`: the number that was asked for, if any; else that of the plan which is there counts.
    Raises: PlanError if the plan there is about other photos, another model or another format; OSError.
    """
    there = output.read(PLAN_NAME)
    if there is None:
        output.write(PHOTOS_NAME, lambda path: shutil.copyfile(photos, path))
        output.write(PLAN_NAME, lambda path: path.write_text(f"{json.dumps(asdict(plan), indent=1)}\n"))
        return plan
    begun = _plan_of(there, output)
    anew = f"give another --out, or delete {output} to begin anew"
    if (begun.checksum, begun.labels) != (plan.checksum, plan.labels):
        raise PlanError(f"{output} was begun with the model {begun.model}, now it is {plan.model}: {anew}")
    if begun.digest != plan.digest:
        raise PlanError(
            f"the photos are not those that {output} was begun with ({begun.photos:,} then, {plan.photos:,} now; "
            f"their names and sizes count): {anew}"
        )
    if (begun.photos, begun.version) != (plan.photos, plan.version):  # the digest says that they are the same
        raise _damaged(output)
    if begun.format != plan.format:
        raise PlanError(f"{output} was begun with --format {begun.format}, not {plan.format}: {anew}")
    if part_photos and begun.part_photos != part_photos:
        raise PlanError(f"{output} was begun with --part-photos {begun.part_photos}: {anew}")
    return begun


def _plan_of(text: bytes, output: Output) -> BatchPlan:
    try:
        content = parse_json(text)
        if content["version"] != VERSION:
            raise PlanError(f"{output} has a plan of another version of Lenslet: give another --out")
        begun = BatchPlan(**{**content, "labels": tuple(content["labels"])})
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(output) from error
    if type(begun.part_photos) is not int or begun.part_photos < 1:
        raise _damaged(output)
    return begun


def _damaged(output: Output) -> PlanError:
    return PlanError(f"{output}/{PLAN_NAME} is damaged: delete {output}, or give another --out")


def _source_of(line: str) -> Source:
    name, place, tag, error = json.loads(line)
    return Source(name, place or name, tag, error)

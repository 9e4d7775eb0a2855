"""The plan of a batch in its output: agreed on before any photo is classified, and read part by part."""

import math
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from lenslet.batch.outputs import Output
from lenslet.inference.errors import InputError
from lenslet.serving.batch_plan import (
    PHOTOS_NAME,
    PLAN_NAME,
    BatchPlan,
    Source,
    plan_difference,
    plan_of_text,
    source_of,
)

# Photos of a part, unless they are given: 64 parts or more, so that all processors have work to the end.
LEAST_PHOTOS, MOST_PHOTOS, WANTED_PARTS = 25, 1000, 64


class PlanError(InputError):
    """The plan in the output is another one; the message is one sentence with the remedy."""


class Part(NamedTuple):
    number: int
    sources: list[Source]


def parts_of_plan(path: Path, plan: BatchPlan) -> Iterator[Part]:
    """All parts, one after the other, from the file of `write_sources`."""
    with path.open(encoding="ascii") as file:
        for number in range(plan.parts):
            yield Part(number, [source_of(line) for line in islice(file, plan.part_photos)])


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
        output.write(PLAN_NAME, lambda path: path.write_text(plan.text()))
        return plan
    try:
        begun = plan_of_text(there)
        if begun.digest == plan.digest and begun.photos != plan.photos:
            raise ValueError("its numbers are not those of its photos")
    except (ValueError, TypeError, KeyError) as error:
        raise PlanError(f"{output}/{PLAN_NAME} is damaged: delete {output}, or give another --out") from error
    reason = plan_difference(begun, plan, output)
    if not reason and part_photos and begun.part_photos != part_photos:
        reason = f"{output} was begun with --part-photos {begun.part_photos}"
    if reason:
        raise PlanError(f"{reason}: give another --out, or delete {output} to start over")
    return begun

"""Shards of a batch for array jobs: each takes every N-th part, so that they are disjoint by construction."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lenslet.inference.errors import InputError

SHARD = re.compile(r"(\d{1,9}|auto)(?:/(\d{1,9}))?")


@dataclass(frozen=True)
class Shard:
    """Part p is in it if p modulo `count` is `index`, which counts from 0."""

    index: int = 0
    count: int = 1

    def __contains__(self, part: object) -> bool:
        return isinstance(part, int) and part % self.count == self.index


def read_shard(text: str, environment: Mapping[str, str]) -> Shard:
    """The shard that `3/16` (the third of sixteen), `auto` or `auto/16` names.

    `auto` takes the number of the task from the array job of Slurm, AWS Batch or Kubernetes (an indexed job, which does
    not say how many there are: `auto/16`). Raises: InputError.
    """
    match = SHARD.fullmatch(text)
    if not match or (match[1] != "auto" and not match[2]):
        raise InputError(f"--shard {text[:40]}: give 3/16 for the third of sixteen, auto, or auto/16")
    if match[1] == "auto":
        index, known = _of_array_job(environment)
        count = int(match[2]) if match[2] else known
        if count is None:
            raise InputError(
                "--shard auto: JOB_COMPLETION_INDEX says which task this is, but not of how many: give auto/16"
            )
    else:
        index, count = int(match[1]) - 1, int(match[2])
    if not 0 <= index < count:
        raise InputError(f"--shard {text}: there is no shard {index + 1} of {count}")
    return Shard(index, count)


def _of_array_job(environment: Mapping[str, str]) -> tuple[int, int | None]:
    """Index from 0, and count where it is known, of this task in its array job."""

    def number(name: str, otherwise: int | None = None) -> int:
        given = environment.get(name, "")
        if not given.isdecimal() and otherwise is None:
            raise InputError(f"--shard auto: {name} must be a whole number, not {given[:40]!r}")
        return int(given) if given.isdecimal() else int(otherwise or 0)

    if "SLURM_ARRAY_TASK_ID" in environment:
        first, step = number("SLURM_ARRAY_TASK_MIN"), number("SLURM_ARRAY_TASK_STEP", 1)
        index, rest = divmod(number("SLURM_ARRAY_TASK_ID") - first, max(step, 1))
        count = number("SLURM_ARRAY_TASK_COUNT")
        if rest or index >= count:
            raise InputError(
                "--shard auto: the tasks of this array are not numbered evenly: give --shard 3/16"
            )
        return index, count
    if "AWS_BATCH_JOB_ARRAY_INDEX" in environment:
        size = number("AWS_BATCH_JOB_ARRAY_SIZE") if "AWS_BATCH_JOB_ARRAY_SIZE" in environment else None
        return number("AWS_BATCH_JOB_ARRAY_INDEX"), size
    if "JOB_COMPLETION_INDEX" in environment:
        return number("JOB_COMPLETION_INDEX"), None
    raise InputError(
        "--shard auto: this is no array job: none of SLURM_ARRAY_TASK_ID, AWS_BATCH_JOB_ARRAY_INDEX and "
        "JOB_COMPLETION_INDEX is set"
    )

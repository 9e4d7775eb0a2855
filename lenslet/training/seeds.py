"""Several trainings that differ in their seed alone: their folders, their time, and whether their average is there."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lenslet.config import TrainParams
from lenslet.training.record import KERAS_NAME, RecordError, newest_training, read_record
from lenslet.training.run import unfinished_epochs

SEEDS_NAME = "seeds"  # folder in that of the model, as long as its average is not made


def seeds_from(first: int, count: int) -> list[int]:
    """So many seeds, beginning with `first`."""
    return [(first + number) % 2**32 for number in range(count)]


def seed_folder(out: Path, seed: int) -> Path:
    """The model folder of one training, for the time until the average is written into `out`."""
    return out / SEEDS_NAME / f"{out.name}-{seed}"


def remove_seed_folders(out: Path, seeds: Sequence[int]) -> None:
    """Remove the model folders of the trainings; the folders of their runs keep the networks."""
    for seed in seeds:
        shutil.rmtree(seed_folder(out, seed), ignore_errors=True)
    with suppress(OSError):  # there is something else in it
        (out / SEEDS_NAME).rmdir()


def deadline_of(number: int, count: int, began: float, deadline: float) -> float:
    """When the training at position `number` of `count` ends: each has as much time, and what is left of earlier ones.

    `began` and `deadline`: of all, in seconds of `time.monotonic`.
    """
    return began + (deadline - began) * (number + 1) / count


def finished_average(
    out: Path, runs: Path, params: TrainParams, fingerprint: str, seeds: Sequence[int]
) -> Path | None:
    """Where the average of the same trainings is, if it is there already and none of them has begun again since.

    `params`: of the first training; `fingerprint`: of the photos.
    """
    folders = [seed_folder(out, seed) for seed in seeds]
    if any(folder.exists() or unfinished_epochs(runs, folder) for folder in folders):
        return None
    place, wanted = newest_training(out), (params, fingerprint, list(map(str, seeds)))
    with suppress(RecordError):
        record = read_record(place)
        is_same = (record.params, record.data_fingerprint, list(record.seeds)) == wanted
        return place if is_same and (place / KERAS_NAME).exists() else None
    return None

"""Size of the picture and epochs of fine-tuning that a number of minutes allows, by the photos' own size."""

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lenslet.config import TrainParams
from lenslet.dataset.photo_size import photo_size
from lenslet.dataset.sampling import evenly_spaced
from lenslet.inference.errors import InputError

SIZES = (
    224,
    192,
    160,
)  # pixels, the best first: on 200 dishes 224 gave an accuracy of 0.72 where 160 gave 0.65
# Of fine-tuning MobileNetV2 with one processor, measured at 160 pixels (EXPERIMENTS.md); grows with the area.
CPU_S_PER_PHOTO = 0.04
START_MINUTES = 1.0  # TensorFlow, reading the photos, the head
MIN_EPOCHS = 3  # fewer of fine-tuning are worse than the head alone
ENLARGED_AT_MOST = 1.25  # times; beyond that a larger picture shows nothing more
SAMPLED = 60  # photos whose size is looked at


@dataclass(frozen=True)
class Plan:
    """What fits into the time, and why."""

    params: TrainParams
    sentence: str


def plan(
    params: TrainParams, photos: int, side: float, minutes: float, processors: int | None = None
) -> Plan:
    """The largest picture that the photos fill and whose fine-tuning fits; then fewer epochs; then the head alone.

    `photos`: of the whole folder; `side`: their shorter side in pixels, as `usual_side` gives it; `processors`: of this
    machine by default.
    """
    learned = photos * (1 - params.validation_fraction) * (1 - params.test_fraction)
    tuned = params.fine_tune
    seen = max(learned, tuned.min_steps_per_epoch * tuned.batch_size)  # photos in an epoch
    speed = (processors or os.cpu_count() or 1) * 60 / CPU_S_PER_PHOTO  # photos a minute at 160 pixels

    def epoch_minutes(size: int) -> float:
        return seen / speed * (size / 160) ** 2

    left = minutes - START_MINUTES
    sizes = [size for size in SIZES if size <= side * ENLARGED_AT_MOST] or [SIZES[-1]]
    why = f"the photos are about {side:.0f} pixels wide"
    for size in sizes:
        if tuned.epochs * epoch_minutes(size) <= left:
            return _plan(params, size, tuned.epochs, tuned.epochs * epoch_minutes(size), why)
    smallest = sizes[-1]
    epochs = int(left / epoch_minutes(smallest))
    if epochs >= min(MIN_EPOCHS, tuned.epochs):
        return _plan(params, smallest, epochs, epochs * epoch_minutes(smallest), "more does not fit")
    return _plan(params, smallest, 0, 0.0, "fine-tuning does not fit")


def _plan(params: TrainParams, size: int, epochs: int, minutes: float, why: str) -> Plan:
    chosen = replace(params, image_size=size, fine_tune=replace(params.fine_tune, epochs=epochs))
    steps = f"{epochs} epochs of fine-tuning" if epochs else "the head alone"
    return Plan(
        chosen,
        f"time budget: {size} × {size} pixels and {steps}, about {START_MINUTES + minutes:.0f} minutes where nothing "
        f"else runs ({why})",
    )


def usual_side(paths: Sequence[Path]) -> float:
    """Median of the shorter side in pixels, of some of the files; their headers are read only. Raises: InputError."""
    sides = []
    for number in evenly_spaced(len(paths), SAMPLED):
        try:
            sides.append(min(photo_size(paths[number])))
        except OSError:
            continue  # no picture
    if not sides:
        raise InputError("--time-budget needs a folder of photos: no picture was found")
    return statistics.median(sides)

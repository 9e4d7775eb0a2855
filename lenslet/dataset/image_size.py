"""Side of the square that photos are decoded to, chosen by the photos' own size where params.yaml says auto."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lenslet.config import TrainParams
from lenslet.dataset.dataset import Dataset
from lenslet.dataset.photo_size import photo_size
from lenslet.dataset.sampling import evenly_spaced

# Pixels, the best first: on dishes, 20 photos a class, the head alone had an accuracy of 0.79, 0.78, 0.74, 0.71 and
# 0.65 (EXPERIMENTS.md). The last two are for more photos than a time budget has room for.
SIZES = (224, 192, 160, 128, 96)
# Also of smaller photos, enlarged: of the same dishes shrunk to 48 pixels 0.68, where 96 pixels had 0.64.
LEAST = 160
ENLARGED_AT_MOST = 1.25  # times, beyond LEAST
SAMPLED = 60  # photos whose size is looked at
SERVING_GOAL_MS = 8  # of one photo, one thread
# At 160 pixels, float16, tflite-runtime; grows with the area. Others are not enlarged beyond LEAST.
SERVING_MS = {"mobilenet_v2": 3.8, "efficientnet_lite0": 5.2, "efficientnet_lite1": 6.6}


def auto_size(backbone: str, side: float | None) -> tuple[int, str]:
    """The largest of SIZES, LEAST at least, that the photos fill and the network serves in time; and the reason.

    `side`: the photos' shorter side in pixels, as `usual_side` gives it.
    """
    if side is None:
        return LEAST, "the size of no photo could be read"
    filled = [size for size in SIZES if size <= max(LEAST, side * ENLARGED_AT_MOST)]
    served = [size for size in filled if size <= LEAST or _milliseconds(backbone, size) <= SERVING_GOAL_MS]
    reason = f"the shorter side of the photos is about {side:.0f} pixels"
    if served[0] < filled[0]:
        reason += f", and {backbone} would take more than {SERVING_GOAL_MS} ms for {filled[0]}"
    return served[0], reason


def _milliseconds(backbone: str, size: int) -> float:
    return SERVING_MS.get(backbone, math.inf) * (size / 160) ** 2


def usual_side(paths: Sequence[Path]) -> float | None:
    """Median of the shorter side in pixels, of some of the files; their headers are read only. None: of no picture."""
    sides = []
    for number in evenly_spaced(len(paths), SAMPLED):
        try:
            sides.append(min(photo_size(paths[number])))
        except OSError:
            continue  # no picture
    return statistics.median(sides) if sides else None


def sized(params: TrainParams, dataset: Dataset) -> TrainParams:
    """`params` with the size that the dataset has."""
    return replace(params, image_size=dataset.image_size)

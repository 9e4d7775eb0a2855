"""Photos whose label is likely wrong, by confident learning (Northcutt, Jiang and Chuang 2021)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def confident_disagreement(
    probabilities: NDArray[np.floating[Any]], targets: NDArray[np.int64]
) -> list[tuple[int, int]]:
    """The photos whose label is likely wrong, each with its likely class, by the margin of that, widest first.

    `probabilities`, shape (photos, classes), come from models that did not see the photo. A class is believed of
    a photo where it is at least as probable as it is on average for the photos that carry its label; a photo is
    suspected if the most probable of the believed classes is not its label (Northcutt, Jiang and Chuang 2021).
    """
    given = probabilities[np.arange(len(targets)), targets]
    thresholds = np.bincount(targets, given) / np.bincount(targets)
    believed = np.where(probabilities >= thresholds, probabilities, -1.0)
    likely, margins = believed.argmax(axis=1), believed.max(axis=1) - given
    suspects = np.flatnonzero((likely != targets) & (margins > 0))
    ranked = suspects[np.argsort(-margins[suspects], kind="stable")]
    return [(int(number), int(likely[number])) for number in ranked]

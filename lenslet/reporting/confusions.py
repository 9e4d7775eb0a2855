"""Which classes of a confusion matrix are shown where there are too many for a page."""

import numpy as np
from numpy.typing import NDArray

CLASSES_SHOWN = 20  # more do not fit on a screen


def most_confused(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices of the classes with the most mistakes, at most `CLASSES_SHOWN`, in the order of the classes.

    A mistake counts for the true class and for the predicted one. `counts`: as from `metrics.confusion`.
    """
    mistakes = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
    return np.sort(np.argsort(-mistakes, kind="stable")[:CLASSES_SHOWN])

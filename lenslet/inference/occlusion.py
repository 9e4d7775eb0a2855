"""Occlusion: which parts of a picture its label rests on, for any model, also one without an activation map."""

from collections.abc import Callable
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenslet.inference.classifier import Prediction

CELLS = 5  # a side: 25 invokes, about 100 ms; 81 overlapping windows found hardly more (EXPERIMENTS.md)
BLUR_SHARE = 0.1  # of the side: standard deviation of the blur that hides a cell


def occlusion(
    classify: Callable[[NDArray[np.uint8]], Prediction], pixels: NDArray[np.uint8]
) -> tuple[str, NDArray[np.float32]]:
    """The most probable label, and how much its margin falls where a cell is blurred, scaled to the range 0…1.

    The margin is the label's logit less the highest other one. Occlusion sensitivity: Zeiler and Fergus 2014, section
    4.2, with blur instead of grey, which no photo of the training has.

    `pixels`: as for `Classifier.classify`.
    Returns: the label and a map of shape (CELLS, CELLS), rows from top to bottom.
    """
    whole = classify(pixels)
    index = int(np.argmax(whole.probabilities))
    blurred = _blurred(pixels)
    edges = [round(each) for each in np.linspace(0, len(pixels), CELLS + 1)]
    falls = np.empty((CELLS, CELLS), np.float32)
    for (row, (top, bottom)), (column, (left, right)) in product(enumerate(pairwise(edges)), repeat=2):
        hidden = pixels.copy()
        hidden[top:bottom, left:right] = blurred[top:bottom, left:right]
        falls[row, column] = _margin(whole, index) - _margin(classify(hidden), index)
    spread = float(np.ptp(falls))
    return whole.labels[index], (falls - falls.min()) / spread if spread > 0 else np.zeros_like(falls)


def _blurred(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import ImageFilter  # not needed at start-up

    blur = ImageFilter.GaussianBlur(BLUR_SHARE * len(pixels))
    return np.asarray(Image.fromarray(pixels).filter(blur))


def _margin(prediction: Prediction, index: int) -> float:
    return float(prediction.logits[index] - np.delete(prediction.logits, index).max())

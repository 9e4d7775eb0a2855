"""Photos to look at, each beside its explanation: the most confident mistakes and the least certain predictions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from lenslet.inference.classifier import Classifier
from lenslet.inference.explanation import explain

MAP_OPACITY = 0.55
JPEG_QUALITY = 85

# Class indices (photos,) and probabilities (photos, classes) → positions of photos, the most interesting first.
Choice = Callable[[NDArray[np.int64], NDArray[np.float32]], NDArray[np.int64]]


@dataclass(frozen=True)
class Exhibit:
    """One photo with its true and its predicted label."""

    path: Path
    truth: str
    answer: str
    probability: float  # of the answer
    truth_probability: float
    jpeg: bytes  # the photo as the model sees it and, if there is an explanation, the same with its map
    has_map: bool  # of what the predicted label rests on


def confident_mistakes(targets: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    """Misclassified photos, the most probable prediction first; photos with wrong labels are among the first."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != targets)
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]


def typical(targets: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    """Of each class the photo that the model is surest of, rightly or, if none is, its most probable one."""
    own = probabilities[np.arange(len(targets)), targets]
    best = [max(np.flatnonzero(targets == label), key=lambda row: own[row]) for label in np.unique(targets)]
    return np.array(best[:CLASSES_SHOWN_AT_MOST], np.int64)


def least_certain(targets: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    """Photos whose prediction is not certain, the least probable first, right or wrong."""
    top = probabilities.max(axis=1)
    return np.array([row for row in np.argsort(top, kind="stable") if top[row] < CERTAIN], np.int64)


# Heading → which photos stand under it.
GALLERIES: dict[str, Choice] = {
    "A typical photo of each class": typical,
    "The most confident mistakes": confident_mistakes,
    "The least certain predictions": least_certain,
}
CERTAIN = 0.95  # from this probability on, a prediction is none to look at
PHOTOS_SHOWN = 12  # under each heading, and
CLASSES_SHOWN_AT_MOST = 24  # of those that show one of each class


def galleries(
    classifier: Classifier,
    targets: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    paths: Sequence[Path],
    pixels_of: Callable[[int], NDArray[np.uint8]],
) -> dict[str, list[Exhibit]]:
    """Heading → photos, each classified again for its map. `pixels_of` returns the picture at a position in `paths`."""
    labels = classifier.artifact.labels
    return {
        heading: [
            exhibit(classifier, paths[number], pixels_of(number), labels[targets[number]])
            for number in choose(targets, probabilities)[: None if choose is typical else PHOTOS_SHOWN]
        ]
        for heading, choose in GALLERIES.items()
    }


def exhibit(classifier: Classifier, path: Path, pixels: NDArray[np.uint8], truth: str) -> Exhibit:
    """Classify a photo again, for its explanation; `pixels`: uint8 RGB, shape (size, size, 3)."""
    prediction = classifier.classify(pixels)
    answer, probability = prediction.ranked()[0]
    explanation = explain(classifier, pixels, prediction)
    views = [pixels] if explanation is None else [pixels, overlay(pixels, explanation.grid)]
    file = BytesIO()
    Image.fromarray(np.hstack(views)).save(file, "JPEG", quality=JPEG_QUALITY)
    truth_probability = dict(prediction.ranked())[truth]
    return Exhibit(
        path, truth, answer, probability, truth_probability, file.getvalue(), explanation is not None
    )


def overlay(pixels: NDArray[np.uint8], grid: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The picture with a map over it, bright where the evidence is.

    Args: uint8 RGB, shape (height, width, 3); values 0…1, shape (rows, columns), stretched over the picture.
    """
    height, width, _ = pixels.shape
    stretched = Image.fromarray(grid.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    colours = 255 * colormaps["inferno"](np.asarray(stretched))[:, :, :3]
    blended: NDArray[np.uint8] = np.rint(MAP_OPACITY * colours + (1 - MAP_OPACITY) * pixels).astype(np.uint8)
    return blended

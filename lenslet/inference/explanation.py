"""Explanations: on which parts of a picture its label rests, by the kind that `lenslet convert` found best."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenslet.inference.classifier import Classifier, Prediction
from lenslet.inference.judged_explanation import ACTIVATION_MAP, NORMALISED_MAP, OCCLUSION, OCCLUSION_AND_MAP

Grid = NDArray[np.float32]
Classify = Callable[[NDArray[np.uint8]], Prediction]
Scale = Sequence[Sequence[float]] | NDArray[np.float32] | None  # mean size of the map in each cell, never 0

OWN = "own"  # the kind that `lenslet convert` chose for the model

# A side: 25 windows of four cells each, so that an object between two cells is hidden whole, too.
CELLS, WINDOW = 6, 2
FINE = 16  # cells a side of occlusion and map together
BLUR_SHARE = 0.1  # of the side: standard deviation of the blur that hides a window


@dataclass(frozen=True)
class Explanation:
    kind: str
    label: str
    grid: Grid  # shape (rows, columns), 0…1, 1 where the label's evidence is strongest


def explain(
    classifier: Classifier, pixels: NDArray[np.uint8], prediction: Prediction, kind: str = OWN
) -> Explanation | None:
    """Explain the most probable label of a picture.

    Args: a picture as for `Classifier.classify` and its prediction; a key of `KINDS`, or OWN.
    Returns: None if the model has no explanation that says more than a circle at the centre.
    """
    judged = classifier.artifact.explanation
    if kind == OWN:
        kind = own_kind(judged, prediction)
    if not kind:
        return None
    index = int(np.argmax(prediction.probabilities))
    evidence = KINDS[kind](classifier.classify, pixels, prediction, index, judged.get("cell_scale"))
    spread = float(np.ptp(evidence))
    grid = (evidence - evidence.min()) / spread if spread > 0 else np.zeros_like(evidence)
    return Explanation(kind, prediction.labels[index], grid)


def own_kind(judged: Mapping[str, Any], prediction: Prediction) -> str:
    """The kind that explains this model best; empty if none does. A model that was not judged has its map."""
    kind: str = judged.get("kind", ACTIVATION_MAP) or ""
    return "" if kind != OCCLUSION and prediction.activation_map is None else kind


def activation_map(
    classify: Classify, pixels: NDArray[np.uint8], prediction: Prediction, index: int, scale: Scale
) -> Grid:
    """The class activation map, exact for a linear head: Zhou et al. 2016. Shape (height, width)."""
    assert prediction.activation_map is not None
    grid: Grid = prediction.activation_map[:, :, index]
    return grid


def normalised_map(
    classify: Classify, pixels: NDArray[np.uint8], prediction: Prediction, index: int, scale: Scale
) -> Grid:
    """The activation map divided by each cell's mean size, without the cells that are large in every picture."""
    assert scale is not None
    return activation_map(classify, pixels, prediction, index, scale) / np.asarray(scale, np.float32)


def occlusion(
    classify: Classify, pixels: NDArray[np.uint8], prediction: Prediction, index: int, scale: Scale
) -> Grid:
    """How much the label's margin falls where a window is blurred: mean over the windows of a cell, (CELLS, CELLS).

    Occlusion sensitivity: Zeiler and Fergus 2014, section 4.2, with blur instead of grey, which no photo has.
    25 invokes; works for any model, also one without an activation map.
    """
    blurred = without_details(pixels)
    whole = margin(prediction, index)
    edges = [round(each) for each in np.linspace(0, len(pixels), CELLS + 1)]
    falls, windows = np.zeros((2, CELLS, CELLS), np.float32)
    for row, column in product(range(CELLS - WINDOW + 1), repeat=2):
        place = (slice(edges[row], edges[row + WINDOW]), slice(edges[column], edges[column + WINDOW]))
        hidden = pixels.copy()
        hidden[place] = blurred[place]
        cells = (slice(row, row + WINDOW), slice(column, column + WINDOW))
        falls[cells] += whole - margin(classify(hidden), index)
        windows[cells] += 1
    mean: Grid = falls / windows
    return mean


def occlusion_and_map(
    classify: Classify, pixels: NDArray[np.uint8], prediction: Prediction, index: int, scale: Scale
) -> Grid:
    """Occlusion, and half as much of the activation map, both standardised: the map is finer within a window.

    Shape (FINE, FINE).
    """
    parts = (kind(classify, pixels, prediction, index, scale) for kind in (occlusion, activation_map))
    hidden, evidence = (_standardised(stretched(part, FINE)) for part in parts)
    return hidden + evidence / 2


def stretched(grid: NDArray[Any], size: int) -> Grid:
    """The grid in `size` rows and columns, bilinear."""
    image = Image.fromarray(np.asarray(grid, np.float32))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def _standardised(grid: Grid) -> Grid:
    spread = float(grid.std())
    return (grid - grid.mean()) / spread if spread > 0 else np.zeros_like(grid)


def without_details(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture without its details, as what hides a part of it."""
    from PIL import ImageFilter  # not needed at start-up

    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(BLUR_SHARE * len(pixels))))


def margin(prediction: Prediction, index: int) -> float:
    """The logit of a label less the highest other one."""
    return float(prediction.logits[index] - np.delete(prediction.logits, index).max())


# A new kind is a row, a function, and a value of `kind` in openapi.yaml.
KINDS: Mapping[str, Callable[[Classify, NDArray[np.uint8], Prediction, int, Scale], Grid]] = {
    ACTIVATION_MAP: activation_map,
    NORMALISED_MAP: normalised_map,
    OCCLUSION: occlusion,
    OCCLUSION_AND_MAP: occlusion_and_map,
}

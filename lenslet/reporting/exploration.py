"""Statistics of a folder of labelled photos, from pixels and from features: arrays in, arrays out."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.model_selection import StratifiedShuffleSplit, cross_validate
from sklearn.neighbors import NearestNeighbors

from lenslet.dataset.blas_threads import suitable_threads
from lenslet.dataset.linear_probe import linear_model
from lenslet.dataset.photo_size import photo_size

HELD_OUT = 0.25  # share of the photos that measures the accuracy of a learning curve
REPEATS = 10
COMPONENTS = 50  # principal components for t-SNE, as its authors advise; much faster than all channels


def _grey(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    grey: NDArray[np.float32] = picture.mean(axis=2)
    return grey


def _saturation(picture: NDArray[np.float32]) -> float:
    strongest, weakest = picture.max(axis=2), picture.min(axis=2)
    return float(np.mean((strongest - weakest) / np.maximum(strongest, 1 / 255)))


def _edges(picture: NDArray[np.float32]) -> float:
    across, down = (ndimage.sobel(_grey(picture), axis) / 8 for axis in (1, 0))
    return float(np.hypot(across, down).mean())


def _upright_edges(picture: NDArray[np.float32]) -> float:
    across, down = (float(np.square(ndimage.sobel(_grey(picture), axis)).sum()) for axis in (1, 0))
    return across / (across + down) if across + down else 0.5


# Name → measure of a picture: float32 RGB in 0…1, shape (height, width, 3).
STATISTICS: dict[str, Callable[[NDArray[np.float32]], float]] = {
    "brightness": lambda picture: float(picture.mean()),
    "contrast": lambda picture: float(_grey(picture).std()),
    "saturation": _saturation,
    "warmth (red − blue)": lambda picture: float((picture[:, :, 0] - picture[:, :, 2]).mean()),
    "edges (change per pixel)": _edges,
    "upright share of the edges": _upright_edges,
}


def statistics(pictures: Iterable[NDArray[np.uint8]]) -> dict[str, NDArray[np.float64]]:
    """Each of STATISTICS for every picture, uint8 RGB (height, width, 3): name → shape (pictures,)."""
    rows = [[measure(picture / np.float32(255)) for measure in STATISTICS.values()] for picture in pictures]
    return dict(zip(STATISTICS, np.array(rows, np.float64).T, strict=True))


def file_sizes(paths: Iterable[Path]) -> dict[str, NDArray[np.float64]]:
    """Width and height in pixels, as the file's header has them, and kilobytes: name → shape (files,)."""
    rows = []
    for path in paths:
        rows.append((*photo_size(path), path.stat().st_size / 1000))
    return dict(zip(("width", "height", "kilobytes"), np.array(rows, np.float64).T, strict=True))


def mean_picture(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mean picture: shape (pictures, height, width, 3) → (height, width, 3)."""
    mean: NDArray[np.uint8] = np.rint(pictures.mean(axis=0)).astype(np.uint8)
    return mean


def learning_curve(
    features: NDArray[np.float32], targets: NDArray[np.int64], points: int = 6
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Accuracy of a linear head fitted to growing subsets of the photos; a quarter is held out.

    Returns: numbers of photos, shape (points,), and the accuracy on the photos that the head was fitted to and on
        those held out, each of shape (points, REPEATS); every repeat draws other photos, stratified by class.
    """
    held_out = round(HELD_OUT * len(targets))
    fewest = min(2 * len(np.unique(targets)), len(targets) - held_out)
    sizes = np.unique(np.geomspace(fewest, len(targets) - held_out, points).astype(int))
    fitted, unseen = [], []
    for size in sizes:
        draws = StratifiedShuffleSplit(REPEATS, train_size=int(size), test_size=held_out, random_state=0)
        with suitable_threads(features):
            scores = cross_validate(linear_model(), features, targets, cv=draws, return_train_score=True)
        fitted.append(scores["train_score"])
        unseen.append(scores["test_score"])
    return sizes, np.array(fitted), np.array(unseen)


def flat_map(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Coordinates in the plane, shape (photos, 2), where photos with similar features are close.

    t-SNE (van der Maaten and Hinton 2008) of the first principal components. Only closeness has a meaning:
    neither the axes, nor the distances between groups, nor their sizes have one.
    """
    components = PCA(min(COMPONENTS, *features.shape), random_state=0).fit_transform(features)
    perplexity = min(30, (len(features) - 1) / 3)
    places: NDArray[np.float32] = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(
        components
    )
    return places


def neighbours_alike(
    features: NDArray[np.float32], targets: NDArray[np.int64], neighbours: int = 5
) -> NDArray[np.float64]:
    """Share of each photo's nearest neighbours, by its features, that carry the same label: shape (photos,)."""
    nearest = NearestNeighbors(n_neighbors=min(neighbours, len(features) - 1)).fit(features)
    others = nearest.kneighbors(return_distance=False)  # without the photo itself
    alike: NDArray[np.float64] = (targets[others] == targets[:, np.newaxis]).mean(axis=1)
    return alike

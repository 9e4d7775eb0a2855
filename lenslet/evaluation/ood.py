"""Out-of-distribution (OOD) detection: kind and threshold of the OOD score, OOD test sets, and AUROC on them."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from sklearn.metrics import roc_auc_score

from lenslet.inference.classifier import Classifier
from lenslet.inference.decode import decode
from lenslet.inference.errors import InputError, LensletError

Random = np.random.Generator
Picture = NDArray[np.uint8]  # RGB, shape (size, size, 3)

PAPER, INK = (250, 250, 247), (25, 25, 30)
WORDS = [
    "the",
    "light",
    "of",
    "a",
    "label",
    "under",
    "water",
    "second",
    "photo",
    "stands",
    "for",
    "what",
    "was",
    "seen",
]
SET_SIZE = 200  # pictures of each generated set
CHOICE_SIZE = 40  # of each, to choose the kind of score
SUBSPACE_DIMENSIONS = 32  # 80 kB; 64 found no more (EXPERIMENTS.md)
TILES = 4  # a side
EPSILON = 1e-12  # of features that are all zero


class NoOodPhotos(InputError):
    """The folder of OOD photos has none that can be read."""


def ood_threshold(ood_score: NDArray[np.float64], share: float) -> float:
    """The smallest OOD score that at least a `share` of these in-distribution photos, shape (photos,), stay within."""
    return float(np.quantile(ood_score, share, method="higher"))


def principal_subspace(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """The directions in which the features of training photos are longest: orthonormal columns, (channels, dimensions).

    `features`: shape (photos, channels). At most `SUBSPACE_DIMENSIONS`, and a quarter of the photos.
    """
    dimensions = max(1, min(SUBSPACE_DIMENSIONS, len(features) // 4))
    directions: NDArray[np.float32] = np.linalg.svd(features, full_matrices=False)[2][:dimensions].T
    return np.ascontiguousarray(directions, np.float32)


def feature_residual(features: NDArray[np.float32], subspace: NDArray[np.float32]) -> NDArray[np.float64]:
    """The share of the features' length outside the subspace, 0…1, shape (photos,): as `served_network` computes it."""
    whole = np.square(features.astype(np.float64)).sum(axis=1)
    inside = np.square(features.astype(np.float64) @ subspace).sum(axis=1)
    residual: NDArray[np.float64] = np.sqrt(np.maximum(1 - inside / (whole + EPSILON), 0))
    return residual


def out_of_fold_residual(
    features: NDArray[np.float32], folds: NDArray[np.int64], at_most: int
) -> NDArray[np.float64]:
    """`feature_residual` of each photo outside the subspace of the photos of other folds, of `at_most` of these.

    `features`: shape (photos, channels); `folds`: shape (photos,). The subspace that a photo itself spans would find it
    more in distribution than a new one.
    """
    residual = np.empty(len(features))
    for fold in np.unique(folds):
        is_held_out = folds == fold
        others = features[~is_held_out]
        chosen = np.linspace(0, len(others) - 1, min(at_most, len(others))).astype(int)
        residual[is_held_out] = feature_residual(features[is_held_out], principal_subspace(others[chosen]))
    return residual


def unlike_photos(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures of no class, to choose the OOD score with: the generated sets, and photos whose tiles are shuffled.

    `pixels`: uint8 RGB, shape (photos, size, size, 3). Tiles keep a photo's colours and textures, without its subject.
    """
    size = pixels.shape[1]
    generated = [
        draw(size, np.random.default_rng(number))
        for draw in OOD_SETS.values()
        for number in range(CHOICE_SIZE)
    ]
    random = np.random.default_rng(0)
    return np.stack([*generated, *(_shuffled(picture, random) for picture in pixels[: 2 * CHOICE_SIZE])])


def auroc(inside: NDArray[np.float64], outside: NDArray[np.float64]) -> float:
    """Area under the ROC curve by which these OOD scores separate the pictures outside from those inside."""
    is_ood = np.repeat([0, 1], [len(inside), len(outside)])
    return float(roc_auc_score(is_ood, np.concatenate([inside, outside])))


def _shuffled(picture: Picture, random: Random) -> Picture:
    side = picture.shape[0] // TILES * TILES
    rows = picture[:side, :side].reshape(TILES, side // TILES, TILES, side // TILES, 3)
    tiles = rows.swapaxes(1, 2).reshape(TILES**2, side // TILES, side // TILES, 3)[
        random.permutation(TILES**2)
    ]
    shuffled = picture.copy()
    shuffled[:side, :side] = (
        tiles.reshape(TILES, TILES, side // TILES, side // TILES, 3).swapaxes(1, 2).reshape(side, side, 3)
    )
    return shuffled


def ood_sets(size: int, photos: Sequence[Path] | None = None) -> dict[str, NDArray[np.uint8]]:
    """OOD set → pictures, uint8 RGB, shape (pictures, size, size, 3); deterministic.

    The sets are those of `OOD_SETS` and, with files of `photos`, `photos`: those of them that can be read.
    Raises: NoOodPhotos if none can.
    """
    sets = {
        name: np.stack([draw(size, np.random.default_rng(number)) for number in range(SET_SIZE)])
        for name, draw in OOD_SETS.items()
    }
    return sets if photos is None else {**sets, "photos": _read_photos(photos, size)}


def _read_photos(paths: Sequence[Path], size: int) -> NDArray[np.uint8]:
    photos = []
    for path in paths:
        with suppress(LensletError, OSError):
            photos.append(decode(path.read_bytes(), size))
    if not photos:
        raise NoOodPhotos(f"none of the {len(paths):,} out-of-distribution files is a photo that can be read")
    return np.stack(photos)


def ood_auroc(
    classifier: Classifier, ood_score: NDArray[np.float64], sets: Mapping[str, NDArray[np.uint8]]
) -> dict[str, float]:
    """Area under the ROC curve of OOD detection, by OOD set; 0.5 is chance.

    Args: the OOD scores of in-distribution photos, shape (photos,); OOD pictures as returned by `ood_sets`.
    """
    areas = {}
    for name, pictures in sets.items():
        scores = np.array([classifier.classify(picture).ood_score for picture in pictures])
        areas[name] = auroc(ood_score, scores)
    return areas


def _noise(size: int, random: Random) -> Picture:
    """Independent pixels around a random grey, as from a covered lens at high gain."""
    pixels = random.normal(random.uniform(40, 215), random.uniform(15, 80), (size, size, 3))
    picture: Picture = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return picture


def _single_colour(size: int, random: Random) -> Picture:
    """One colour."""
    return np.broadcast_to(random.integers(0, 256, 3, np.uint8), (size, size, 3)).copy()


def _drawing(size: int, random: Random) -> Picture:
    """A chart or doodle: lines, boxes and discs in flat colours on paper."""
    picture = Image.new("RGB", (size, size), PAPER)
    pen = ImageDraw.Draw(picture)
    for _ in range(random.integers(4, 14)):
        left, top, right, bottom = random.integers(0, size, 4).tolist()
        box = [min(left, right), min(top, bottom), max(left, right), max(top, bottom)]
        colour = tuple(random.integers(0, 256, 3).tolist())
        kind = random.integers(3)
        if kind == 0:
            pen.line([left, top, right, bottom], fill=INK, width=int(random.integers(1, 4)))
        elif kind == 1:
            pen.rectangle(box, fill=colour, outline=INK)
        else:
            pen.ellipse(box, fill=colour, outline=INK)
    return np.asarray(picture)


def _text(size: int, random: Random) -> Picture:
    """A page of words."""
    picture = Image.new("RGB", (size, size), PAPER)
    pen = ImageDraw.Draw(picture)
    height = int(random.integers(5, 14))
    font = ImageFont.load_default(size=height)
    for top in range(4, size - height, round(1.4 * height)):
        pen.text((4, top), " ".join(random.choice(WORDS, 16)), fill=INK, font=font)
    return np.asarray(picture)


# A new OOD set is a row, a function, and a metric `ood_auroc_<name>` in the table of metrics.
OOD_SETS: dict[str, Callable[[int, Random], Picture]] = {
    "noise": _noise,
    "plain": _single_colour,
    "drawings": _drawing,
    "text": _text,
}

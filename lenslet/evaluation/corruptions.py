"""Image corruptions at five severities, and a model's accuracy under them.

In the spirit of Hendrycks and Dietterich 2019 ("Benchmarking neural network robustness to common corruptions and
perturbations"), applied to the decoded input of the model. A new corruption is a row of `CORRUPTIONS` and a function.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import ndimage
from tqdm import tqdm

from lenslet.evaluation.metrics import accuracy

SEVERITIES = (1, 2, 3, 4, 5)

Picture = NDArray[np.uint8]  # RGB, shape (size, size, 3)
Corrupted = NDArray[np.float64]  # the same shape, not yet rounded
Random = np.random.Generator


@dataclass(frozen=True)
class Corruption:
    apply: Callable[[Picture, float, Random], Corrupted]  # picture, strength, random numbers → corrupted
    strengths: tuple[float, float, float, float, float]  # of severity 1 to 5


def corrupt(picture: Picture, kind: str, severity: int, seed: int) -> Picture:
    """The picture under a row of `CORRUPTIONS`; the same arguments always give the same pixels.

    `picture`: uint8 RGB, shape (size, size, 3), left as it is; `severity`: 1 to 5; `seed`: one per picture.
    """
    row = CORRUPTIONS[kind]
    # Seeded by name, so that a new row does not change the pictures of the others.
    random = np.random.default_rng([seed, severity, zlib.crc32(kind.encode())])
    corrupted = row.apply(picture, row.strengths[severity - 1], random)
    return np.clip(np.rint(corrupted), 0, 255).astype(np.uint8)


def accuracy_by_corruption(
    classify: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    pixels: NDArray[np.uint8],
    targets: NDArray[np.int64],
) -> dict[str, list[float]]:
    """Accuracy under each corruption, at severity 1 to 5.

    Args: a function from pictures, uint8 RGB (photos, size, size, 3), to probabilities (photos, classes); pictures
        and class indices (photos,).
    """
    accuracies: dict[str, list[float]] = {kind: [] for kind in CORRUPTIONS}
    cells = [(kind, severity) for kind in CORRUPTIONS for severity in SEVERITIES]
    for kind, severity in tqdm(cells, "robustness", unit=" cells", leave=False, disable=None):
        corrupted = np.stack([corrupt(picture, kind, severity, seed) for seed, picture in enumerate(pixels)])
        accuracies[kind].append(accuracy(targets, classify(corrupted)))
    return accuracies


def robustness(accuracies: Mapping[str, Sequence[float]], clean: float) -> dict[str, float]:
    """Accuracies under corruption, divided by the accuracy without: mean, worst cell, and mean of each corruption.

    None is above 1: that a corruption helped a few photos is chance.

    Args: corruption → accuracy at each severity; accuracy on the same photos, uncorrupted. Empty if `clean` is 0.
    """
    cells = [value for values in accuracies.values() for value in values]
    if not cells or not clean:
        return {}
    found = {"robustness_mean": min(1.0, float(np.mean(cells)) / clean)}
    found["robustness_worst"] = min(1.0, min(cells) / clean)
    means = {kind: min(1.0, float(np.mean(values)) / clean) for kind, values in accuracies.items() if values}
    return found | {f"robustness.{kind}.mean": mean for kind, mean in means.items()}


def _gaussian_noise(picture: Picture, deviation: float, random: Random) -> Corrupted:
    return picture + random.normal(0, deviation, picture.shape)


def _gaussian_blur(picture: Picture, radius: float, random: Random) -> Corrupted:
    blurred = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(blurred, np.float64)


def _motion_blur(picture: Picture, length: float, random: Random) -> Corrupted:
    """The mean along a line of `length` pixels in a random direction."""
    angle = random.uniform(0, np.pi)
    side = int(length) | 1
    kernel = np.zeros((side, side))
    for step in np.linspace(-side / 2, side / 2, 4 * side):
        row = int(np.clip(round(side / 2 + step * np.sin(angle) - 0.5), 0, side - 1))
        column = int(np.clip(round(side / 2 + step * np.cos(angle) - 0.5), 0, side - 1))
        kernel[row, column] = 1
    weights = (kernel / kernel.sum())[:, :, np.newaxis]
    return np.asarray(ndimage.convolve(picture.astype(np.float64), weights, mode="nearest"))


def _jpeg_quality(picture: Picture, quality: float, random: Random) -> Corrupted:
    file = BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=int(quality))
    with Image.open(file) as decoded:
        return np.asarray(decoded, np.float64)


def _brightness(picture: Picture, change: float, random: Random) -> Corrupted:
    """Lighter or darker, at random, by a share of the full range."""
    corrupted: Corrupted = picture + float(random.choice([-1, 1])) * change * 255
    return corrupted


def _contrast(picture: Picture, remaining: float, random: Random) -> Corrupted:
    mean = float(picture.mean())
    corrupted: Corrupted = mean + (picture - mean) * remaining
    return corrupted


def _rotation(picture: Picture, degrees: float, random: Random) -> Corrupted:
    rotated = ndimage.rotate(
        picture.astype(np.float64), random.choice([-1, 1]) * degrees, reshape=False, order=1, mode="reflect"
    )
    return np.asarray(rotated)


def _down_scaling(picture: Picture, scale: float, random: Random) -> Corrupted:
    """Scaled down and up again, as a thumbnail."""
    image = Image.fromarray(picture)
    small = [max(1, round(side * scale)) for side in image.size]
    bilinear = Image.Resampling.BILINEAR
    return np.asarray(image.resize((small[0], small[1]), bilinear).resize(image.size, bilinear), np.float64)


def _occlusion(picture: Picture, share: float, random: Random) -> Corrupted:
    """A grey square over a share of the picture, at a random place."""
    height, width, _ = picture.shape
    side = round(np.sqrt(share * height * width))
    top, left = random.integers(0, height - side + 1), random.integers(0, width - side + 1)
    corrupted = picture.astype(np.float64)
    corrupted[top : top + side, left : left + side] = 128
    return corrupted


CORRUPTIONS = {
    "gaussian_noise": Corruption(_gaussian_noise, (8, 16, 24, 36, 50)),  # standard deviation, of 255
    "gaussian_blur": Corruption(_gaussian_blur, (0.5, 1, 1.5, 2.5, 4)),  # radius, pixels
    "motion_blur": Corruption(_motion_blur, (3, 5, 7, 11, 15)),  # length, pixels
    "jpeg_quality": Corruption(_jpeg_quality, (50, 30, 20, 10, 5)),  # libjpeg's quality
    "brightness": Corruption(_brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),  # share of the range
    "contrast": Corruption(_contrast, (0.7, 0.5, 0.35, 0.25, 0.15)),  # share that remains
    "rotation": Corruption(_rotation, (5, 10, 20, 30, 45)),  # degrees
    "down_scaling": Corruption(_down_scaling, (0.7, 0.5, 0.35, 0.25, 0.15)),  # share of the side
    "occlusion": Corruption(_occlusion, (0.05, 0.1, 0.2, 0.3, 0.4)),  # share of the area
}

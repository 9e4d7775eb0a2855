"""Photos that say little: dark, bright, blank, with little information, or blurred, measured on what the model sees."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from tqdm import tqdm

from lenslet.dataset.array_file import ArrayFile, cached_values
from lenslet.inference.artifact import sha256_of
from lenslet.inference.decode import RESIZE_RULE

Grey = NDArray[np.float32]  # shape (height, width), 0…1


def brightest(grey: Grey) -> float:
    """99th percentile of the grey levels."""
    return float(np.percentile(grey, 99))


def darkest(grey: Grey) -> float:
    """5th percentile of the grey levels."""
    return float(np.percentile(grey, 5))


def contrast(grey: Grey) -> float:
    """Standard deviation of the grey levels."""
    return float(grey.std())


def entropy(grey: Grey) -> float:
    """Shannon entropy of the grey levels in bits, of 8 at most."""
    counts = np.bincount((grey * 255).astype(np.uint8).ravel(), minlength=256)
    shares = counts[counts > 0] / grey.size
    return float(-(shares * np.log2(shares)).sum())


def blur(grey: Grey) -> float:
    """Perceptual blur, from 0 (sharp) to 1: how little a further blur changes (Crete et al. 2007)."""
    return max(_blur_along(grey, axis) for axis in (0, 1))


def _blur_along(grey: Grey, axis: int) -> float:
    sharp = np.abs(np.diff(grey, axis=axis))
    blurred = np.abs(np.diff(uniform_filter1d(grey, 11, axis=axis), axis=axis))
    inner = tuple(slice(2, -2) for _ in range(2))
    total = float(sharp[inner].sum())
    return 1 - float(np.maximum(0, sharp - blurred)[inner].sum()) / total if total else 1.0


@dataclass(frozen=True)
class Check:
    """A kind of finding: photos whose measure is below, or above, a limit."""

    meaning: str
    measure: Callable[[Grey], float]
    limit: float
    is_upper: bool = False  # the finding begins above the limit
    unit: str = ""

    def is_failed(self, value: float) -> bool:
        return value > self.limit if self.is_upper else value < self.limit


# In this order: a photo is named under the first check that it fails; a dark one still has some contrast. The limits
# of brightness are CleanVision's. Blur is below 0.43 for 99 % of photos of scenes, streets and dishes; its median is
# 0.59 after a blur by 2 of 160 pixels.
CHECKS = {
    "blank": Check("all of one shade", contrast, 0.01, unit="contrast"),
    "dark": Check(
        "even its brightest parts are dark", brightest, 0.32, unit="brightness at the 99th percentile"
    ),
    "bright": Check(
        "even its darkest parts are bright",
        darkest,
        0.95,
        is_upper=True,
        unit="brightness at the 5th percentile",
    ),
    "low information": Check("few different shades", entropy, 2.4, unit="bits of entropy"),
    "blurred": Check("blurred, as the model sees it", blur, 0.55, is_upper=True, unit="blur"),
}


def grey_of(pixels: NDArray[np.uint8]) -> Grey:
    """RGB, shape (height, width, 3), as grey levels (ITU-R 601)."""
    grey: Grey = (pixels @ np.array([0.299, 0.587, 0.114], np.float32)) / np.float32(255)
    return grey


def measured(pixels: NDArray[np.uint8]) -> list[float]:
    """The value of each of CHECKS for one picture."""
    grey = grey_of(pixels)
    return [check.measure(grey) for check in CHECKS.values()]


def failed_check(values: Sequence[float]) -> tuple[str, str] | None:
    """The first of CHECKS that a picture with these `values` fails, with its value in words; None if it passes all."""
    for (kind, check), value in zip(CHECKS.items(), values, strict=True):
        if check.is_failed(value):
            return kind, f"{check.unit} {value:.2f}, limit {check.limit:g}"
    return None


def cached_measures(
    pixels: ArrayFile, rows: NDArray[np.int64], hashes: Sequence[str], cache: Path
) -> NDArray[np.float64]:
    """`measured` of each photo, shape (photos, checks); from `cache` if they were measured before.

    Raises: CacheFull.
    """
    recipe = f"{RESIZE_RULE} {PIL.__version__} {pixels.shape[1]} {list(CHECKS)} {' '.join(hashes)}"
    path = cache / f"quality-{sha256_of(recipe.encode())[:16]}.npy"

    def compute() -> NDArray[np.float64]:
        different, places = np.unique(rows, return_inverse=True)  # copies share a row
        bar = tqdm(different, "measuring", unit=" photos", leave=False, disable=None)
        values = np.array([measured(pixels[row]) for row in bar], np.float64)
        return values.reshape(len(different), len(CHECKS))[places]

    values: NDArray[np.float64] = cached_values(path, compute)
    return values

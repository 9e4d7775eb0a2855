"""Whether two photos with similar perceptual hashes are copies: their pixels, aligned, have to agree everywhere.

A hash alone calls handwritten digits and filled-in forms copies of each other. The copies that count here differ by
encoding, size, light, or a cut of a few percent at the edges; so the second picture is shifted, stretched and adjusted
in light until it fits the first best (Lucas and Kanade 1981, with gain and bias), and the rest is judged.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates, spline_filter
from tqdm import tqdm

from lenslet.dataset.array_file import ArrayFile
from lenslet.dataset.sampling import evenly_spaced
from lenslet.inference.processors import processors

SIDE = 40  # pixels of the compared pictures
SIGMA = 0.8  # pixels; less detail than that survives no new size
STEPS = 10
MAX_WARP = (
    0.07  # of the half side: shift, and change of scale; a cut of 2 % at each side changes the scale by 4 %
)
INSIDE = 0.94  # of the half side: what lies further out may have been cut off
CLIPPED = (4, 250)  # of 255: darker and brighter pixels say nothing about a change of light
MIN_COMPARED = 0.25  # of the pixels

# Of 110 photos (Intel, dishes) at JPEG quality 40, half size, cut by 2 % and 1.2 times as bright, all are within these
# limits. Forms of one template that differ in a single word are not: their largest difference is 0.77 at least.
MAX_ERROR = 0.028  # unexplained share of the variance
MAX_DIFFERENCE = 0.65  # standard deviations, of one pixel
# Of handwritten digits, the most similar ones are within both. A copy stands out: its error and its difference are at
# most these shares of those of the nearest pictures that are no copies.
MAX_ERROR_RATIO = 0.2
MAX_DIFFERENCE_RATIO = 0.3
HOPELESS = 5 * MAX_ERROR  # after EARLY_STEPS
EARLY_STEPS = 3
MAX_PAIRS = 5_000  # those with the fewest different bits: photos have few, pictures of one kind very many
NEIGHBOURS = 3
REFERENCES = 4096  # pictures among which these are looked for


@dataclass(frozen=True)
class Picture:
    """A photo as it is compared: grey, without fine detail."""

    grey: NDArray[np.float64]  # shape (SIDE, SIDE)
    clipped: NDArray[np.float64]  # share of clipped pixels, the same shape
    spline: NDArray[np.float64]  # coefficients, to read it between pixels


@dataclass(frozen=True)
class Fit:
    """Residual difference of two pictures after alignment."""

    error: float
    difference: float

    @property
    def is_close(self) -> bool:
        return self.error <= MAX_ERROR and self.difference <= MAX_DIFFERENCE

    def stands_out(self, other: "Fit") -> bool:
        """Whether it is much closer than `other`."""
        return (
            self.error <= MAX_ERROR_RATIO * other.error
            and self.difference <= MAX_DIFFERENCE_RATIO * other.difference
        )


def confirmed(pixels: ArrayFile, rows: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of the `pairs` (shape (pairs, 3): two positions in `rows`, and bits) whose photos are copies."""
    pictures: dict[int, Picture] = {}

    def picture(number: int) -> Picture:
        if number not in pictures:
            pictures[number] = picture_of(pixels[rows[number]])
        return pictures[number]

    pairs = pairs[np.argsort(pairs[:, 2], kind="stable")[:MAX_PAIRS]]
    fits = _in_parallel(lambda pair: fit_of(picture(pair[0]), picture(pair[1])), pairs.tolist())
    close = [place for place, fit in enumerate(fits) if fit.is_close]
    partners: dict[int, set[int]] = defaultdict(set)
    for one, two, _ in pairs[close].tolist():
        partners[one].add(two)
        partners[two].add(one)
    if not close:
        return pairs[:0]
    nearest = _nearest_others(pixels, rows, partners, picture)
    stand_out = [
        place for place in close if all(fits[place].stands_out(nearest[int(n)]) for n in pairs[place, :2])
    ]
    found: NDArray[np.int64] = np.unique(pairs[stand_out], axis=0)
    return found


def picture_of(pixels: NDArray[np.uint8]) -> Picture:
    grey = np.asarray(Image.fromarray(pixels).convert("L"), np.float32)
    low, high = CLIPPED
    clipped = ((grey <= low) | (grey >= high)).astype(np.float32)
    small, share = (gaussian_filter(_small(each), SIGMA, mode="nearest") for each in (grey, clipped))
    return Picture(small, share, spline_filter(small, mode="nearest"))


def fit_of(one: Picture, two: Picture) -> Fit:
    """Align `two` with `one`; the best of all steps."""
    down, across = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    warp = np.zeros(4)  # stretch and shift across, stretch and shift down
    best = Fit(np.inf, np.inf)
    for step_number in range(STEPS):
        if step_number == EARLY_STEPS and best.error > HOPELESS:
            break
        x, y = across * (1 + warp[0]) + warp[1], down * (1 + warp[2]) + warp[3]
        places = [(y + 1) / 2 * (SIDE - 1), (x + 1) / 2 * (SIDE - 1)]
        moved = map_coordinates(two.spline, places, mode="nearest", prefilter=False)
        compared = np.maximum.reduce([np.abs(x), np.abs(y), np.abs(across), np.abs(down)]) <= INSIDE
        unclipped = map_coordinates(two.clipped, places, order=1, mode="nearest") + one.clipped < 0.3
        if (compared & unclipped).mean() >= MIN_COMPARED:
            compared &= unclipped
        target, ones = one.grey[compared], np.ones(compared.sum())
        light = np.column_stack([moved[compared], ones])
        rest = target - light @ _least_squares(light, target)
        deviation = max(float(target.std()), 1e-3)
        fit = Fit(float((rest**2).mean()) / deviation**2, float(np.abs(rest).max()) / deviation)
        best = min(best, fit, key=lambda each: each.error)
        slope_down, slope_across = (slope[compared] * (SIDE - 1) / 2 for slope in np.gradient(moved))
        x, y = across[compared], down[compared]
        moves = [slope_across * x, slope_across, slope_down * y, slope_down]
        change = _least_squares(np.column_stack([light, *moves]), target)
        if abs(change[0]) < 1e-3:  # one is flat where the other is not
            break
        step = change[2:] / change[0]
        warp = np.clip(warp + step, -MAX_WARP, MAX_WARP)
        if np.abs(step).max() < 1e-4:
            break
    return best


def _nearest_others(
    pixels: ArrayFile,
    rows: NDArray[np.int64],
    partners: Mapping[int, set[int]],
    picture: Callable[[int], Picture],
) -> dict[int, Fit]:
    """Photo → the closest fit among the most similar photos, by correlation first, that are none of its `partners`."""
    references = evenly_spaced(len(rows), REFERENCES)
    vectors = np.stack([_unit_vector(picture_of(pixels[rows[number]])) for number in references])

    def closest(number: int) -> Fit:
        excluded = {number, *partners[number]}
        correlations = vectors @ _unit_vector(picture(number))
        nearest = np.argsort(-correlations)[: NEIGHBOURS + len(excluded)]
        others = [int(references[each]) for each in nearest if int(references[each]) not in excluded]
        fits = [fit_of(picture(number), picture(other)) for other in others[:NEIGHBOURS]]
        error = min((fit.error for fit in fits), default=np.inf)
        return Fit(error, min((fit.difference for fit in fits), default=np.inf))

    return dict(zip(partners, _in_parallel(closest, list(partners)), strict=True))


def _in_parallel(work: Callable[[Any], Fit], items: Sequence[Any]) -> list[Fit]:
    # Threads suffice: numpy and scipy let go of the interpreter lock for most of it.
    with ThreadPoolExecutor(processors()) as pool:
        done = pool.map(work, items)
        return list(tqdm(done, "confirming", total=len(items), unit=" pairs", leave=False, disable=None))


def _small(values: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(Image.fromarray(values).resize((SIDE, SIDE), Image.Resampling.BOX), np.float64)


def _unit_vector(picture: Picture) -> NDArray[np.float32]:
    vector = (picture.grey - picture.grey.mean()).ravel()
    unit: NDArray[np.float32] = (vector / max(float(np.linalg.norm(vector)), 1e-6)).astype(np.float32)
    return unit


def _least_squares(columns: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """By normal equations: ten times as fast as a decomposition, and the ridge keeps flat pictures solvable."""
    square = columns.T @ columns
    square[np.diag_indices_from(square)] += 1e-6 * np.trace(square) / len(square)
    solution: NDArray[np.float64] = np.linalg.solve(square, columns.T @ target)
    return solution

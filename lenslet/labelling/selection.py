"""Which photos to label next: uncertain ones that differ from each other and from those already labelled.

Margin sampling (Scheffer, Decomain and Wrobel 2001) proposes; k-centre greedy on backbone features (Sener and
Savarese 2018) chooses among the proposed, so that one hard scene does not take the whole budget.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PROPOSED = 5  # times the wanted count: the most uncertain photos, among which diversity chooses


@dataclass(frozen=True)
class Selection:
    """Positions of photos in the order in which they should be labelled."""

    chosen: NDArray[np.int64]
    out_of_distribution: NDArray[
        np.int64
    ]  # set apart, the most foreign first: a person decides whether they belong
    near_copies: NDArray[np.int64]  # left out: a photo that looks the same stands for them


def margins(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Difference of the two highest probabilities, shape (photos,): 0 is as uncertain as can be.

    Args: calibrated probabilities, shape (photos, classes).
    """
    highest = np.sort(probabilities.astype(np.float64), axis=1)
    found: NDArray[np.float64] = highest[:, -1] - highest[:, -2]
    return found


def select(
    probabilities: NDArray[np.floating[Any]],
    features: NDArray[np.float32],
    count: int,
    labelled: NDArray[np.float32] | None = None,
    ood_scores: NDArray[np.float64] | None = None,
    ood_threshold: float = np.inf,
    groups: Sequence[str] | None = None,
) -> Selection:
    """Choose up to `count` photos to label.

    Args: of the unlabelled photos the probabilities (photos, classes), features (photos, channels), OOD scores
        (photos,) and the name of the group of near copies that each belongs to; of those that have labels already
        the features (labelled, channels).
    """
    margin = margins(probabilities)
    photos = np.arange(len(margin))
    is_foreign = photos < 0 if ood_scores is None else ood_scores > ood_threshold
    first_of_group: dict[str, int] = {}
    names = [str(number) for number in photos] if groups is None else groups
    for number in np.argsort(margin, kind="stable"):
        if not is_foreign[number]:
            first_of_group.setdefault(names[number], int(number))
    candidates = np.array(list(first_of_group.values()), np.int64)  # by margin, the most uncertain first
    proposed = candidates[: PROPOSED * count]
    order = k_centre(features[proposed], min(count, len(proposed)), labelled)
    foreign = np.flatnonzero(is_foreign)
    scores = np.zeros(len(photos)) if ood_scores is None else ood_scores
    return Selection(
        chosen=proposed[order],
        out_of_distribution=foreign[np.argsort(-scores[foreign], kind="stable")],
        near_copies=np.setdiff1d(photos[~is_foreign], candidates),
    )


def k_centre(
    features: NDArray[np.float32], count: int, labelled: NDArray[np.float32] | None = None
) -> NDArray[np.int64]:
    """Greedy k-centre: each next photo is the one furthest from all that are chosen or labelled (Gonzalez 1985).

    Distances are Euclidean between features of length 1. Without labelled photos the first photo begins.
    Returns: positions in `features`, shape (count,).
    """
    points = _of_length_one(features)
    nearest = np.full(len(points), np.inf, np.float32)
    if labelled is not None:
        for start in range(0, len(labelled), 1024):
            nearest = np.minimum(nearest, _distances(points, _of_length_one(labelled[start : start + 1024])))
    chosen: list[int] = []
    for _ in range(count):
        number = int(nearest.argmax())
        chosen.append(number)
        nearest = np.minimum(nearest, _distances(points, points[number : number + 1]))
        nearest[number] = -np.inf
    return np.array(chosen, np.int64)


def _of_length_one(features: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = features / np.maximum(lengths, 1e-12)
    return scaled


def _distances(points: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distance of each point to the nearest of `others`, both of length 1."""
    closest: NDArray[np.float32] = np.sqrt(np.maximum(2 - 2 * (points @ others.T).max(axis=1), 0))
    return closest

"""Which photos to label next: the most uncertain ones, near copies once.

Margin sampling (Scheffer, Decomain and Wrobel 2001). Choosing unlike photos among the uncertain ones (k-centre greedy,
Sener and Savarese 2018) needs more labels here: `bench/active_learning.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Selection:
    """Positions of photos in the order in which they should be labelled."""

    chosen: NDArray[np.int64]
    # Set apart, the most foreign first: a person decides whether they belong.
    out_of_distribution: NDArray[np.int64]
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
    count: int,
    ood_scores: NDArray[np.float64] | None = None,
    ood_threshold: float = np.inf,
    groups: Sequence[str] | None = None,
) -> Selection:
    """Choose up to `count` photos to label.

    Args: of the unlabelled photos the probabilities (photos, classes), OOD scores (photos,) and the name of the group
        of near copies that each belongs to.
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
    foreign = np.flatnonzero(is_foreign)
    scores = np.zeros(len(photos)) if ood_scores is None else ood_scores
    return Selection(
        chosen=candidates[:count],
        out_of_distribution=foreign[np.argsort(-scores[foreign], kind="stable")],
        near_copies=np.setdiff1d(photos[~is_foreign], candidates),
    )

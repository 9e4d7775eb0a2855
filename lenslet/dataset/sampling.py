"""Even samples: positions spread over photos that lie class by class, always the same ones."""

import numpy as np
from numpy.typing import NDArray


def evenly_spaced(count: int, wanted: int) -> NDArray[np.int64]:
    """At most `wanted` of the positions 0…count-1, evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).astype(np.int64))


def evenly_spaced_by_class(targets: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """About `wanted` positions in `targets`, evenly spread over each class; at least ten of each stay."""
    classes = np.unique(targets)
    share = max(10, wanted // len(classes))
    members = [np.flatnonzero(targets == number) for number in classes]
    return np.sort(np.concatenate([each[evenly_spaced(len(each), share)] for each in members]))

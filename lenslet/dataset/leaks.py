"""Leaks: photos with a copy in another of the splits that a person made."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lenslet.dataset.perceptual_hashes import BITS
from lenslet.dataset.photos import SPLITS, LeftOut, Photo


def leaks(photos: Sequence[Photo], hashes: Sequence[str], pairs: NDArray[np.int64]) -> dict[int, LeftOut]:
    """Position → the leak of each photo that has a copy in a later split, the most similar one.

    Of two copies, it is the one that is learned from: of training and test, the training photo. Without it, nothing
    leaks. `pairs` are the duplicates of a Dataset, whose splits are those that the photos came with.
    """
    found: dict[int, LeftOut] = {}
    for first, second, distance in sorted(pairs.tolist(), key=lambda pair: pair[2]):
        one, two = sorted((first, second), key=lambda number: _order(photos[number]))
        if _order(photos[one]) != _order(photos[two]) and one not in found:
            alike = alikeness(hashes[first] == hashes[second], distance)
            detail = f"{photos[one].split} and {photos[two].split}, {alike}"
            labels = (photos[one].label, photos[two].label)
            differ = f"{labels[0]} and {labels[1]}, {alike}" if labels[0] != labels[1] else ""
            found[one] = LeftOut(photos[one].path, "leak", detail, photos[two].path, differ)
    return found


def alikeness(is_exact: bool, distance: int) -> str:
    """How much two copies have in common."""
    return "every byte is the same" if is_exact else f"{distance} of {BITS} bits differ"


def _order(photo: Photo) -> int:
    """Training, validation, test; photos without a split may be trained on."""
    return SPLITS.index(photo.split or "train")

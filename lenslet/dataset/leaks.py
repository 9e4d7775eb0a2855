"""Leaks: photos with a copy in another of the splits that a person made."""

from collections import defaultdict
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
    same: dict[str, list[int]] = defaultdict(list)
    for number, digest in enumerate(hashes):
        same[digest].append(number)
    # Of photos with the same bytes, the pairs name only one.
    similar: dict[str, list[tuple[int, str]]] = {digest: [(0, digest)] for digest in same}
    for first, second, distance in pairs.tolist():
        if hashes[first] != hashes[second]:
            similar[hashes[first]].append((distance, hashes[second]))
            similar[hashes[second]].append((distance, hashes[first]))
    found = {}
    for number, digest in enumerate(hashes):
        copies = ((distance, each) for distance, other in sorted(similar[digest]) for each in same[other])
        later = (
            (distance, each) for distance, each in copies if _order(photos[each]) > _order(photos[number])
        )
        if copy := next(later, None):
            found[number] = _leak(
                photos[number], photos[copy[1]], alikeness(hashes[copy[1]] == digest, copy[0])
            )
    return found


def alikeness(is_exact: bool, distance: int) -> str:
    """How much two copies have in common."""
    return "every byte is the same" if is_exact else f"{distance} of {BITS} bits differ"


def _leak(photo: Photo, copy: Photo, alike: str) -> LeftOut:
    differ = f"{photo.label} and {copy.label}, {alike}" if photo.label != copy.label else ""
    return LeftOut(photo.path, "leak", f"{photo.split} and {copy.split}, {alike}", copy.path, differ)


def _order(photo: Photo) -> int:
    """Training, validation, test; photos without a split may be trained on."""
    return SPLITS.index(photo.split or "train")

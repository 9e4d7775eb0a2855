"""Pairs of similar perceptual hashes: by comparing all, or, of many photos, those that share a part of their bits."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lenslet.dataset.perceptual_hashes import BITS

# Of 121 million pairs of the Intel set, 123 differ in at most 64 of the 256 bits and every one shows the same scene;
# the first two wrong pairs come at 70. Hashes of 64 bits find wrong pairs before they find photos cut by 4 %.
MAX_DISTANCE = BITS // 4
# The hash does not see colour: what is alike but for its colour may well be another class.
MAX_COLOUR_DISTANCE = 64  # of 255, between the mean colours, averaged over the channels
BLOCK = 1024  # rows of the table of distances that are in memory at once
MAX_PAIRS = 200_000  # kept, those with the fewest different bits: sets of similar drawings have millions

# Beyond this many photos, only those are compared that agree in all of KEY_BITS bits, drawn again TABLES times (Indyk
# and Motwani 1998). Of pairs 16 bits apart all are found, of 32 bits 99.9 %, of 48 bits 90 %, of 64 bits 47 %: an
# encoding or a size changes up to 16 bits, a cut of 2 % up to 56.
MOST_COMPARED_ALL = 50_000
TABLES = 64
KEY_BITS = 16
NEAREST_IN_BUCKET = 50  # photos that share a key are compared with so many of those after them


def similar_pairs(bits: NDArray[np.bool_], colours: NDArray[np.float32]) -> NDArray[np.int64]:
    """Pairs of hashes at most MAX_DISTANCE bits apart, of similar colour; as `near_duplicates` returns them.

    `bits` and `colours` are those of `perceptual_hashes`.
    """
    # A median leaves half of the bits set, unless the picture has no detail: then the hash says nothing.
    telling = np.flatnonzero(bits.sum(axis=1) >= BITS // 4)
    compare = _compare_all if len(telling) <= MOST_COMPARED_ALL else _compare_buckets
    pairs = np.empty((0, 3), np.int64)
    for found in compare(bits[telling]):
        first, second = telling[found[:, 0]], telling[found[:, 1]]
        is_alike = np.abs(colours[first] - colours[second]).mean(axis=1) <= MAX_COLOUR_DISTANCE
        some = np.column_stack([first, second, found[:, 2]])[is_alike]
        pairs = np.concatenate([pairs, some.astype(np.int64)])
        if len(pairs) > 2 * MAX_PAIRS:
            pairs = _closest(pairs)
    return _closest(np.unique(pairs, axis=0))


def _closest(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The MAX_PAIRS with the fewest different bits, in the order of positions."""
    kept: NDArray[np.int64] = np.unique(pairs[np.argsort(pairs[:, 2], kind="stable")[:MAX_PAIRS]], axis=0)
    return kept


def _compare_all(bits: NDArray[np.bool_]) -> Iterator[NDArray[np.int64]]:
    signs = bits * np.float32(2) - 1
    for start in range(0, len(bits), BLOCK):
        # Equal signs count +1, others −1: the product is BITS − 2 × distance, and exact in float32.
        distances = (BITS - signs[start : start + BLOCK] @ signs[start:].T) / 2
        first, second = np.nonzero(np.triu(distances <= MAX_DISTANCE, k=1))
        yield np.column_stack([start + first, start + second, distances[first, second]]).astype(np.int64)


def _compare_buckets(bits: NDArray[np.bool_]) -> Iterator[NDArray[np.int64]]:
    generator = np.random.default_rng(0)
    packed = np.packbits(bits, axis=1)
    weights = 1 << np.arange(KEY_BITS)
    for _ in range(TABLES):
        keys = bits[:, generator.choice(BITS, KEY_BITS, replace=False)] @ weights
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        for step in range(1, NEAREST_IN_BUCKET + 1):
            same = np.flatnonzero(keys[step:] == keys[:-step])
            if not len(same):
                break
            one, two = order[same], order[same + step]
            distances = SET_BITS[packed[one] ^ packed[two]].sum(axis=1, dtype=np.int64)
            near = distances <= MAX_DISTANCE
            first, second = np.minimum(one, two)[near], np.maximum(one, two)[near]
            yield np.column_stack([first, second, distances[near]])


SET_BITS = np.array([byte.bit_count() for byte in range(256)], np.uint8)

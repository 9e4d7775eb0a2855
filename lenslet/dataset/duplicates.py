"""The same photo twice: by its bytes, or by a perceptual hash that survives new encodings, sizes and light."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import imagehash
import numpy as np
import PIL
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lenslet.dataset.array_file import ArrayFile, cached_values
from lenslet.dataset.perceptual_hashes import BITS, HASH_SIDE, perceptual_hashes
from lenslet.inference.artifact import sha256_of
from lenslet.inference.decode import RESIZE_RULE

# Of 121 million pairs of the Intel set, 123 differ in at most 64 of the 256 bits and every one shows the same scene;
# the first two wrong pairs come at 70. Hashes of 64 bits find wrong pairs before they find photos cut by 4 %.
MAX_DISTANCE = BITS // 4
# The hash does not see colour: what is alike but for its colour may well be another class.
MAX_COLOUR_DISTANCE = 64  # of 255, between the mean colours, averaged over the channels
BLOCK = 1024  # rows of the table of distances that are in memory at once


def near_duplicates(
    pixels: ArrayFile, rows: NDArray[np.int64], hashes: Sequence[str], cache: Path
) -> NDArray[np.int64]:
    """Pairs of photos that look the same, exact copies included; from `cache` if the same photos were compared.

    `pixels` and `rows` are those of a Dataset, `hashes` the checksums of its files.
    Returns: shape (pairs, 3): two positions in `rows`, the first the smaller one, and the bits in which they differ.
    Raises: CacheFull.
    """
    versions = f"{RESIZE_RULE} {PIL.__version__} {imagehash.__version__}"
    limits = f"{HASH_SIDE} {MAX_DISTANCE} {MAX_COLOUR_DISTANCE}"
    recipe = " ".join((versions, limits, str(pixels.shape[1:]), *hashes))
    path = cache / f"duplicates-{sha256_of(recipe.encode())[:16]}.npy"

    def compute() -> NDArray[np.int64]:
        similar = similar_pairs(*perceptual_hashes(pixels, rows))
        return np.unique(np.concatenate([copies(hashes), similar]), axis=0)

    pairs: NDArray[np.int64] = cached_values(path, compute)
    return pairs


def copies(hashes: Sequence[str]) -> NDArray[np.int64]:
    """Each later copy of a file beside its first; as `near_duplicates` returns them, the distance 0."""
    first: dict[str, int] = {}
    pairs = [(first.setdefault(digest, number), number, 0) for number, digest in enumerate(hashes)]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], np.int64).reshape(-1, 3)


def similar_pairs(bits: NDArray[np.bool_], colours: NDArray[np.float32]) -> NDArray[np.int64]:
    """Pairs of hashes at most MAX_DISTANCE bits apart, of similar colour; as `near_duplicates` returns them."""
    # A median leaves half of the bits set, unless the picture has no detail: then the hash says nothing.
    telling = np.flatnonzero(bits.sum(axis=1) >= BITS // 4)
    signs = bits[telling] * np.float32(2) - 1
    found = [np.empty((0, 3), np.int64)]
    for start in range(0, len(telling), BLOCK):
        # Equal signs count +1, others −1: the product is BITS − 2 × distance, and exact in float32.
        distances = (BITS - signs[start : start + BLOCK] @ signs[start:].T) / 2
        first, second = np.nonzero(np.triu(distances <= MAX_DISTANCE, k=1))
        found.append(
            np.stack([telling[start + first], telling[start + second], distances[first, second]], axis=1)
        )
    pairs = np.concatenate(found).astype(np.int64)
    differences = np.abs(colours[pairs[:, 0]] - colours[pairs[:, 1]]).mean(axis=1)
    alike: NDArray[np.int64] = pairs[differences <= MAX_COLOUR_DISTANCE]
    return alike


def cluster_names(hashes: Sequence[str], pairs: NDArray[np.int64]) -> list[str]:
    """The name of each photo's cluster: the smallest checksum among the photos that it is alike to, step by step.

    A photo without duplicates is a cluster of its own, named by its own checksum.
    """
    edges = np.concatenate([copies(hashes), pairs])[:, :2]
    graph = coo_array((np.ones(len(edges), np.int8), edges.T), shape=(len(hashes), len(hashes)))
    _, clusters = connected_components(graph, directed=False)
    members = defaultdict(list)
    for cluster, digest in zip(clusters, hashes, strict=True):
        members[cluster].append(digest)
    return [min(members[cluster]) for cluster in clusters]

"""Copies of photos: by their bytes, or nominated by a perceptual hash and confirmed by their pixels."""

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
from lenslet.dataset.confirmation import confirmed
from lenslet.dataset.hash_pairs import similar_pairs
from lenslet.dataset.perceptual_hashes import perceptual_hashes
from lenslet.inference.artifact import sha256_of
from lenslet.inference.decode import RESIZE_RULE

RULES = "2"  # of hashes and confirmation: a change makes cached pairs again


def near_duplicates(
    pixels: ArrayFile, rows: NDArray[np.int64], hashes: Sequence[str], cache: Path
) -> NDArray[np.int64]:
    """Pairs of copies, exact ones included; from `cache` if the same photos were compared.

    `pixels` and `rows` are those of a Dataset, `hashes` the checksums of its files.
    Returns: shape (pairs, 3): two positions in `rows`, the first the smaller one, and the bits in which they differ.
    Raises: CacheFull.
    """
    versions = f"{RESIZE_RULE} {PIL.__version__} {imagehash.__version__}"
    recipe = " ".join((versions, RULES, str(pixels.shape[1:]), *hashes))
    path = cache / f"duplicates-{sha256_of(recipe.encode())[:16]}.npy"

    def compute() -> NDArray[np.int64]:
        exact = copies(hashes)
        first = np.setdiff1d(np.arange(len(rows)), exact[:, 1])  # the first of each content
        nominated = similar_pairs(*perceptual_hashes(pixels, rows[first]))
        similar = confirmed(pixels, rows[first], nominated)
        similar[:, :2] = first[similar[:, :2]]
        found: NDArray[np.int64] = np.unique(np.concatenate([exact, similar]), axis=0)
        return found

    pairs: NDArray[np.int64] = cached_values(path, compute)
    return pairs


def copies(hashes: Sequence[str]) -> NDArray[np.int64]:
    """Each later copy of a file beside its first; as `near_duplicates` returns them, the distance 0."""
    first: dict[str, int] = {}
    pairs = [(first.setdefault(digest, number), number, 0) for number, digest in enumerate(hashes)]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], np.int64).reshape(-1, 3)


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

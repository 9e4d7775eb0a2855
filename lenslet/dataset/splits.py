"""Draws of the splits that a folder does not bring, class by class, with copies kept together."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lenslet.config import TrainParams
from lenslet.dataset.dataset import NO_PAIRS
from lenslet.dataset.duplicates import cluster_names
from lenslet.dataset.photos import Photo
from lenslet.inference.artifact import sha256_of


def assign_splits(
    photos: list[Photo],
    hashes: list[str],
    params: TrainParams,
    duplicates: NDArray[np.int64] = NO_PAIRS,
) -> list[Photo]:
    """Draw the splits that the folder does not have, class by class, by the seed and the photos' content.

    The order is that of a hash of seed and content: names and places do not matter, a new photo moves few others.
    Photos that look the same (`duplicates`, as in a Dataset) stay together. A missing test split is drawn first,
    from all photos; a missing validation split from the training photos.
    """
    given = {photo.split for photo in photos}
    fractions = {"test": params.test_fraction, "validation": params.validation_fraction}
    splits: list[str] = [photo.split or "train" for photo in photos]
    clusters = cluster_names(hashes, duplicates)
    for split, fraction in fractions.items():
        if split in given or fraction == 0:
            continue
        members = [number for number in range(len(photos)) if splits[number] == "train"]
        labels = {number: photos[number].label for number in members}
        groups = _groups(labels, clusters, hashes)
        order = sorted(groups, key=lambda name: sha256_of(f"{params.split_seed} {name}".encode()))
        for number in _draw([groups[name] for name in order], labels, fraction):
            splits[number] = split
    return [replace(photo, split=split) for photo, split in zip(photos, splits, strict=True)]


def _groups(labels: dict[int, str], clusters: Sequence[str], hashes: Sequence[str]) -> dict[str, list[int]]:
    """What is drawn as one, by its name: clusters of similar photos, of the photos whose label is given."""
    sizes = Counter(labels.values())
    shares = Counter((clusters[number], label) for number, label in labels.items())
    # If most of a class looks the same (a fixed camera), no honest draw exists: only exact copies stay together.
    broken = {cluster for (cluster, label), share in shares.items() if 2 * share > sizes[label]}
    groups: dict[str, list[int]] = {}
    for number in labels:
        name = hashes[number] if clusters[number] in broken else clusters[number]
        groups.setdefault(name, []).append(number)
    return groups


def _draw(groups: Iterable[list[int]], labels: dict[int, str], fraction: float) -> list[int]:
    """Whole groups in their order, as long as no class gets more than its fraction, or than its smallest group."""
    needs = [(group, Counter(labels[number] for number in group)) for group in groups]
    room = {label: max(1, round(fraction * count)) for label, count in Counter(labels.values()).items()}
    for label in room:
        room[label] = max(room[label], min(need[label] for _, need in needs if need[label]))
    drawn: list[int] = []
    for group, need in needs:
        if all(count <= room[label] for label, count in need.items()):
            drawn += group
            for label, count in need.items():
                room[label] -= count
    return drawn

"""Draws of the splits that a folder does not bring, class by class, with copies kept together."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lenslet.config import TrainParams
from lenslet.dataset.dataset import NO_PAIRS, Dataset
from lenslet.dataset.duplicates import cluster_names
from lenslet.dataset.photos import Photo
from lenslet.inference.artifact import sha256_of


def assign_splits(
    photos: list[Photo],
    hashes: list[str],
    params: TrainParams,
    duplicates: NDArray[np.int64] = NO_PAIRS,
) -> list[Photo]:
    """Draw the splits that are not given, class by class, by the seed and the photos' content.

    The order is that of a hash of seed and content: names and places do not matter, a new photo moves few others.
    Copies of a photo (`duplicates`, as in a Dataset) and photos of one group stay together, so that nothing leaks. A
    missing test split is drawn first, from all photos; a missing validation split from the training photos.
    """
    given = {photo.split for photo in photos}
    fractions = {"test": params.test_fraction, "validation": params.validation_fraction}
    splits: list[str] = [photo.split or "train" for photo in photos]
    clusters = cluster_names(hashes, np.concatenate([duplicates, _group_pairs(photos)]))
    # Photos that stay together even where all photos of a class are copies of each other.
    exact = [photo.group or digest for photo, digest in zip(photos, hashes, strict=True)]
    for split, fraction in fractions.items():
        if split in given or fraction == 0:
            continue
        members = [number for number in range(len(photos)) if splits[number] == "train"]
        labels = {number: photos[number].label for number in members}
        groups = _groups(labels, clusters, exact, fraction)
        order = sorted(groups, key=lambda name: sha256_of(f"{params.split_seed} {name}".encode()))
        for number in _draw([groups[name] for name in order], labels, fraction):
            splits[number] = split
    unused = _other_folds(photos, splits, clusters, params) if params.fold else set()
    return [
        replace(photo, split=None if number in unused else split)
        for number, (photo, split) in enumerate(zip(photos, splits, strict=True))
    ]


def _other_folds(
    photos: Sequence[Photo], splits: Sequence[str], clusters: Sequence[str], params: TrainParams
) -> set[int]:
    """Positions of the training photos outside `params.training_fold`: folds of equal size, class by class, with
    copies in the same fold."""
    fold, folds = params.fold or (1, 1)
    members = [number for number in range(len(photos)) if splits[number] == "train"]
    labels, names = ([photos[each].label for each in members], [clusters[each] for each in members])
    dealt = dealt_folds(labels, names, folds, params.split_seed)
    return {number for number, each in zip(members, dealt, strict=True) if each != fold - 1}


def dealt_folds(labels: Sequence[str], clusters: Sequence[str], folds: int, seed: int) -> list[int]:
    """The fold of each photo, from 0: of equal size, class by class, with the photos of a cluster in the same fold."""
    order = sorted(
        range(len(labels)), key=lambda number: sha256_of(f"fold {seed} {clusters[number]}".encode())
    )
    of_cluster: dict[str, int] = {}
    assigned: Counter[str] = Counter()
    for number in order:
        if clusters[number] not in of_cluster:
            of_cluster[clusters[number]] = assigned[labels[number]] % folds
            assigned[labels[number]] += 1
    return [of_cluster[cluster] for cluster in clusters]


def cross_validation_folds(
    dataset: Dataset, members: NDArray[np.int64], folds: int, seed: int
) -> NDArray[np.int64] | None:
    """The fold of each of these photos, from 0; a class of fewer photos is in fewer folds.

    Copies and photos of one group share a fold, as far as a class is not mostly copies of each other. None if a class
    cannot be in two folds.
    """
    photos = [dataset.photos[each] for each in members]
    hashes = [dataset.hashes[each] for each in members]
    labels, position = (
        [photo.label for photo in photos],
        {each: row for row, each in enumerate(members.tolist())},
    )
    pairs = [
        (position[first], position[second], bits)
        for first, second, bits in dataset.duplicates.tolist()
        if first in position and second in position
    ]
    known = np.array(pairs, np.int64).reshape(-1, 3)
    clusters = cluster_names(hashes, np.concatenate([known, _group_pairs(photos)]))
    exact = [photo.group or digest for photo, digest in zip(photos, hashes, strict=True)]
    groups = _groups(dict(enumerate(labels)), clusters, exact, 1 / folds)
    names = [""] * len(photos)
    for name, numbers in groups.items():
        for number in numbers:
            names[number] = name
    dealt = np.array(dealt_folds(labels, names, folds, seed))
    targets = dataset.targets[members]
    is_apart = all(len(set(dealt[targets == label])) > 1 for label in np.unique(targets))
    return dealt if is_apart else None


def _group_pairs(photos: Sequence[Photo]) -> NDArray[np.int64]:
    """Each photo beside the first of its group, as `near_duplicates` returns pairs."""
    first: dict[str, int] = {}
    pairs = [
        (first.setdefault(photo.group, each), each, 0) for each, photo in enumerate(photos) if photo.group
    ]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], np.int64).reshape(-1, 3)


def _groups(
    labels: Mapping[int, str], clusters: Sequence[str], exact: Sequence[str], fraction: float
) -> dict[str, list[int]]:
    """Name → photos that are drawn together: the clusters of the photos in `labels`.

    If most of a class is one cluster (a fixed camera), and the rest too little to draw from, its photos are drawn one
    by one: then only those stay together that have the same name in `exact`.
    """
    sizes = Counter(labels.values())
    shares = Counter((clusters[number], label) for number, label in labels.items())
    broken = {
        cluster
        for (cluster, label), share in shares.items()
        if 2 * share > sizes[label] and sizes[label] - share < _room(sizes[label], fraction)
    }
    groups: dict[str, list[int]] = {}
    for number in labels:
        name = exact[number] if clusters[number] in broken else clusters[number]
        groups.setdefault(name, []).append(number)
    return groups


def _room(photos: int, fraction: float) -> int:
    return max(1, round(fraction * photos))


def _draw(groups: Iterable[list[int]], labels: Mapping[int, str], fraction: float) -> list[int]:
    """Whole groups in their order, as long as no class gets more than its fraction, or than its smallest group."""
    needs = [(group, Counter(labels[number] for number in group)) for group in groups]
    room = {label: _room(count, fraction) for label, count in Counter(labels.values()).items()}
    for label in room:
        room[label] = max(room[label], min(need[label] for _, need in needs if need[label]))
    drawn: list[int] = []
    for group, need in needs:
        if all(count <= room[label] for label, count in need.items()):
            drawn += group
            for label, count in need.items():
                room[label] -= count
    return drawn

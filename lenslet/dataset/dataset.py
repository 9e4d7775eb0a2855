"""Folders of labelled photos become a table of (path, label, split) with decoded pixels and a fingerprint."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenslet.config import TrainParams
from lenslet.dataset.duplicates import cluster_names, near_duplicates
from lenslet.dataset.pixel_cache import ArrayFile, CacheFull, cached_pixels, read_all
from lenslet.inference.artifact import sha256_of
from lenslet.inference.errors import InputError

# Split → names its folder may have. The last ones are those of the Intel Image Classification set.
SPLITS = {
    "train": ("train", "training", "seg_train"),
    "validation": ("val", "valid", "validation", "seg_val"),
    "test": ("test", "testing", "seg_test"),
}

NO_PAIRS = np.empty((0, 3), np.int64)


class DatasetError(InputError):
    """The folder cannot be trained on; the message is one sentence that names the folder and the remedy."""


@dataclass(frozen=True)
class Photo:
    path: Path
    label: str
    split: str | None  # a key of SPLITS; None until `assign_splits` has drawn it


@dataclass(frozen=True)
class Dataset:
    """Readable photos with their pixels. `targets` and `splits` are in the order of `photos`."""

    photos: tuple[Photo, ...]
    labels: tuple[str, ...]  # class names, sorted
    unreadable: dict[Path, str]  # path → reason; these are not among `photos`
    pixels: ArrayFile  # uint8, shape (rows, size, size, 3), read as indexed; `rows` of it belong to `photos`
    rows: NDArray[np.int64]  # shape (photos,)
    hashes: tuple[str, ...]  # sha256 of each photo's file
    # Photos that look the same, shape (pairs, 3): two positions in `photos`, and how many bits their hashes differ by.
    duplicates: NDArray[np.int64] = field(default_factory=lambda: NO_PAIRS)

    @property
    def targets(self) -> NDArray[np.int64]:
        """Class index of each photo, shape (photos,)."""
        index = {label: number for number, label in enumerate(self.labels)}
        return np.array([index[photo.label] for photo in self.photos])

    @property
    def fingerprint(self) -> str:
        """Changes when any photo, label or split does; names and places of files do not matter."""
        facts = zip(self.photos, self.hashes, strict=True)
        lines = sorted(f"{photo.split} {photo.label} {digest}\n" for photo, digest in facts)
        return sha256_of("".join(lines).encode())

    @property
    def test_fingerprint(self) -> str:
        """Of the test photos alone: models that other photos trained can be compared on them."""
        lines = (f"{self.photos[each].label} {self.hashes[each]}\n" for each in self.members("test"))
        return sha256_of("".join(sorted(lines)).encode())

    def members(self, split: str) -> NDArray[np.int64]:
        """Positions in `photos` that belong to `split`."""
        return np.array(
            [number for number, photo in enumerate(self.photos) if photo.split == split], np.int64
        )


def read_dataset(folder: Path, params: TrainParams, cache: Path, only_test: bool = False) -> Dataset:
    """Find, read, decode (once: the pixels are kept in `cache`) and split the photos of `folder`.

    With `only_test`, every photo belongs to the test split: a folder that no model was trained on.
    Raises: DatasetError.
    """
    found = find_photos(folder)
    contents = read_all([photo.path for photo in found])
    try:
        pixels, unreadable_rows = cached_pixels(contents, params.image_size, cache)
        rows = [row for row in range(len(found)) if row not in unreadable_rows]
        hashes = [contents[row].sha256 for row in rows]
        duplicates = near_duplicates(pixels, np.array(rows, int), hashes, cache)
    except CacheFull as error:
        raise DatasetError(str(error)) from error
    lost = sorted({photo.label for photo in found} - {found[row].label for row in rows})
    if lost:
        raise DatasetError(f"{folder}: class {lost[0]!r} has no readable photo")
    if only_test:
        photos = [replace(found[row], split="test") for row in rows]
    else:
        photos = assign_splits([found[row] for row in rows], hashes, params, duplicates)
        _check_splits(folder, photos)
    return Dataset(
        photos=tuple(photos),
        labels=tuple(sorted({photo.label for photo in photos})),
        unreadable={found[row].path: reason for row, reason in unreadable_rows.items()},
        pixels=pixels,
        rows=np.array(rows),
        hashes=tuple(hashes),
        duplicates=duplicates,
    )


def find_photos(folder: Path) -> list[Photo]:
    """Every visible file of `folder/<class>/` or `folder/<split>/<class>/`, sorted; whatever its name ends in.

    Raises: DatasetError if the folder is missing or has fewer than two classes.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder")
    split_folders = _split_folders(folder)
    photos, classes = [], set()
    for split, parent in split_folders.items():
        for class_folder in _visible_folders(parent):
            classes.add(class_folder.name)
            photos += [Photo(path, class_folder.name, split) for path in _visible_files(class_folder)]
    if len(classes) < 2:
        raise DatasetError(
            f"{folder} must hold a folder per class, two at least, but has {sorted(classes) or 'none'}"
        )
    empty = sorted(classes - {photo.label for photo in photos})
    if empty:
        raise DatasetError(f"{folder}: class {empty[0]!r} holds no file")
    return photos


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


def describe(dataset: Dataset, folder: Path) -> str:
    """A table of photos per class and split, and the unreadable files with their reasons."""
    counts = Counter((photo.label, photo.split) for photo in dataset.photos)
    width = max(len(label) for label in (*dataset.labels, "class"))
    lines = [f"{'class':<{width}}" + "".join(f"{split:>12}" for split in SPLITS)]
    for label in dataset.labels:
        lines.append(f"{label:<{width}}" + "".join(f"{counts[label, split]:>12,}" for split in SPLITS))
    lines.append(f"{len(dataset.photos):,} photos are readable, {len(dataset.unreadable):,} left out")
    for path, reason in dataset.unreadable.items():
        lines.append(f"  left out: {path.relative_to(folder)}: {reason}")
    return "\n".join(lines)


def _split_folders(folder: Path) -> dict[str | None, Path]:
    """Split → the folder of its classes; None → `folder` if that holds the classes itself."""
    by_name = {child.name.lower(): child for child in _visible_folders(folder)}
    found: dict[str | None, Path] = {}
    for split, names in SPLITS.items():
        for name in names:
            if name in by_name:
                inner = by_name[name] / by_name[name].name  # Kaggle's archive nests seg_train/seg_train
                found[split] = inner if inner.is_dir() else by_name[name]
    return found if "train" in found else {None: folder}


def _visible_folders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def _visible_files(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_file() and not child.name.startswith("."))


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


def _check_splits(folder: Path, photos: list[Photo]) -> None:
    for split in SPLITS:
        present = {photo.label for photo in photos if photo.split == split}
        if not present:
            raise DatasetError(
                f"{folder}: the {split} split is empty; add photos or change its fraction in params.yaml"
            )
        missing = sorted({photo.label for photo in photos} - present)
        if missing:
            raise DatasetError(
                f"{folder}: class {missing[0]!r} has no readable photo in the {split} split; add some"
            )

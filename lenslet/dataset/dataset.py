"""Labelled photos with decoded pixels, as training and evaluation take them, and their fingerprint."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenslet.dataset.array_file import ArrayFile
from lenslet.dataset.photos import LeftOut, Photo
from lenslet.inference.artifact import sha256_of
from lenslet.inference.printable import printable

NO_PAIRS = np.empty((0, 3), np.int64)


@dataclass(frozen=True)
class Dataset:
    """Readable photos with their pixels. `targets` and `splits` are in the order of `photos`."""

    photos: tuple[Photo, ...]
    labels: tuple[str, ...]  # class names, sorted
    left_out: tuple[LeftOut, ...]  # every other file that was found
    pixels: ArrayFile  # uint8, shape (rows, size, size, 3), read as indexed; `rows` of it belong to `photos`
    rows: NDArray[np.int64]  # shape (photos,)
    hashes: tuple[str, ...]  # sha256 of each photo's file
    # Photos that look the same, shape (pairs, 3): two positions in `photos`, and how many bits their hashes differ by.
    duplicates: NDArray[np.int64] = field(default_factory=lambda: NO_PAIRS)
    root: Path = Path()  # names of photos are relative to it
    layout: str = ""  # how the photos were found: title of a row of LAYOUTS
    notes: tuple[str, ...] = ()  # sentences about choices that the reader made
    given_splits: frozenset[str] = frozenset()  # those that the photos came with; the others were drawn

    @property
    def image_size(self) -> int:
        """Side of the pictures, in pixels."""
        return int(self.pixels.shape[1])

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

    def name_of(self, path: Path) -> str:
        """The path below the root, fit to be printed."""
        return printable(path.relative_to(self.root) if path.is_relative_to(self.root) else path)

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


@dataclass(frozen=True)
class Pictures:
    """Pictures of a dataset, uint8 RGB, shape (size, size, 3), read as they are asked for."""

    dataset: Dataset
    members: NDArray[np.int64]  # positions in `dataset.photos`

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (self.dataset.pixels[row] for row in self.dataset.rows[self.members])

    def __contains__(self, picture: object) -> bool:
        return any(picture is each for each in self)


def photos_per_split(dataset: Dataset) -> dict[str, int]:
    """Split → number of its photos."""
    return dict(Counter(photo.split for photo in dataset.photos if photo.split))

"""From a folder of labelled photos to a `Dataset`: find, decode, compare and split the photos."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from lenslet.config import TrainParams
from lenslet.dataset.array_file import CacheFull
from lenslet.dataset.dataset import Dataset
from lenslet.dataset.duplicates import near_duplicates
from lenslet.dataset.layouts import find_photos
from lenslet.dataset.photos import SPLITS, DatasetError, LeftOut, Photo
from lenslet.dataset.pixel_cache import cached_pixels, read_all
from lenslet.dataset.splits import assign_splits


def read_dataset(folder: Path, params: TrainParams, cache: Path, only_test: bool = False) -> Dataset:
    """Find, read, decode (once: the pixels are kept in `cache`) and split the photos of `folder`.

    With `only_test`, every photo belongs to the test split: a folder that no model was trained on.
    Raises: DatasetError.
    """
    listing = find_photos(folder)
    found = listing.photos
    contents = read_all([photo.path for photo in found])
    try:
        pixels, unreadable = cached_pixels(contents, params.image_size, cache)
        rows = [row for row in range(len(found)) if row not in unreadable]
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
    broken = [LeftOut(found[row].path, "unreadable", reason) for row, reason in unreadable.items()]
    return Dataset(
        photos=tuple(photos),
        labels=tuple(sorted({photo.label for photo in photos})),
        left_out=(*broken, *listing.left_out),
        pixels=pixels,
        rows=np.array(rows),
        hashes=tuple(hashes),
        duplicates=duplicates,
        root=listing.root,
        layout=listing.layout,
        notes=listing.notes,
    )


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

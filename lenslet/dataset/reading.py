"""From a folder, list or archive of labelled photos to a `Dataset`: find, decode, compare and split the photos."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenslet.config import TrainParams
from lenslet.dataset.array_file import CacheFull
from lenslet.dataset.classes import check_listing, check_readable, check_splits, small_classes
from lenslet.dataset.dataset import Dataset
from lenslet.dataset.duplicates import near_duplicates
from lenslet.dataset.image_size import auto_size, usual_side
from lenslet.dataset.layouts import find_photos
from lenslet.dataset.leaks import leaks
from lenslet.dataset.photos import DatasetError, LeftOut, Photo
from lenslet.dataset.pixel_cache import cached_pixels, read_all
from lenslet.dataset.recorded_splits import Recorded, is_complete, others, with_recorded_splits
from lenslet.dataset.splits import assign_splits


def read_dataset(
    place: Path,
    params: TrainParams,
    cache: Path,
    only_test: bool = False,
    recorded: Recorded | None = None,
) -> Dataset:
    """Find, read, decode (once: the pixels are kept in `cache`) and split the photos of `place`.

    `place` is anything that `find_photos` reads. With `only_test`, every photo belongs to the test split: photos that
    no model was trained on. `recorded` are the splits of a training: if all of its photos are there, these are the
    dataset, in these splits; the others are left out.
    Raises: DatasetError.
    """
    listing = find_photos(place, params.list, cache)
    check_listing(place, listing, params.drop_small_classes, only_test)
    found = listing.photos
    size, notes = _size_of([photo.path for photo in found], params)
    contents = read_all([photo.path for photo in found])
    try:
        decoded = cached_pixels(contents, size, cache)
        members = np.flatnonzero(decoded.rows >= 0)
        rows, hashes = decoded.rows[members], [contents[number].sha256 for number in members]
        pairs = near_duplicates(decoded.pixels, rows, hashes, cache)
    except CacheFull as error:
        raise DatasetError(str(error)) from error
    readable = [found[number] for number in members]
    reasons = decoded.unreadable.items()
    broken = [LeftOut(found[number].path, "unreadable", reason) for number, reason in reasons]
    check_readable(place, found, readable, broken, params.drop_small_classes)
    recorded = recorded if not only_test and is_complete(recorded or {}, hashes) else None
    if recorded:
        dropped = others(recorded, readable, hashes)
    else:
        dropped = {} if only_test else _dropped(readable, hashes, pairs, params)
    kept = np.array([number for number in range(len(readable)) if number not in dropped], np.int64)
    photos, hashes = [readable[number] for number in kept], [hashes[number] for number in kept]
    pairs, given = _renumbered(pairs, kept), frozenset(photo.split for photo in readable if photo.split)
    if only_test:
        photos = [replace(photo, split="test") for photo in photos]
    elif recorded:
        photos = with_recorded_splits(recorded, photos, hashes)
    else:
        photos = assign_splits(photos, hashes, params, pairs)
        check_splits(place, photos, hashes, given, sum(each.reason == "leak" for each in dropped.values()))
    return Dataset(
        photos=tuple(photos),
        labels=tuple(sorted({photo.label for photo in photos})),
        left_out=(*broken, *dropped.values(), *listing.left_out),
        pixels=decoded.pixels,
        rows=rows[kept],
        hashes=tuple(hashes),
        duplicates=pairs,
        root=listing.root,
        layout=listing.layout,
        notes=(*listing.notes, *notes, *_fold_note(photos, params)),
        given_splits=given,
    )


def _size_of(paths: Sequence[Path], params: TrainParams) -> tuple[int, list[str]]:
    """Side of the pictures and, where it is chosen here, a sentence about it."""
    if params.image_size != "auto":
        return params.image_size, []
    size, reason = auto_size(params.backbone.name, usual_side(paths))
    return size, [f"pictures of {size} × {size} pixels, because {reason} (train.image_size is auto)"]


def _fold_note(photos: Sequence[Photo], params: TrainParams) -> list[str]:
    unused = sum(photo.split is None for photo in photos)
    fold = params.training_fold
    return [f"{unused:,} of them are training photos of other folds than {fold}"] if unused else []


def _dropped(
    photos: Sequence[Photo], hashes: Sequence[str], pairs: NDArray[np.int64], params: TrainParams
) -> dict[int, LeftOut]:
    """Position → why it is left out, of the readable photos that training does without."""
    dropped = dict(leaks(photos, hashes, pairs)) if params.leaks == "drop" else {}
    remaining = [photo for number, photo in enumerate(photos) if number not in dropped]
    small = small_classes(remaining, params.drop_small_classes)
    detail = f"fewer than {params.drop_small_classes:,} photos"
    for number, photo in enumerate(photos):
        if photo.label in small and number not in dropped:
            dropped[number] = LeftOut(photo.path, "small class", f"{photo.label}: {detail}")
    return dropped


def _renumbered(pairs: NDArray[np.int64], kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """The pairs of which both photos are kept, by their positions among these."""
    position = np.full(max(int(pairs[:, :2].max(initial=-1)), int(kept.max(initial=-1))) + 1, -1)
    position[kept] = np.arange(len(kept))
    renumbered = np.column_stack([position[pairs[:, :2]], pairs[:, 2]])
    both: NDArray[np.int64] = renumbered[(renumbered[:, :2] >= 0).all(axis=1)]
    return both

"""Ways that labelled photos come in: one table of layouts, and the reader of each."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from lenslet.dataset.folders import (
    has_splits_in_classes,
    read_class_folders,
    read_split_folders,
    read_splits_in_classes,
    split_folders,
    unwrapped,
)
from lenslet.dataset.photos import DatasetError, Listing
from lenslet.dataset.walk import Tree, walk


@dataclass(frozen=True)
class Layout:
    title: str
    matches: Callable[[Tree, PurePath], bool]
    read: Callable[[Tree, PurePath], Listing]


# The first one that matches a folder reads it; the second argument is the folder that holds the classes or splits.
LAYOUTS = (
    Layout("split folders", lambda tree, base: bool(split_folders(tree, base)), read_split_folders),
    Layout("split folders in class folders", has_splits_in_classes, read_splits_in_classes),
    Layout("a folder per class", lambda tree, base: True, read_class_folders),
)


def find_photos(folder: Path) -> Listing:
    """The photos of `folder` with their labels, whatever the names of the files end in, and what is left out.

    Raises: DatasetError if the folder is missing or has fewer than two classes.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder")
    tree = walk(folder)
    base = unwrapped(tree)
    layout = next(layout for layout in LAYOUTS if layout.matches(tree, base))
    listing = layout.read(tree, base)
    listing = replace(listing, layout=layout.title, left_out=listing.left_out + tree.left_out)
    _check_classes(folder, listing)
    return listing


def _check_classes(folder: Path, listing: Listing) -> None:
    if len(listing.classes) < 2:
        found = sorted(listing.classes) or "none"
        raise DatasetError(f"{folder} must hold a folder per class, two at least, but has {found}")
    empty = sorted(listing.classes - {photo.label for photo in listing.photos})
    if empty:
        raise DatasetError(f"{folder}: class {empty[0]!r} holds no file")

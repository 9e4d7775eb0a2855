"""Ways that labelled photos come in: one table of layouts, and the reader of each."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from lenslet.config.train import ListParams
from lenslet.dataset.archives import is_archive, unpack
from lenslet.dataset.columns import AUTO
from lenslet.dataset.exports import (
    inner_lists,
    is_label_studio,
    is_teachable_machine,
    read_inner_lists,
    read_label_studio,
    read_teachable_machine,
)
from lenslet.dataset.folders import (
    has_splits_in_classes,
    read_class_folders,
    read_split_folders,
    read_splits_in_classes,
    split_folders,
    unwrapped,
)
from lenslet.dataset.lists import Names, is_list, read_photo_list
from lenslet.dataset.photos import DatasetError, LeftOut, Listing
from lenslet.dataset.remote import fetch_prefix, is_s3
from lenslet.dataset.walk import Tree, walk
from lenslet.inference.printable import printable


@dataclass(frozen=True)
class Way:
    """What reading takes beside the folder or file."""

    params: ListParams
    cache: Path


@dataclass(frozen=True)
class FolderLayout:
    title: str
    matches: Callable[[Tree, PurePath], bool]  # of the folder that holds the classes, splits or lists
    read: Callable[[Tree, PurePath, Way], Listing]


@dataclass(frozen=True)
class FileLayout:
    title: str
    matches: Callable[[Path], bool]
    read: Callable[[Path, Way], Listing]


# In both tables, the first layout that matches is the one that reads.
FOLDER_LAYOUTS = (
    FolderLayout(
        "lists in folders (Hugging Face, Roboflow)",
        lambda tree, base: bool(inner_lists(tree, base)),
        lambda tree, base, way: read_inner_lists(tree, base, way.params, way.cache),
    ),
    FolderLayout(
        "Teachable Machine project",
        is_teachable_machine,
        lambda tree, base, way: read_teachable_machine(tree, base, way.cache),
    ),
    FolderLayout(
        "split folders",
        lambda tree, base: bool(split_folders(tree, base)),
        lambda tree, base, way: read_split_folders(tree, base),
    ),
    FolderLayout(
        "split folders in class folders",
        has_splits_in_classes,
        lambda tree, base, way: read_splits_in_classes(tree, base),
    ),
    FolderLayout(
        "a folder per class",
        lambda tree, base: True,
        lambda tree, base, way: read_class_folders(tree, base),
    ),
)
FILE_LAYOUTS = (
    FileLayout(
        "Label Studio export",
        is_label_studio,
        lambda path, way: read_label_studio(path, Names(walk(_root_of(path, way))), way.cache),
    ),
    FileLayout("a list", is_list, lambda path, way: read_photo_list(path, way.params, way.cache)),
    FileLayout("an archive", is_archive, lambda path, way: _read_archive(path, way)),
)


def check_place(place: Path) -> None:
    """Look at the place alone: a mistyped path is said before anything is read. Raises: DatasetError."""
    if not is_s3(place) and not place.is_dir():
        _layout_of_file(place)


def find_photos(place: Path, params: ListParams | None = None, cache: Path = Path(".cache")) -> Listing:
    """The photos at `place` with their labels, whatever the names of the files end in, and what is left out.

    `place`: a folder, a list, an archive, or `s3://bucket/prefix` of one of these, which is fetched into `cache`.
    Raises: DatasetError if there is nothing that can be read, or fewer than two classes.
    """
    way = Way(params or ListParams(), cache)
    fetched: tuple[LeftOut, ...] = ()
    path = place
    if is_s3(place):
        path, fetched = fetch_prefix(place, cache)
    listing = _read_folder(path, way) if path.is_dir() else _read_file(path, way)
    listing = replace(listing, left_out=listing.left_out + fetched)
    if len(listing.classes) < 2:
        found = sorted(listing.classes) or "none"
        raise DatasetError(f"{place} must hold two classes at least, but has {found}{_hint(path)}")
    return listing


def _read_folder(folder: Path, way: Way) -> Listing:
    tree = walk(folder)
    base = unwrapped(tree)
    layout = next(layout for layout in FOLDER_LAYOUTS if layout.matches(tree, base))
    listing = layout.read(tree, base, way)
    return replace(listing, layout=layout.title, left_out=listing.left_out + tree.left_out)


def _read_file(path: Path, way: Way) -> Listing:
    layout = _layout_of_file(path)
    listing = layout.read(path, way)
    return replace(listing, layout=f"{layout.title}: {listing.layout}" if listing.layout else layout.title)


def _layout_of_file(path: Path) -> FileLayout:
    name = printable(path)
    if not path.exists():
        raise DatasetError(f"{name} does not exist: give a folder of photos, a list or an archive")
    layout = next((layout for layout in FILE_LAYOUTS if layout.matches(path)), None)
    if layout is None:
        raise DatasetError(
            f"{name} is neither a folder of photos, nor a list (CSV, JSON, Parquet), nor an archive"
        )
    return layout


def _read_archive(path: Path, way: Way) -> Listing:
    folder, skipped = unpack(path, way.cache)
    listing = _read_folder(folder, way)
    return replace(listing, left_out=listing.left_out + skipped)


def _root_of(path: Path, way: Way) -> Path:
    return path.parent if way.params.root == AUTO else Path(way.params.root)


def _hint(place: Path) -> str:
    """What to do about a folder without classes that has a list in it."""
    lists = sorted(each for each in place.iterdir() if is_list(each)) if place.is_dir() else []
    return f"; is {lists[0]} the list of them? then give it instead of the folder" if lists else ""

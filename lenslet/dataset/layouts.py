"""Ways that labelled photos come in: one table of layouts, and the reader of each."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath

from lenslet.config.train import ListParams
from lenslet.dataset.archives import is_archive, unpack
from lenslet.dataset.exports import is_label_studio_export, read_teachable_machine
from lenslet.dataset.file_labels import read_class_files, read_labels_in_names
from lenslet.dataset.folders import (
    read_class_folders,
    read_parts,
    read_split_folders,
    read_splits_in_classes,
    unwrapped,
)
from lenslet.dataset.inner_lists import read_lists_beside_photos, read_named_lists
from lenslet.dataset.lists import is_list, read_photo_list
from lenslet.dataset.photos import DatasetError, LeftOut, Listing
from lenslet.dataset.remote import fetch_prefix, is_s3
from lenslet.dataset.split_names import split_in
from lenslet.dataset.walk import Tree, entries, walk
from lenslet.inference.printable import printable


@dataclass(frozen=True)
class Way:
    """Settings of reading, beside the folder or file."""

    params: ListParams
    cache: Path
    is_closed: bool = False  # lists in the folder may name only what is below it: it came from elsewhere


@dataclass(frozen=True)
class FolderLayout:
    title: str
    # `base`: the folder that holds the classes or splits. None: the folder has another layout.
    read: Callable[[Tree, PurePath, Way], Listing | None]
    has_columns: bool = False


@dataclass(frozen=True)
class FileLayout:
    title: str
    matches: Callable[[Path], bool]
    read: Callable[[Path, Way], Listing]


# In both tables, the first layout that fits counts.
FOLDER_LAYOUTS = (
    FolderLayout(
        "lists in folders (Hugging Face, Roboflow)",
        lambda tree, base, way: read_named_lists(tree, way.params, way.cache, way.is_closed),
        has_columns=True,
    ),
    FolderLayout(
        "Teachable Machine project",
        lambda tree, base, way: read_teachable_machine(tree, way.cache),
    ),
    FolderLayout("split folders", lambda tree, base, way: read_split_folders(tree, base)),
    FolderLayout(
        "split folders in class folders", lambda tree, base, way: read_splits_in_classes(tree, base)
    ),
    FolderLayout("class folders in parts", lambda tree, base, way: read_parts(tree, base)),
    FolderLayout(
        "a list beside its photos",
        lambda tree, base, way: read_lists_beside_photos(tree, way.params, way.cache, way.is_closed),
        has_columns=True,
    ),
    FolderLayout(
        "labels in files beside the photos", lambda tree, base, way: read_class_files(tree, way.cache)
    ),
    FolderLayout(
        "labels in the names of files", lambda tree, base, way: read_labels_in_names(tree, way.cache)
    ),
    FolderLayout("a folder per class", lambda tree, base, way: read_class_folders(tree, base)),
)
FILE_LAYOUTS = (
    FileLayout(
        "Label Studio export",
        is_label_studio_export,
        lambda path, way: read_photo_list(path, way.params, way.cache),
    ),
    FileLayout("a list", is_list, lambda path, way: read_photo_list(path, way.params, way.cache)),
    FileLayout("an archive", is_archive, lambda path, way: _read_archive(path, way)),
)

ARCHIVES = (".zip", ".tm", ".tar", ".gz", ".tgz", ".bz2", ".xz")
TO_FOLDERS = "write its photos into a folder per class first"
# Endings of files that hold labelled photos, too → what to do with them.
NOT_READ = {
    (".xlsx", ".xls", ".ods", ".numbers"): "a spreadsheet: save it as CSV, and give that",
    (".rar", ".7z", ".zst"): "an archive of a kind that is not read: unpack it, and give the folder",
    (
        ".tfrecord",
        ".tfrecords",
        ".rec",
        ".mdb",
        ".lmdb",
        ".h5",
        ".hdf5",
        ".npz",
        ".npy",
        ".mat",
        ".pkl",
        ".pt",
    ): (f"a file of arrays or records: {TO_FOLDERS}"),
    (
        ".xml",
        ".yaml",
        ".yml",
    ): "no list that is read: give a folder per class, or a CSV with the columns image and label",
}


def check_place(place: Path) -> None:
    """Look at the place alone: a mistyped path is said before anything is read. Raises: DatasetError."""
    if is_s3(place):
        return
    if not place.is_dir():
        _layout_of_file(place)
        return
    seen = []
    for _, kind, detail in entries(place):
        if kind == "file":
            return
        seen += [detail] if kind == "unreadable" else []
    raise DatasetError(
        f"{printable(place)} holds no file that could be a photo{f': {seen[0]}' if seen else ''}"
    )


def find_photos(
    place: Path, params: ListParams | None = None, cache: Path = Path(".cache"), min_classes: int = 2
) -> Listing:
    """The photos at `place` with their labels, whatever the names of the files end in, and what is left out.

    `place`: a folder, a list, an archive, or `s3://bucket/prefix` of one of these, which is fetched into `cache`.
    Raises: DatasetError if there is nothing that can be read, or fewer than `min_classes` (of a part of a data set, 0).
    """
    way = Way(params or ListParams(), cache)
    fetched: tuple[LeftOut, ...] = ()
    path = place
    if is_s3(place):
        path, fetched = fetch_prefix(place, cache)
        way = replace(way, is_closed=True)
    listing = _read_folder(path, way) if path.is_dir() else _read_file(path, way)
    listing = replace(listing, left_out=listing.left_out + fetched)
    if len(listing.classes) < min_classes:
        found = sorted(listing.classes) or "none"
        hint = _hint(listing) if "a folder per class" in listing.layout else ""
        raise DatasetError(f"{place} must hold two classes at least, but has {found}{hint}")
    return replace(listing, notes=(*listing.notes, *_notes_on_names(listing), *_notes_on_splits(listing)))


def _read_folder(folder: Path, way: Way) -> Listing:
    tree = walk(folder)
    base = unwrapped(tree)
    found = ((layout, layout.read(tree, base, way)) for layout in FOLDER_LAYOUTS)
    layout, listing = next((layout, listing) for layout, listing in found if listing)
    if not layout.has_columns:
        _refuse_columns(folder, layout.title, way.params)
    return replace(listing, layout=layout.title, left_out=listing.left_out + tree.left_out)


def _refuse_columns(folder: Path, title: str, params: ListParams) -> None:
    """Groups that are not kept together would leak, without a word. Raises: DatasetError."""
    usual = asdict(ListParams())
    given = [name for name, value in asdict(params).items() if value != usual[name]]
    if given:
        option = f"--{given[0].replace('_', '-')}"
        raise DatasetError(
            f"{option} (train.list.{given[0]}) is about a list, and {printable(folder)} is read as {title}: "
            "give the list instead of the folder, or leave that out"
        )


def _read_file(path: Path, way: Way) -> Listing:
    layout = _layout_of_file(path)
    listing = layout.read(path, way)
    return replace(listing, layout=f"{layout.title}: {listing.layout}" if listing.layout else layout.title)


def _layout_of_file(path: Path) -> FileLayout:
    name = printable(path)
    if not path.exists():
        raise DatasetError(f"{name} does not exist: give a folder of photos, a list or an archive")
    ending = path.suffix.lower()
    what = next((what for endings, what in NOT_READ.items() if ending in endings), "")
    layout = None if what else next((layout for layout in FILE_LAYOUTS if layout.matches(path)), None)
    if layout is None:
        if ending in ARCHIVES:
            what = "called like an archive, but its content is none: it is damaged, or of another kind"
        raise DatasetError(
            f"{name} is {what or 'neither a folder of photos, nor a list (CSV, JSON, Parquet), nor an archive'}"
        )
    return layout


def _read_archive(path: Path, way: Way) -> Listing:
    folder, skipped = unpack(path, way.cache)
    listing = _read_folder(folder, replace(way, is_closed=True))
    return replace(listing, left_out=listing.left_out + skipped)


def _notes_on_names(listing: Listing) -> list[str]:
    """A sentence about classes that may be one."""
    by_letters: dict[str, list[str]] = defaultdict(list)
    for label in sorted(listing.classes):
        by_letters[" ".join(label.casefold().split())].append(label)
    alike = [
        " and ".join(printable(repr(label)) for label in labels)
        for labels in by_letters.values()
        if len(labels) > 1
    ]
    return [
        f"{names} count as different classes: they differ only in capitals or spaces" for names in alike[:3]
    ]


def _notes_on_splits(listing: Listing) -> list[str]:
    """A sentence about classes whose names differ in a split alone: `cat_train` and `cat_test`."""
    by_rest: dict[str, dict[str, str]] = defaultdict(dict)
    for label in sorted(listing.classes):
        split, rest = split_in(label)
        if split and rest:
            by_rest[rest].setdefault(split, label)
    splits = [each.values() for each in by_rest.values() if len(each) > 1]
    return [
        f"{' and '.join(printable(repr(label)) for label in labels)} count as different classes, not as splits"
        for labels in splits[:3]
    ]


def _hint(listing: Listing) -> str:
    """The remedy for a folder without classes."""
    files = sorted(each.path for each in listing.left_out if each.reason == "no label")
    unread = [each for each in listing.left_out if each.reason == "unreadable"]
    if unread:
        return f"; {printable(unread[0].path)}: {unread[0].detail}"
    if lists := [each for each in files if is_list(each) and each.suffix != ".txt"]:
        return f"; is {printable(lists[0])} the list of them? then give it instead of the folder"
    if packed := [each for each in files if each.suffix.lower() in ARCHIVES]:
        return f"; {printable(packed[0])} is packed: unpack it, or give it alone"
    for each in files:
        for endings, what in NOT_READ.items():
            if each.suffix.lower() in endings:
                return f"; {printable(each)} is {what}"
    if files and not listing.classes:
        return f"; its {len(files):,} files lie side by side: make a folder per class, or give a list of their labels"
    return "" if files or listing.classes else "; there are no files in it"

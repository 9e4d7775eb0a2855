"""Lists that lie in the folder they describe, as of Hugging Face, Roboflow, Kaggle and labelling tools."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path, PurePath

from lenslet.config.train import ListParams
from lenslet.dataset.columns import ONE_HOT_NAME
from lenslet.dataset.folders import WRAPPERS, folders_with_files, lone_folders, may_be_photo, unwrapped
from lenslet.dataset.lists import Entry, entries_of, is_list, listing_of
from lenslet.dataset.photo_names import Names
from lenslet.dataset.photos import DatasetError, Listing
from lenslet.dataset.split_names import split_folders_by_name, split_in, split_of
from lenslet.dataset.tables import SAMPLE_ROWS, Table, read_table, stream_table
from lenslet.dataset.walk import Tree
from lenslet.inference.printable import printable

# These count whatever the folders are called: of Hugging Face's imagefolder, and of Roboflow.
LIST_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet", ONE_HOT_NAME)
MAX_LISTS, MUCH_SHORTER = 12, 10  # in one folder
SUBMISSION = "submission"  # Kaggle's sample of an answer: its labels are made up


def read_named_lists(tree: Tree, params: ListParams, cache: Path, is_closed: bool) -> Listing | None:
    """`<split>/metadata.csv` or `<split>/_classes.csv`, or one for all, with paths relative to the list."""
    for base in lone_folders(tree):
        if files := [file for file in _lists(tree, base, params) if file.name in LIST_NAMES]:
            splits = {file: split_of(file.parent.name) if file.parent != base else None for file in files}
            listing = _read(tree, splits, params, cache, is_closed)
            # A list of a few photos leaves the folders to be read.
            return listing if len(listing.classes) > 1 else None
    return None


def read_lists_beside_photos(tree: Tree, params: ListParams, cache: Path, is_closed: bool) -> Listing | None:
    """`train.csv` beside folders of photos, unless these folders name the classes. Raises: DatasetError."""
    for base in lone_folders(tree):
        files = [file for file in _lists(tree, base, params) if SUBMISSION not in file.name.lower()]
        if files:
            return _read_beside(tree, base, files, params, cache, is_closed)
    return None


def _read_beside(
    tree: Tree, base: PurePath, files: Sequence[PurePath], params: ListParams, cache: Path, is_closed: bool
) -> Listing | None:
    # Of one list alone, its name does not say that there are no other splits.
    splits = {file: _split_of_list(file, base) if len(files) > 1 else None for file in files}
    parent = unwrapped(tree)
    may_be_classes = len(_names_of_classes(tree, parent)) > 1
    try:
        _check_unambiguous(tree, splits)
        listing = _read(tree, splits, params, cache, is_closed)
    except DatasetError:
        if may_be_classes:
            return None  # lists of other things
        raise
    names = ", ".join(printable(file) for file in files)
    if may_be_classes and (_name_classes(tree, parent, listing) or _names_few(tree, listing)):
        return None
    return replace(
        listing, notes=(f"the labels are those of {names}, not the names of folders", *listing.notes)
    )


def _read(
    tree: Tree, splits: Mapping[PurePath, str | None], params: ListParams, cache: Path, is_closed: bool
) -> Listing:
    """The photos of these lists; `splits` are those of rows that name none."""
    entries: list[Entry] = []
    notes: list[str] = []
    for file, split in splits.items():
        path = tree.root / file
        some, said = entries_of(read_table(path), params, str(path), split, split_in(file.stem)[0])
        entries += [_below(file.parent, each) for each in some]
        notes += said
    lists = [tree.root / file for file in splits]
    return listing_of(entries, Names(tree, is_closed), cache, lists, notes)


def _lists(tree: Tree, base: PurePath, params: ListParams) -> list[PurePath]:
    """Lists with a label column that describe the folder they lie in: in `base` or in its split folders."""
    found: list[tuple[PurePath, int]] = []
    for folder in (base, *(each for each in tree.folders_in.get(base, []) if split_of(each.name))):
        files = [file for file in tree.files_in.get(folder, []) if is_list(file)]
        if len(files) <= MAX_LISTS:  # else each belongs to one photo
            found += [(file, count) for file in files if (count := _labelled_rows(tree.root / file, params))]
    most = max((count for _, count in found), default=0)
    # A short one beside a long one names the classes, say: `{"0": "healthy", "1": "rust"}`
    return [file for file, count in found if file.name in LIST_NAMES or count * MUCH_SHORTER > most]


def _split_of_list(file: PurePath, base: PurePath) -> str | None:
    """That of its folder or, in the folder of all photos, of its own name."""
    return split_of(file.parent.name) if file.parent != base else split_in(file.stem)[0]


def _check_unambiguous(tree: Tree, splits: dict[PurePath, str | None]) -> None:
    of_split: dict[tuple[PurePath, str | None], list[PurePath]] = defaultdict(list)
    for file, split in splits.items():
        of_split[file.parent, split].append(file)
    for files in of_split.values():
        if len(files) > 1 or (None in splits.values() and len(splits) > 1):
            names = " and ".join(printable(file) for file in [*splits][:2])
            raise DatasetError(
                f"{printable(tree.root)} holds several lists of labels, {names} among them: "
                "give the one that counts instead of the folder"
            )


def _names_of_classes(tree: Tree, parent: PurePath) -> list[str]:
    """The folders in `parent` that may be classes by their names."""
    names = [folder.name for folder in folders_with_files(tree, parent)]
    splits = split_folders_by_name(names)
    return [name for name in names if name not in splits and name.lower() not in WRAPPERS]


def _names_few(tree: Tree, listing: Listing) -> bool:
    """Whether the list is about some of the photos alone: then it cannot be meant to give all of them their labels."""
    return 2 * len(listing.photos) < sum(map(may_be_photo, tree.files))


def _name_classes(tree: Tree, parent: PurePath, listing: Listing) -> bool:
    """Whether the folders in `parent` are classes: each holds photos of one label, and each label has one folder."""
    labels: dict[str, set[str]] = defaultdict(set)
    for photo in listing.photos:
        path = photo.path
        inside = path.relative_to(tree.root / parent).parts if path.is_relative_to(tree.root / parent) else ()
        labels[inside[0] if len(inside) > 1 else ""].add(photo.label)
    is_one_each = all(len(each) == 1 for each in labels.values())
    return is_one_each and "" not in labels and len(set().union(*labels.values())) == len(labels)


def _labelled_rows(path: Path, params: ListParams) -> int:
    """About how many rows have a label: Hugging Face also keeps captions and boxes in such lists."""
    status = path.stat()
    return _rows_with_labels(path, params, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _rows_with_labels(path: Path, params: ListParams, _changed: int, _size: int) -> int:
    try:
        stream = stream_table(path)
        some = Table(stream.columns, tuple(islice(stream.rows, SAMPLE_ROWS)))
        entries, _ = entries_of(some, params, str(path))
        labelled = sum(bool(entry.label) for entry in entries)
        return labelled + sum(1 for _ in stream.rows) if labelled else 0
    except DatasetError:
        return 0


def _below(folder: PurePath, entry: Entry) -> Entry:
    if isinstance(entry.image, bytes) or not entry.image or "://" in entry.image:
        return entry
    return replace(entry, image=str(folder / entry.image))

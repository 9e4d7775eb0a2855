"""Labels of photos in their own names (`cat.1.jpg`), or in a file beside each (`1.jpg` and `1.cls` of WebDataset)."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath

from lenslet.dataset.folders import folders_with_files, label_of, lone_folders, may_be_photo
from lenslet.dataset.lists import Entry, listing_of
from lenslet.dataset.photo_names import Names
from lenslet.dataset.photos import Listing
from lenslet.dataset.split_names import split_of
from lenslet.dataset.walk import Tree
from lenslet.inference.printable import printable

CLASS_ENDING = ".cls"
NUMBERED = re.compile(r"([A-Za-z][A-Za-z _-]*?)[ ._-]*\(?\d+\)?")
# What cameras and programs call photos of anything.
NO_CLASSES = {
    "img", "image", "images", "photo", "pic", "picture", "dsc", "dscn", "dscf", "imgp", "p", "pxl", "mvi", "wp", "scan",
    "screenshot", "frame", "file", "sample", "untitled", "unnamed", "download", "train", "test", "val", "id", "n", "x",
}  # fmt: skip
MIN_PHOTOS = 2  # of each class


def read_class_files(tree: Tree, cache: Path) -> Listing | None:
    """`<name>.cls` with the label in it, beside `<name>.jpg`."""
    labels = {file.with_suffix(""): file for file in tree.files if file.suffix == CLASS_ENDING}
    photos = [file for file in tree.files if file.with_suffix("") in labels and _is_photo(file)]
    if not photos:
        return None
    entries = [
        Entry(str(file), label_of(_text(tree.root / labels[file.with_suffix("")])), None) for file in photos
    ]
    return listing_of(
        entries, Names(tree, is_closed=True), cache, [tree.root / file for file in labels.values()]
    )


def read_labels_in_names(tree: Tree, cache: Path) -> Listing | None:
    """`cat.1.jpg`, `dog_002.jpg`: side by side, or in split folders, of which one may have no labels."""
    base = lone_folders(tree)[-1]
    folders = folders_with_files(tree, base)
    if any(not split_of(folder.name) or folders_with_files(tree, folder) for folder in folders):
        return None
    entries: list[Entry] = []
    for folder in folders or [base]:
        labels = _labels_in([file for file in tree.files_in.get(folder, []) if may_be_photo(file)])
        entries += [Entry(str(file), label, split_of(folder.name)) for file, label in labels.items()]
    if not entries:
        return None
    names = sorted({entry.label for entry in entries})
    note = f"labels are read from the names of the files: {', '.join(printable(repr(name)) for name in names[:6])}"
    return listing_of(entries, Names(tree), cache, [], [note + (", …" if len(names) > 6 else "")])


def _labels_in(files: Sequence[PurePath]) -> dict[PurePath, str]:
    """File → the label that its name begins with; empty unless all have one, and each label has several."""
    matches = {file: NUMBERED.fullmatch(file.stem) for file in files}
    labels = {file: label_of(match[1]) for file, match in matches.items() if match}
    counts = Counter(labels.values())
    are_labels = len(counts) > 1 and min(counts.values()) >= MIN_PHOTOS and len(labels) == len(files)
    return labels if are_labels and not {label.lower() for label in counts} & NO_CLASSES else {}


def _is_photo(file: PurePath) -> bool:
    return may_be_photo(file) and file.suffix != CLASS_ENDING


def _text(path: Path) -> str:
    return path.read_bytes()[:200].decode(errors="replace").strip()

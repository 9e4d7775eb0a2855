"""Photos in folders: a folder per class, nested to any depth, with split folders above or below the classes."""

import os
import re
import unicodedata
from collections.abc import Sequence
from itertools import combinations
from pathlib import PurePath

from lenslet.dataset.photos import LeftOut, Listing, Photo
from lenslet.dataset.walk import Tree

# Split → what its folders are called, less the affixes.
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
# Photos without labels that lie beside the splits.
UNLABELLED_NAMES = ("pred", "predict", "prediction", "unlabelled", "unlabeled", "unknown", "inference")
# seg_train (Intel Image Classification), train_set, test-images
AFFIXES = re.compile(r"^seg[ _-]|[ _-](set|data|images?|imgs?|photos?|dir|split)$")

Labelled = tuple[PurePath, str, str | None]  # file, label, split


def label_of(name: str) -> str:
    """The label that a folder's name spells, as text: composed (Unicode NFC), stray bytes as `\\xe9`.

    The same name is stored in another form by macOS than by Linux.
    """
    return unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "backslashreplace"))


def split_of(name: str) -> str | None:
    """The split that a folder of this name, or this word in a list, may stand for."""
    plain = AFFIXES.sub("", name.strip().lower())
    return next((split for split, names in SPLIT_NAMES.items() if plain in names), None)


def read_class_folders(tree: Tree, base: PurePath) -> Listing:
    """`<class>/…`: the first level names the class, deeper ones do not count."""
    named = [folder.name for folder in tree.folders_in.get(base, []) if split_of(folder.name)]
    notes = [f"{name!r} counts as a class: it holds photos, and no folders of classes" for name in named]
    return _listing(tree, _in_class_folders(tree, base, None), _labels(tree, base), notes)


def read_split_folders(tree: Tree, base: PurePath) -> Listing:
    """`<split>/<class>/…`; what lies beside the splits, or in a split but in no class folder, is left out."""
    photos, classes = [], set()
    for split, folders in split_folders(tree, base).items():
        for parent in (class_parent(tree, folder) for folder in folders):
            photos += _in_class_folders(tree, parent, split)
            classes |= _labels(tree, parent)
    return _listing(tree, photos, classes)


def read_splits_in_classes(tree: Tree, base: PurePath) -> Listing:
    """`<class>/<split>/…`."""
    photos = [
        (file, label_of(folder.name), split_of(inner.name))
        for folder in tree.folders_in.get(base, [])
        for inner in tree.folders_in.get(folder, [])
        for file in tree.files_below(inner)
    ]
    return _listing(tree, photos, _labels(tree, base))


def unwrapped(tree: Tree) -> PurePath:
    """The folder that holds the classes or splits: below the root where everything lies in one folder of folders."""
    base = PurePath()
    while not tree.files_in.get(base):
        inside = [folder for folder in tree.folders_in.get(base, []) if tree.holds_files(folder)]
        if len(inside) > 1 or any(split_of(folder.name) and _class_names(tree, folder) for folder in inside):
            return base
        if not inside:
            break
        [base] = inside
    return PurePath()  # one class, or photos without any


def has_splits_in_classes(tree: Tree, base: PurePath) -> bool:
    """Whether each class folder holds split folders and nothing else, at least two of them."""
    inner = [
        [split_of(each.name) for each in tree.folders_in.get(folder, []) if tree.holds_files(each)]
        for folder in tree.folders_in.get(base, [])
        if tree.holds_files(folder)
    ]
    return len(inner) >= 2 and all(len(set(names)) >= 2 and None not in names for names in inner)


def split_folders(tree: Tree, base: PurePath) -> dict[str, list[PurePath]]:
    """Split → its folders, those that hold class folders; empty if these folders are classes themselves.

    Classes may be called `train` or `test`, too: the names mean splits if the folders hold class folders, and beside
    them lie no others with photos, or two of them have a class in common.
    """
    folders = [folder for folder in tree.folders_in.get(base, []) if tree.holds_files(folder)]
    classes = {folder: _class_names(tree, folder) for folder in folders if split_of(folder.name)}
    structured = {folder: names for folder, names in classes.items() if names}
    others = [each for each in folders if each not in classes and not _is_unlabelled(each.name)]
    in_common = any(one & two for one, two in combinations(structured.values(), 2))
    if others and not in_common:
        return {}
    found: dict[str, list[PurePath]] = {}
    for folder in structured:
        found.setdefault(str(split_of(folder.name)), []).append(folder)
    return found


def class_parent(tree: Tree, folder: PurePath) -> PurePath:
    """Where a split's class folders lie: archives of Kaggle repeat the name, as in seg_train/seg_train."""
    inner = folder / folder.name
    return inner if tree.folders_in.get(inner) else folder


def _class_names(tree: Tree, folder: PurePath) -> set[str]:
    inside = tree.folders_in.get(class_parent(tree, folder), [])
    return {label_of(each.name) for each in inside if tree.holds_files(each)}


def _is_unlabelled(name: str) -> bool:
    return AFFIXES.sub("", name.strip().lower()) in UNLABELLED_NAMES


def _labels(tree: Tree, parent: PurePath) -> set[str]:
    return {label_of(folder.name) for folder in tree.folders_in.get(parent, [])}


def _in_class_folders(tree: Tree, parent: PurePath, split: str | None) -> list[Labelled]:
    return [
        (file, label_of(folder.name), split)
        for folder in tree.folders_in.get(parent, [])
        for file in tree.files_below(folder)
    ]


def _listing(tree: Tree, found: list[Labelled], classes: set[str], notes: Sequence[str] = ()) -> Listing:
    photos = tuple(Photo(tree.root / file, label, split) for file, label, split in found)
    used = {file for file, _, _ in found}
    rest = (LeftOut(tree.root / file, "no label", "in no class folder") for file in tree.files)
    left_out = tuple(each for file, each in zip(tree.files, rest, strict=True) if file not in used)
    return Listing(tree.root, "", photos, left_out, frozenset(classes), tuple(notes))

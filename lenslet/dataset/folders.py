"""Photos in folders: a folder per class, nested to any depth, with split folders above or below the classes."""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import PurePath

from lenslet.dataset.photos import DatasetError, LeftOut, Listing, Photo
from lenslet.dataset.split_names import is_unlabelled, split_folders_by_name, split_of
from lenslet.dataset.walk import Tree
from lenslet.inference.printable import printable

# Names of a folder that stands between a split and its classes, or holds all photos of a list.
WRAPPERS = ("images", "image", "imgs", "img", "photos", "pictures", "data", "jpegimages")
ANNOTATIONS = (
    "annotations",
    "labels",
    "masks",
    "mask",
    "annots",
    "segmentation",
    "segmentationclass",
    "imagesets",
)
NO_PHOTO = (
    ".txt",
    ".xml",
    ".json",
    ".csv",
    ".tsv",
    ".yaml",
    ".yml",
    ".md",
    ".html",
    ".pdf",
    ".mat",
    ".py",
    ".ipynb",
    ".cache",
)
PARTS = re.compile(r"(fold|part|batch|set|chunk|shard|subset|session|split)[ _-]?\w{1,3}", re.IGNORECASE)

Labelled = tuple[PurePath, str, str | None]  # file, label, split


def label_of(name: str) -> str:
    """The label that a folder's name spells, as text: composed (Unicode NFC), stray bytes as `\\xe9`.

    The same name is stored in another form by macOS than by Linux.
    """
    return unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "backslashreplace"))


def read_class_folders(tree: Tree, base: PurePath) -> Listing:
    """`<class>/…`: the first level names the class, deeper ones do not count.

    Raises: DatasetError if these can hardly be classes: all are called like splits, or hold pictures and annotations.
    """
    folders = folders_with_files(tree, base)
    named = [folder for folder in folders if split_of(folder.name)]
    where, names = printable(tree.root / base), " and ".join(printable(folder.name) for folder in folders[:3])
    if named == folders and len({split_of(folder.name) for folder in named}) > 1:
        raise DatasetError(
            f"{where}: {names} hold photos, but no folders of classes: give the list of their labels, or make a folder "
            "per class"
        )
    every = {folder.name.lower() for folder in tree.folders_in.get(base, []) if tree.holds_files(folder)}
    if every & {*ANNOTATIONS} and every <= {*WRAPPERS, *ANNOTATIONS}:
        raise DatasetError(
            f"{where} holds {' and '.join(sorted(every)[:3])}, pictures with boxes or masks: a classifier needs one "
            "label for each photo, in a list or by a folder per class"
        )
    notes = [
        f"{printable(repr(folder.name))} counts as a class: {_why_no_split(tree, folder)}" for folder in named
    ]
    notes += _note_on_same_folders(tree, folders)
    return _listing(tree, _in_class_folders(tree, base, None), _labels(tree, base), notes)


def read_split_folders(tree: Tree, base: PurePath) -> Listing | None:
    """`<split>/<class>/…`; what lies beside the splits, or in a split but in no class folder, is left out."""
    splits = split_folders(tree, base)
    if not splits:
        return None
    photos, classes = [], set()
    for split, folders in splits.items():
        for parent in (class_parent(tree, folder) for folder in folders):
            photos += _in_class_folders(tree, parent, split)
            classes |= _labels(tree, parent)
    return _listing(tree, photos, classes, _notes_beside(tree, base, splits))


def read_splits_in_classes(tree: Tree, base: PurePath) -> Listing | None:
    """`<class>/<split>/…`. Raises: DatasetError if these are data sets, each with splits and classes of its own."""
    outer = folders_with_files(tree, base)
    inner = [{each: split_of(each.name) for each in folders_with_files(tree, folder)} for folder in outer]
    if len(inner) < 2 or not all(
        len(set(each.values())) >= 2 and None not in each.values() for each in inner
    ):
        return None
    if any(split_folders(tree, folder) for folder in outer):
        names = " and ".join(printable(folder.name) for folder in outer[:2])
        raise DatasetError(
            f"{tree.root / base} holds {len(outer):,} data sets with splits and classes of their own, {names} among "
            "them: give one of them"
        )
    photos = [
        (file, label_of(folder.name), split)
        for folder, splits in zip(outer, inner, strict=True)
        for each, split in splits.items()
        for file in tree.files_below(each)
    ]
    return _listing(tree, photos, _labels(tree, base))


def read_parts(tree: Tree, base: PurePath) -> Listing | None:
    """`fold1/<class>/…` beside `fold2/<class>/…`: one data set in parts, whose names tell neither class nor split."""
    parts = folders_with_files(tree, base)
    classes = [_class_names(tree, part) for part in parts]
    are_parts = len({plain[1].lower() for part in parts if (plain := PARTS.fullmatch(part.name))}) == 1
    if len(parts) < 2 or not are_parts or not all(PARTS.fullmatch(part.name) for part in parts):
        return None
    if not all(one & two for one, two in combinations(classes, 2)):
        return None
    photos = [each for part in parts for each in _in_class_folders(tree, class_parent(tree, part), None)]
    labels = {label for part in parts for label in _labels(tree, class_parent(tree, part))}
    names = ", ".join(printable(part.name) for part in parts[:3]) + (", …" if len(parts) > 3 else "")
    return _listing(
        tree, photos, labels, [f"{names} hold the same classes, and count as parts of one data set"]
    )


def lone_folders(tree: Tree) -> list[PurePath]:
    """The root, the folder in it that holds everything else there, if there is one, and so on."""
    chain = [PurePath()]
    while len(inside := folders_with_files(tree, chain[-1])) == 1:
        chain += inside
    return chain


def unwrapped(tree: Tree) -> PurePath:
    """The folder that holds the classes or splits: below the root where all folders lie in one."""
    chain = lone_folders(tree)
    for place in chain:
        inside = folders_with_files(tree, place)
        if len(inside) > 1 or any(split_of(folder.name) and _class_names(tree, folder) for folder in inside):
            return place
    return PurePath()  # one class, or photos without any


def split_folders(tree: Tree, base: PurePath) -> dict[str, list[PurePath]]:
    """Split → its folders, those that hold class folders; empty if these folders are classes themselves.

    Classes may be called `train` or `test`, too: the names mean splits if the folders hold class folders, and beside
    them lie no others with photos, or something else tells: a class in common, a second split, or nothing that could
    be the other classes.
    """
    folders = folders_with_files(tree, base)
    splits = split_folders_by_name([folder.name for folder in folders])
    named = [folder for folder in folders if folder.name in splits]
    structured = {folder: names for folder in named if (names := _class_names(tree, folder))}
    others = [each for each in folders if each not in named and not is_unlabelled(each.name)]
    are_splits = (
        not others
        or any(one & two for one, two in combinations(structured.values(), 2))
        or len(named) > 1
        or (len(others) == 1 and not _class_names(tree, others[0]))
    )
    found: dict[str, list[PurePath]] = {}
    for folder in structured if are_splits else ():
        found.setdefault(splits[folder.name], []).append(folder)
    return found


def class_parent(tree: Tree, folder: PurePath) -> PurePath:
    """Where a split's class folders lie: in seg_train/seg_train, as archives of Kaggle have it, or in train/images."""
    inside = [each for each in tree.folders_in.get(folder, []) if not _holds_texts_alone(tree, each)]
    if len(inside) == 1 and (inside[0].name == folder.name or inside[0].name.lower() in WRAPPERS):
        return class_parent(tree, inside[0])
    return folder


def folders_with_files(tree: Tree, place: PurePath) -> list[PurePath]:
    """The folders in `place` that hold files, at any depth, other than texts."""
    return [
        folder
        for folder in tree.folders_in.get(place, [])
        if any(map(may_be_photo, tree.files_below(folder)))
    ]


def may_be_photo(file: PurePath) -> bool:
    return file.suffix.lower() not in NO_PHOTO


def _class_names(tree: Tree, folder: PurePath) -> set[str]:
    return {label_of(each.name) for each in folders_with_files(tree, class_parent(tree, folder))}


def _holds_texts_alone(tree: Tree, folder: PurePath) -> bool:
    return tree.holds_files(folder) and not any(map(may_be_photo, tree.files_below(folder)))


def _note_on_same_folders(tree: Tree, folders: Sequence[PurePath]) -> list[str]:
    """A sentence where all classes hold folders of the same names: these may be the classes."""
    inner = [{label_of(each.name) for each in folders_with_files(tree, folder)} for folder in folders]
    same = sorted(set.intersection(*inner)) if len(inner) > 1 else []
    if len(same) < 2:
        return []
    names = ", ".join(printable(repr(name)) for name in same[:3])
    return [
        f"all classes hold folders called {names}: if these are the classes, give "
        f"{printable(repr(folders[0].name))} or another of the folders alone"
    ]


def _why_no_split(tree: Tree, folder: PurePath) -> str:
    if _class_names(tree, folder):
        return "beside it lie folders that may be classes, too"
    return "it holds photos, and no folders of classes"


def _notes_beside(tree: Tree, base: PurePath, splits: dict[str, list[PurePath]]) -> list[str]:
    """A sentence for each folder beside the splits that might have been meant to count."""
    used = [folder for folders in splits.values() for folder in folders]
    classes = set().union(*(_class_names(tree, folder) for folder in used))
    inside = folders_with_files(tree, base)
    named = split_folders_by_name([folder.name for folder in inside])
    beside = [folder for folder in inside if folder not in used and folder.name not in named]
    notes = []
    for folder in beside:
        count = sum(1 for _ in tree.files_below(folder))
        same = "has the same classes, but " if classes & _class_names(tree, folder) else ""
        notes.append(
            f"{printable(repr(folder.name))} {same}is no split by its name: its {count:,} "
            f"{'file is' if count == 1 else 'files are'} left out"
        )
    return notes


def _labels(tree: Tree, parent: PurePath) -> set[str]:
    return {label_of(folder.name) for folder in tree.folders_in.get(parent, [])}


def _in_class_folders(tree: Tree, parent: PurePath, split: str | None) -> list[Labelled]:
    return [
        (file, label_of(folder.name), split)
        for folder in tree.folders_in.get(parent, [])
        for file in tree.files_below(folder)
    ]


def _listing(tree: Tree, found: list[Labelled], classes: Iterable[str], notes: Sequence[str] = ()) -> Listing:
    photos = tuple(Photo(tree.root / file, label, split) for file, label, split in found)
    used = {file for file, _, _ in found}
    rest = (LeftOut(tree.root / file, "no label", "in no class folder") for file in tree.files)
    left_out = tuple(each for file, each in zip(tree.files, rest, strict=True) if file not in used)
    return Listing(tree.root, "", photos, left_out, frozenset(classes), tuple(notes))

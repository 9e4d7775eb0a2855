"""Layouts of a folder of labelled photos: a folder per class, or split folders with a folder per class each."""

from pathlib import Path

from lenslet.dataset.dataset import DatasetError, Photo

# Split → names its folder may have. The last ones are those of the Intel Image Classification set.
SPLIT_FOLDERS = {
    "train": ("train", "training", "seg_train"),
    "validation": ("val", "valid", "validation", "seg_val"),
    "test": ("test", "testing", "seg_test"),
}


def find_photos(folder: Path) -> list[Photo]:
    """Every visible file of `folder/<class>/` or `folder/<split>/<class>/`, sorted; whatever its name ends in.

    Raises: DatasetError if the folder is missing or has fewer than two classes.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder")
    split_folders = _split_folders(folder)
    photos, classes = [], set()
    for split, parent in split_folders.items():
        for class_folder in _visible_folders(parent):
            classes.add(class_folder.name)
            photos += [Photo(path, class_folder.name, split) for path in _visible_files(class_folder)]
    if len(classes) < 2:
        raise DatasetError(
            f"{folder} must hold a folder per class, two at least, but has {sorted(classes) or 'none'}"
        )
    empty = sorted(classes - {photo.label for photo in photos})
    if empty:
        raise DatasetError(f"{folder}: class {empty[0]!r} holds no file")
    return photos


def _split_folders(folder: Path) -> dict[str | None, Path]:
    """Split → the folder of its classes; None → `folder` if that holds the classes itself."""
    by_name = {child.name.lower(): child for child in _visible_folders(folder)}
    found: dict[str | None, Path] = {}
    for split, names in SPLIT_FOLDERS.items():
        for name in names:
            if name in by_name:
                inner = by_name[name] / by_name[name].name  # Kaggle's archive nests seg_train/seg_train
                found[split] = inner if inner.is_dir() else by_name[name]
    return found if "train" in found else {None: folder}


def _visible_folders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def _visible_files(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_file() and not child.name.startswith("."))

"""Ways that labelled photos come in: what is found, under which label and split, and what is left out and why."""

import os
from collections import Counter
from pathlib import Path

import pytest

from lenslet.dataset.folders import split_of
from lenslet.dataset.layouts import find_photos
from lenslet.dataset.photos import DatasetError, Listing
from tests.support.photos import RED, plain


def write(root: Path, *names: str | bytes) -> Path:
    """Empty files: finding photos does not open them."""
    for name in names:
        path = root / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def found(listing: Listing) -> dict[str, tuple[str, str | None]]:
    """Name → label and split of each photo."""
    return {str(photo.path.relative_to(listing.root)): (photo.label, photo.split) for photo in listing.photos}


def left_out(listing: Listing) -> dict[str, str]:
    """Name → reason."""
    return {str(each.path.relative_to(listing.root)): each.reason for each in listing.left_out}


def counts(listing: Listing) -> dict[tuple[str | None, str], int]:
    return dict(Counter((photo.split, photo.label) for photo in listing.photos))


def assert_books_balance(listing: Listing) -> None:
    """Every file below the root is a photo or left out, and none is both."""
    files = {
        Path(folder, name)
        for folder, _, names in os.walk(listing.root, followlinks=True)
        for name in names
    }  # fmt: skip
    used, others = [photo.path for photo in listing.photos], [each.path for each in listing.left_out]
    assert sorted([*used, *others]) == sorted(files)


# Files → layout, and photos by split and label.
FOLDERS = {
    "classes": (
        ["cat/1.jpg", "dog/2", "dog/3.webp"],
        ("a folder per class", {(None, "cat"): 1, (None, "dog"): 2}),
    ),
    "nested to any depth": (
        ["cat/1.jpg", "cat/indoors/2.jpg", "cat/outdoors/night/3.jpg", "dog/a/b/c/d/4.jpg"],
        ("a folder per class", {(None, "cat"): 3, (None, "dog"): 1}),
    ),
    "train and test": (
        ["train/cat/1.jpg", "train/dog/2.jpg", "test/cat/3.jpg", "test/dog/4.jpg"],
        ("split folders", {("train", "cat"): 1, ("train", "dog"): 1, ("test", "cat"): 1, ("test", "dog"): 1}),
    ),
    "nested below splits": (
        ["Training/cat/x/1.jpg", "Training/dog/2.jpg", "Eval/cat/y/z/3.jpg", "Eval/dog/4.jpg"],
        ("split folders", {("train", "cat"): 1, ("train", "dog"): 1, ("test", "cat"): 1, ("test", "dog"): 1}),
    ),
    "only train": (
        ["train/cat/1.jpg", "train/dog/2.jpg"],
        ("split folders", {("train", "cat"): 1, ("train", "dog"): 1}),
    ),
    "Intel": (
        ["seg_train/seg_train/sea/1", "seg_train/seg_train/ice/2", "seg_test/seg_test/sea/3",
         "seg_test/seg_test/ice/4", "seg_pred/seg_pred/5.jpg"],
        ("split folders", {("train", "sea"): 1, ("train", "ice"): 1, ("test", "sea"): 1, ("test", "ice"): 1}),
    ),
    "val and validation": (
        ["train/cat/1", "train/dog/2", "val/cat/3", "val/dog/4", "validation/cat/5", "validation/dog/6"],
        ("split folders", {("train", "cat"): 1, ("train", "dog"): 1,
                           ("validation", "cat"): 2, ("validation", "dog"): 2}),
    ),
    "unlabelled test": (
        ["train/cat/1.jpg", "train/dog/2.jpg", "test/3.jpg", "test/4.jpg"],
        ("split folders", {("train", "cat"): 1, ("train", "dog"): 1}),
    ),
    "a class called train": (
        ["train/1.jpg", "bus/2.jpg", "bicycle/3.jpg"],
        ("a folder per class", {(None, "train"): 1, (None, "bus"): 1, (None, "bicycle"): 1}),
    ),
    "a nested class called train": (
        ["train/steam/1.jpg", "train/electric/2.jpg", "bus/3.jpg", "bicycle/4.jpg"],
        ("a folder per class", {(None, "train"): 2, (None, "bus"): 1, (None, "bicycle"): 1}),
    ),
    "classes called train and test": (
        ["train/1.jpg", "test/2.jpg"],
        ("a folder per class", {(None, "train"): 1, (None, "test"): 1}),
    ),
    "a class called train in split folders": (
        ["train/train/1.jpg", "train/bus/2.jpg", "test/train/3.jpg", "test/bus/4.jpg"],
        ("split folders", {("train", "train"): 1, ("train", "bus"): 1,
                           ("test", "train"): 1, ("test", "bus"): 1}),
    ),
    "splits in classes": (
        ["cat/train/1.jpg", "cat/test/2.jpg", "dog/train/3.jpg", "dog/test/4.jpg"],
        ("split folders in class folders", {("train", "cat"): 1, ("train", "dog"): 1,
                                            ("test", "cat"): 1, ("test", "dog"): 1}),
    ),
    "in a folder of its own": (
        ["my photos/v2/cat/1.jpg", "my photos/v2/dog/2.jpg"],
        ("a folder per class", {(None, "cat"): 1, (None, "dog"): 1}),
    ),
    "other scripts and signs": (
        ["猫/1.jpg", "$5, |x|/2.jpg", "=1+1/3.jpg"],
        ("a folder per class", {(None, "猫"): 1, (None, "$5, |x|"): 1, (None, "=1+1"): 1}),
    ),
}  # fmt: skip


def test_sixty_photos_in_sub_folders_are_used(tmp_path: Path) -> None:
    names = [f"{label}/{number}.jpg" for label in ("cat", "dog") for number in range(6)]
    names += [
        f"{label}/day {day}/{number}.jpg"
        for label in ("cat", "dog")
        for day in range(3)
        for number in range(10)
    ]
    listing = find_photos(write(tmp_path, *names))
    assert (len(listing.photos), listing.left_out) == (72, ())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("__MACOSX/cat/._1.jpg", "system"),
        ("cat/@eaDir/1.jpg/thumbnail.jpg", "system"),
        ("cat/.ipynb_checkpoints/1-checkpoint.jpg", "hidden"),
        ("cat/Thumbs.db", "system"),
        ("lost+found/1.jpg", "system"),
        ("desktop.ini", "system"),
        (".DS_Store", "hidden"),
        (".git/objects/12/345", "hidden"),
        ("cat/._1.jpg", "hidden"),
        ("README.md", "no label"),
        ("1.jpg", "no label"),
    ],
)
def test_file_that_is_no_photo_of_a_class_is_left_out_by_name(name: str, reason: str, tmp_path: Path) -> None:
    listing = find_photos(write(tmp_path, "cat/1.jpg", "dog/2.jpg", name))
    assert found(listing) == {"cat/1.jpg": ("cat", None), "dog/2.jpg": ("dog", None)}
    assert left_out(listing) == {name: reason}
    assert_books_balance(listing)


def test_photos_beside_the_classes_of_a_split_are_left_out(tmp_path: Path) -> None:
    listing = find_photos(
        write(tmp_path, "train/cat/1", "train/dog/2", "train/loose.jpg", "test/3", "notes/4")
    )
    # `notes` holds photos, too: without a class in common with another split, `train` might be a class.
    assert counts(listing) == {(None, "train"): 3, (None, "test"): 1, (None, "notes"): 1}
    assert listing.notes[0] == "'test' counts as a class: it holds photos, and no folders of classes"

    write(tmp_path, "val/cat/5")
    listing = find_photos(tmp_path)
    assert counts(listing) == {("train", "cat"): 1, ("train", "dog"): 1, ("validation", "cat"): 1}
    assert left_out(listing) == dict.fromkeys(["train/loose.jpg", "test/3", "notes/4"], "no label")
    assert_books_balance(listing)


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", "1.jpg", "2.jpg")
    root = write(tmp_path / "photos", "cat/3.jpg", "dog/4.jpg")
    (root / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "5.jpg").symlink_to(tmp_path / "elsewhere" / "1.jpg")
    (root / "dog" / "again").symlink_to(root)
    (root / "dog" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    (root / "dog" / "itself.jpg").symlink_to("itself.jpg")
    os.mkfifo(root / "dog" / "pipe.jpg")
    listing = find_photos(root)
    assert found(listing) == {
        "cat/3.jpg": ("cat", None),
        "cat/5.jpg": ("cat", None),
        "cat/more/1.jpg": ("cat", None),
        "cat/more/2.jpg": ("cat", None),
        "dog/4.jpg": ("dog", None),
    }
    assert left_out(listing) == {
        "dog/again": "link",
        "dog/gone.jpg": "link",
        "dog/itself.jpg": "link",
        "dog/pipe.jpg": "special",
    }


def test_names_that_are_not_utf_8_are_found(tmp_path: Path) -> None:
    listing = find_photos(write(tmp_path, b"caf\xe9/1\xff.jpg", "thé/2.jpg"))
    assert [photo.label for photo in listing.photos] == ["caf\\xe9", "thé"]
    assert os.fsencode(listing.photos[0].path.name) == b"1\xff.jpg"
    assert all(photo.path.exists() for photo in listing.photos)


def test_class_names_are_composed(tmp_path: Path) -> None:
    """macOS stores é as e and an accent, and archives made there bring such names along."""
    listing = find_photos(
        write(tmp_path, "train/the\u0301/1", "train/eau/2", "test/th\u00e9/3", "test/eau/4")
    )
    assert {photo.label for photo in listing.photos} == {"th\u00e9", "eau"}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"), ("Training", "train"), ("seg_train", "train"), ("train_set", "train"),
        ("train-images", "train"), ("val", "validation"), ("valid", "validation"), ("dev", "validation"),
        ("Validation", "validation"), ("test", "test"), ("eval", "test"), (" TEST ", "test"),
        ("trains", None), ("tester", None), ("cat", None), ("seg_pred", None),
    ],
)  # fmt: skip
def test_names_of_splits(name: str, split: str | None) -> None:
    assert split_of(name) == split


def test_file_or_nothing_in_place_of_a_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere does not exist: give a folder of photos, a list or"):
        find_photos(tmp_path / "nowhere")
    (tmp_path / "1.jpg").write_bytes(plain(RED, "JPEG"))
    with pytest.raises(DatasetError, match=r"1.jpg is neither a folder of photos, nor a list"):
        find_photos(tmp_path / "1.jpg")

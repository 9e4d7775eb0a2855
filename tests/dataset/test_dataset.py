"""Folders of photos: layouts, splits, unreadable files, and the sentence for each folder that will not do."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from lenslet.config import TrainParams, read_params
from lenslet.config.train import ListParams
from lenslet.dataset.description import describe
from lenslet.dataset.layouts import find_photos
from lenslet.dataset.photos import DatasetError, Photo
from lenslet.dataset.reading import read_dataset
from lenslet.dataset.splits import assign_splits
from lenslet.inference.decode import decode
from tests.support.photos import BLUE, GREEN, RED, noisy, plain, write_class


@pytest.fixture
def params() -> TrainParams:
    return replace(read_params(Path("params.yaml")).train, image_size=16, validation_fraction=0.1)


@pytest.fixture
def two_classes(tmp_path: Path) -> Path:
    """Twenty red and ten green pictures, in folders per class."""
    folder = tmp_path / "photos"
    write_class(folder / "red", 20, RED)
    write_class(folder / "green", 10, GREEN, first_seed=100)
    return folder


def test_splits_are_drawn_by_class(two_classes: Path, params: TrainParams, tmp_path: Path) -> None:
    dataset = read_dataset(two_classes, params, tmp_path / "cache")
    assert dataset.labels == ("green", "red")
    counts = Counter((photo.label, photo.split) for photo in dataset.photos)
    # A tenth of 20 and of 10 for test; then a tenth of the 18 and 9 that remain for validation.
    assert counts == {
        ("red", "test"): 2,
        ("red", "validation"): 2,
        ("red", "train"): 16,
        ("green", "test"): 1,
        ("green", "validation"): 1,
        ("green", "train"): 8,
    }


def test_splits_depend_on_content_and_seed_not_on_names(
    two_classes: Path, params: TrainParams, tmp_path: Path
) -> None:
    before = read_dataset(two_classes, params, tmp_path / "cache")
    for path in sorted((two_classes / "red").iterdir()):
        path.rename(path.with_name(f"{99 - int(path.stem)}.jpg"))
    after = read_dataset(two_classes, params, tmp_path / "cache")
    assert after.fingerprint == before.fingerprint
    other_seed = read_dataset(two_classes, replace(params, split_seed=21), tmp_path / "cache")
    assert other_seed.fingerprint != before.fingerprint


def test_a_new_photo_keeps_the_others_in_their_splits(params: TrainParams) -> None:
    photos = [Photo(Path(f"{number}.jpg"), "sea", None) for number in range(40)]
    hashes = [f"{number * 7919 % 1000:03}" for number in range(40)]
    before = [photo.split for photo in assign_splits(photos, hashes, params)]
    more = [*photos, Photo(Path("new.jpg"), "sea", None)]
    after = [photo.split for photo in assign_splits(more, [*hashes, "new"], params)]
    assert sum(old != new for old, new in zip(before, after, strict=False)) <= 2


def drawn(labels: str, pairs: list[tuple[int, int]], params: TrainParams) -> list[str | None]:
    """The splits of photos with one letter as label each, their hashes 000, 001…, of which `pairs` look the same."""
    photos = [Photo(Path(f"{number}.jpg"), label, None) for number, label in enumerate(labels)]
    duplicates = np.array([(first, second, 9) for first, second in pairs], np.int64).reshape(-1, 3)
    hashes = [f"{number:03}" for number in range(len(labels))]
    return [photo.split for photo in assign_splits(photos, hashes, params, duplicates)]


@pytest.mark.parametrize("seed", range(20))
def test_photos_that_look_the_same_stay_together(seed: int, params: TrainParams) -> None:
    # Pairs, a chain of three, a pair across the classes.
    pairs = [(0, 1), (2, 3), (4, 5), (5, 6), (10, 30), (22, 23), (24, 25)]
    splits = drawn("s" * 20 + "t" * 20, pairs, replace(params, split_seed=seed))
    assert all(splits[first] == splits[second] for first, second in pairs)
    for members in (splits[:20], splits[20:]):
        counts = Counter(members)
        assert counts["test"] == 2
        assert counts["validation"] == 2


def test_only_photos_with_duplicates_move(params: TrainParams) -> None:
    """Where a pair gives way or comes in whole, as many others take its place; no more than these move."""
    before = drawn("s" * 100 + "t" * 100, [], params)
    after = drawn("s" * 100 + "t" * 100, [(0, 1), (150, 151)], params)
    moved = [number for number in range(200) if before[number] != after[number]]
    assert len(moved) <= 4


def test_pair_larger_than_the_split_is_drawn_whole(params: TrainParams) -> None:
    # A tenth of ten photos is one, but all are pairs.
    pairs = [(number, number + 1) for number in range(0, 20, 2)]
    splits = drawn("s" * 10 + "t" * 10, pairs, params)
    assert Counter(splits[:10]) == {"test": 2, "validation": 2, "train": 6}
    assert all(splits[first] == splits[second] for first, second in pairs)


def test_class_that_all_looks_the_same_is_drawn_photo_by_photo(params: TrainParams) -> None:
    """A fixed camera: no draw can keep its photos together."""
    pairs = [(number, number + 1) for number in range(39)]
    splits = drawn("s" * 20 + "t" * 20, pairs, params)
    assert splits == drawn("s" * 20 + "t" * 20, [], params)
    assert Counter(splits[:20]) == {"test": 2, "validation": 2, "train": 16}


def test_exact_copies_stay_together_under_two_labels(
    two_classes: Path, params: TrainParams, tmp_path: Path
) -> None:
    for path in sorted((two_classes / "red").iterdir())[:9]:
        (two_classes / "green" / f"copy-{path.name}").write_bytes(path.read_bytes())
    for seed in range(5):
        dataset = read_dataset(two_classes, replace(params, split_seed=seed), tmp_path / "cache")
        splits = {(photo.split, digest) for photo, digest in zip(dataset.photos, dataset.hashes, strict=True)}
        assert len(splits) == 30


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("train", "val", "test"), ("seg_train", "seg_val", "seg_test"), ("Training", "Valid", "Testing")],
)
def test_given_splits_are_kept(
    tmp_path: Path, params: TrainParams, train: str, validation: str, test: str
) -> None:
    for seed, name in enumerate((train, validation, test)):
        write_class(tmp_path / "photos" / name / "red", 3 + seed, RED, first_seed=100 * seed)
        write_class(tmp_path / "photos" / name / "green", 2, GREEN, first_seed=100 * seed + 50)
    (tmp_path / "photos" / "seg_pred").mkdir()
    (tmp_path / "photos" / "seg_pred" / "1.png").write_bytes(plain(BLUE))
    dataset = read_dataset(tmp_path / "photos", params, tmp_path / "cache")
    assert [len(dataset.members(split)) for split in ("train", "validation", "test")] == [5, 6, 7]


def test_missing_validation_split_comes_from_training_photos(params: TrainParams, tmp_path: Path) -> None:
    for name, first_seed in (("seg_train", 0), ("seg_test", 500)):
        # Kaggle's archive repeats the name: seg_train/seg_train/<class>.
        write_class(tmp_path / "photos" / name / name / "red", 20, RED, first_seed)
        write_class(tmp_path / "photos" / name / name / "green", 20, GREEN, first_seed + 100)
    dataset = read_dataset(tmp_path / "photos", params, tmp_path / "cache")
    assert [len(dataset.members(split)) for split in ("train", "validation", "test")] == [36, 4, 40]


def test_every_format_counts_whatever_the_file_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "red"
    folder.mkdir()
    (tmp_path / "green").mkdir()
    (tmp_path / "green" / "1.jpg").write_bytes(plain(GREEN))
    for image_format in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"):
        (folder / f"{image_format.lower()}.anything").write_bytes(plain(RED, image_format))
    (folder / ".DS_Store").write_bytes(b"hidden files are no photos")
    assert len(find_photos(tmp_path).photos) == 7


def test_unreadable_files_are_left_out_and_named(
    two_classes: Path, params: TrainParams, tmp_path: Path
) -> None:
    (two_classes / "red" / "notes.txt").write_text("not a photo")
    (two_classes / "red" / "cut.png").write_bytes(noisy(5, RED)[:300])
    dataset = read_dataset(two_classes, params, tmp_path / "cache")
    assert len(dataset.photos) == 30
    printed = describe(dataset)
    assert "32 files found (a folder per class): 30 photos used, 2 left out" in printed
    assert "2 left out, unreadable: no photo that can be read" in printed
    assert "    red/cut.png: the image is truncated" in printed
    assert "    red/notes.txt: the data are not an image we read" in printed


def test_training_pixels_are_the_served_pixels_byte_for_byte(
    two_classes: Path, params: TrainParams, tmp_path: Path
) -> None:
    (two_classes / "red" / "broken.jpg").write_bytes(b"shifts the rows of those that follow")
    dataset = read_dataset(two_classes, params, tmp_path / "cache")
    for photo, row in zip(dataset.photos, dataset.rows, strict=True):
        np.testing.assert_array_equal(dataset.pixels[row], decode(photo.path.read_bytes(), 16))


def test_only_test_takes_every_photo(two_classes: Path, params: TrainParams, tmp_path: Path) -> None:
    (two_classes / "red" / "copy.png").write_bytes((two_classes / "red" / "00.png").read_bytes())
    dataset = read_dataset(two_classes, params, tmp_path / "cache", only_test=True)
    assert len(dataset.members("test")) == 31
    assert 0 in dataset.duplicates[:, 2]  # a copy is one there, too


def make_one_class(folder: Path) -> None:
    write_class(folder / "red", 3, RED)


def make_no_class(folder: Path) -> None:
    folder.mkdir()
    (folder / "1.png").write_bytes(plain(RED))


def make_empty_class(folder: Path) -> None:
    make_one_class(folder)
    (folder / "green").mkdir()


def make_unreadable_class(folder: Path) -> None:
    make_one_class(folder)
    (folder / "green").mkdir()
    (folder / "green" / "1.jpg").write_bytes(b"nothing")


def make_empty_test(folder: Path) -> None:
    for seed, split in enumerate(("train", "test")):
        write_class(folder / split / "red", 9, RED, first_seed=100 * seed)
        write_class(folder / split / "green", 9, GREEN, first_seed=100 * seed)
    for path in (folder / "test" / "green").iterdir():
        path.write_bytes(b"nothing")


def make_too_few(folder: Path) -> None:
    write_class(folder / "red", 9, RED)
    write_class(folder / "green", 2, GREEN)


def make_copies(folder: Path) -> None:
    for split in ("train", "test"):
        write_class(folder / split / "red", 9, RED)
        write_class(folder / split / "green", 9, GREEN)


def make_disagreement(folder: Path) -> None:
    for seed, (split, names) in enumerate((("train", ("Red ", "green")), ("test", ("red", "green")))):
        write_class(folder / split / names[0], 9, RED, first_seed=100 * seed)
        write_class(folder / split / names[1], 9, GREEN, first_seed=100 * seed)


def make_split_class(folder: Path) -> None:
    for seed, (split, names) in enumerate((("train", ("red", "green")), ("test", ("red", "Red", "green")))):
        for name in names:
            write_class(folder / split / name, 3, RED, first_seed=100 * seed)


def make_additional_class(folder: Path) -> None:
    for split, names in (("train", ("red", "green")), ("test", ("red", "green", "blue"))):
        for name in names:
            write_class(folder / split / name, 3, RED)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "does not exist"),
        (make_one_class, r"must hold two classes at least, but has \['red'\]"),
        (make_no_class, "must hold two classes at least, but has none"),
        (
            make_empty_class,
            r"class 'green' holds no photo: .* --drop-small-classes 1",
        ),
        (make_unreadable_class, "class 'green' has no readable photo .1.jpg: the data are not"),
        (make_empty_test, "class 'green' has no photo to use in the test split: add some"),
        (
            make_too_few,
            r"class 'green' has 2 photos, too few to draw .* --drop-small-classes 3",
        ),
        (
            make_disagreement,
            "train has 'Red ', 'green', test has 'green', 'red': 'Red ' and 'red' differ only in capitals or spaces",
        ),
        (
            make_copies,
            r"the train split is empty \(18 photos were left out as copies of others: --leaks keep uses them\)",
        ),
        (
            make_split_class,
            "train has 'green', 'red', test has 'Red', 'green', 'red': 'red' and 'Red' differ only in capitals",
        ),
        (
            make_additional_class,
            "train has 'green', 'red', test has 'blue', 'green', 'red': add the missing photos",
        ),
    ],
)
def test_folder_that_will_not_do_is_one_sentence(
    make, message: str, params: TrainParams, tmp_path: Path
) -> None:
    make(tmp_path / "photos")
    with pytest.raises(DatasetError, match=message) as caught:
        read_dataset(tmp_path / "photos", params, tmp_path / "cache")
    assert "\n" not in str(caught.value)


def test_small_classes_can_be_left_out(two_classes: Path, params: TrainParams, tmp_path: Path) -> None:
    write_class(two_classes / "blue", 2, BLUE)
    (two_classes / "nothing").mkdir()
    dataset = read_dataset(two_classes, replace(params, drop_small_classes=3), tmp_path / "cache")
    assert dataset.labels == ("green", "red")
    assert [(each.reason, each.detail, each.path.name) for each in dataset.left_out] == [
        ("small class", "blue: fewer than 3 photos", "00.png"),
        ("small class", "blue: fewer than 3 photos", "01.png"),
    ]
    with pytest.raises(DatasetError, match="fewer than two classes have 20 photos"):
        read_dataset(two_classes, replace(params, drop_small_classes=20), tmp_path / "cache")


@pytest.mark.parametrize("seed", range(10))
def test_groups_stay_in_one_split(seed: int, params: TrainParams, tmp_path: Path) -> None:
    """Twelve patients with five photos each."""
    rows = ["file,label,patient"]
    for patient in range(12):
        colour, label = ((RED, "red"), (GREEN, "green"))[patient % 2]
        write_class(tmp_path / f"{patient}", 5, colour, first_seed=100 * patient)
        rows += [f"{patient}/{number:02}.png,{label},p{patient}" for number in range(5)]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    params = replace(params, split_seed=seed, list=ListParams(group_column="patient"))
    dataset = read_dataset(tmp_path / "list.csv", params, tmp_path / "cache")
    splits = {(photo.group, photo.split) for photo in dataset.photos}
    assert len(splits) == 12
    assert len({split for _, split in splits}) == 3


@pytest.mark.parametrize(("leaks", "photos"), [("drop", 18), ("keep", 20), ("refuse", 20)])
def test_training_photo_with_a_copy_in_test_is_left_out(
    leaks: Literal["drop", "keep", "refuse"], photos: int, params: TrainParams, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    for seed, split in enumerate(("train", "val", "test")):
        write_class(folder / split / "red", 10, RED, first_seed=1000 * seed)
        write_class(folder / split / "green", 10, GREEN, first_seed=1000 * seed + 500)
    for name, copy in (("00", "test/red"), ("01", "val/red"), ("02", "train/red")):
        (folder / copy / f"copy-{name}.png").write_bytes(
            (folder / "train" / "red" / f"{name}.png").read_bytes()
        )
    (folder / "train" / "red" / "copy-02.png").unlink()
    dataset = read_dataset(folder, replace(params, leaks=leaks), tmp_path / "cache")
    assert len(dataset.members("train")) == photos
    assert [(each.reason, dataset.name_of(each.path), each.detail) for each in dataset.left_out] == [
        ("leak", "train/red/00.png", "train and test, every byte is the same"),
        ("leak", "train/red/01.png", "train and validation, every byte is the same"),
    ][: 20 - photos]
    assert len([*folder.rglob("*.png")]) == 62  # nothing on the disk is touched


@pytest.mark.parametrize(
    ("pictures", "group", "message"),
    [
        (
            1,
            "",
            r"class 'green' has 12 photos of 1 different picture \(the others are copies\), and train, validation",
        ),
        (2, "", r"class 'green' has 12 photos of 2 different pictures \(the others are copies\), and train"),
        (
            12,
            "one",
            r"class 'green' has 12 photos of 1 group \(splits do not tear groups apart\), and train, validation",
        ),
    ],
)
def test_photos_that_stay_together_fill_no_three_splits(
    pictures: int, group: str, message: str, params: TrainParams, tmp_path: Path
) -> None:
    rows = []
    for number in range(12):
        for label, colour, seed in (("red", RED, number), ("green", GREEN, 50 + number % pictures)):
            (tmp_path / f"{label}{number}.png").write_bytes(noisy(seed, colour))
            rows.append(
                f"{label}{number}.png,{label},{group or number if label == 'green' else f'r{number}'}\n"
            )
    (tmp_path / "list.csv").write_text("image,label,patient\n" + "".join(rows))
    if group:
        params = replace(params, list=ListParams(group_column="patient"))
    with pytest.raises(DatasetError, match=message):
        read_dataset(tmp_path / "list.csv", params, tmp_path / "cache")


def test_one_photo_for_each_class_is_too_few(params: TrainParams, tmp_path: Path) -> None:
    write_class(tmp_path / "photos" / "red", 1, RED)
    write_class(tmp_path / "photos" / "green", 1, GREEN)
    with pytest.raises(
        DatasetError, match=r"class 'green' has 1 photo, too few to draw train, validation, test from"
    ):
        read_dataset(tmp_path / "photos", params, tmp_path / "cache")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n",
            r"it is a pointer of Git LFS: fetch",
        ),
        (
            b"<!DOCTYPE html><html><body>Sign in</body></html>",
            r"it is a web page, as a download that needs a login",
        ),
        (b"", r"the data are not an image we read"),
    ],
)
def test_class_without_a_readable_photo_says_what_lies_there(
    data: bytes, reason: str, two_classes: Path, params: TrainParams, tmp_path: Path
) -> None:
    for path in (two_classes / "green").iterdir():
        path.write_bytes(data)
    with pytest.raises(DatasetError, match=rf"class 'green' has no readable photo \(\d\d\.png: {reason}"):
        read_dataset(two_classes, params, tmp_path / "cache")

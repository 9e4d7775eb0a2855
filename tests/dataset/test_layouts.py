"""Ways that labelled photos come in: what is found, under which label and split, and what is left out and why."""

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from lenslet.config.train import ListParams
from lenslet.dataset.layouts import check_place, find_photos
from lenslet.dataset.photos import DatasetError, Listing
from lenslet.dataset.split_names import split_of
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


def assert_books_balance(listing: Listing, but: str = "") -> None:
    """Every file below the root, `but` the list, is a photo or left out, and none is both."""
    files = {
        Path(folder, name)
        for folder, _, names in os.walk(listing.root, followlinks=True)
        for name in names
    } - {listing.root / but}  # fmt: skip
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
    "a class called train in split folders": (
        ["train/train/1.jpg", "train/bus/2.jpg", "test/train/3.jpg", "test/bus/4.jpg"],
        ("split folders", {("train", "train"): 1, ("train", "bus"): 1,
                           ("test", "train"): 1, ("test", "bus"): 1}),
    ),
    "a nested class called like its split": (
        ["train/train/steam/1.jpg", "train/bus/2.jpg", "test/train/3.jpg", "test/bus/4.jpg"],
        ("split folders", {("train", "train"): 1, ("train", "bus"): 1,
                           ("test", "train"): 1, ("test", "bus"): 1}),
    ),
    "one split beside flat photos": (
        ["train/cat/1.jpg", "train/dog/2.jpg", "to do/3.jpg"],
        ("split folders", {("train", "cat"): 1, ("train", "dog"): 1}),
    ),
    "unlabelled test in a folder of its name": (
        ["train/cat/1.jpg", "train/dog/2.jpg", "test/test/3.jpg"],
        ("split folders", {("train", "cat"): 1, ("train", "dog"): 1}),
    ),
    "unlabelled test in images": (
        ["train/cat/1.jpg", "train/dog/2.jpg", "test/images/3.jpg", "test/images/4.jpg"],
        ("split folders", {("train", "cat"): 1, ("train", "dog"): 1}),
    ),
    "classes in images": (
        ["train/images/cat/1.jpg", "train/images/dog/2.jpg", "test/images/cat/3.jpg", "test/images/dog/4.jpg"],
        ("split folders", {("train", "cat"): 1, ("train", "dog"): 1, ("test", "cat"): 1, ("test", "dog"): 1}),
    ),
    "trainset and testset": (
        ["trainset/cat/1.jpg", "trainset/dog/2.jpg", "testset/cat/3.jpg", "testset/dog/4.jpg"],
        ("split folders", {("train", "cat"): 1, ("train", "dog"): 1, ("test", "cat"): 1, ("test", "dog"): 1}),
    ),
    "cars_train and cars_test": (
        ["cars_train/audi/1.jpg", "cars_train/bmw/2.jpg", "cars_test/audi/3.jpg", "cars_test/bmw/4.jpg"],
        ("split folders", {("train", "audi"): 1, ("train", "bmw"): 1, ("test", "audi"): 1, ("test", "bmw"): 1}),
    ),
    "train2017 and val2017": (
        ["train2017/cat/1.jpg", "train2017/dog/2.jpg", "val2017/cat/3.jpg", "val2017/dog/4.jpg"],
        ("split folders", {("train", "cat"): 1, ("train", "dog"): 1,
                           ("validation", "cat"): 1, ("validation", "dog"): 1}),
    ),
    "fold1 and fold2": (
        ["fold1/cat/1.jpg", "fold1/dog/2.jpg", "fold2/cat/3.jpg", "fold2/dog/4.jpg", "fold2/dog/5.jpg"],
        ("class folders in parts", {(None, "cat"): 2, (None, "dog"): 3}),
    ),
    "classes with the same folders in them": (
        ["set/day/1.jpg", "set/night/2.jpg", "fold/day/3.jpg", "fold/night/4.jpg"],
        ("a folder per class", {(None, "set"): 2, (None, "fold"): 2}),
    ),
    "a file beside the one folder": (
        ["README.md", "my photos/cat/1.jpg", "my photos/dog/2.jpg"],
        ("a folder per class", {(None, "cat"): 1, (None, "dog"): 1}),
    ),
    "a file beside the one folder of splits": (
        ["LICENSE", "v1/notes.txt", "v1/train/cat/1.jpg", "v1/train/dog/2.jpg", "v1/val/cat/3.jpg",
         "v1/val/dog/4.jpg"],
        ("split folders", {("train", "cat"): 1, ("train", "dog"): 1,
                           ("validation", "cat"): 1, ("validation", "dog"): 1}),
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
    assert counts(listing) == {("train", "cat"): 1, ("train", "dog"): 1}
    assert left_out(listing) == dict.fromkeys(["train/loose.jpg", "test/3", "notes/4"], "no label")
    assert listing.notes == ("'notes' is no split by its name: its 1 file is left out",)

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
        ("1_train", "train"), ("2. val", "validation"), ("trainset", "train"),
        ("test_images_2", "test"), ("valdata", "validation"), ("seg", None), ("data", None),
        ("freight train", None), ("test tube", None), ("trains", None), ("tester", None),
        ("cat", None), ("seg_pred", None),
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


def test_data_sets_side_by_side_are_refused(tmp_path: Path) -> None:
    for folder in ("fold1", "fold2"):
        write(tmp_path / folder, "train/cat/1.jpg", "train/dog/2.jpg", "test/cat/3.jpg", "test/dog/4.jpg")
    with pytest.raises(
        DatasetError, match=r"holds 2 data sets with splits .*, fold1 and fold2 among them: give one"
    ):
        find_photos(tmp_path)


def test_folder_with_the_classes_of_a_split_is_pointed_out(tmp_path: Path) -> None:
    """Its name tells no split, so that nobody knows what its photos are for."""
    names = [
        f"{split}/{label}/{split}.jpg" for split in ("train", "val", "holdout") for label in ("cat", "dog")
    ]
    listing = find_photos(write(tmp_path, *names))
    assert counts(listing) == {
        (split, label): 1 for split in ("train", "validation") for label in ("cat", "dog")
    }
    assert listing.notes == (
        "'holdout' has the same classes, but is no split by its name: its 2 files are left out",
    )


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        ("train.csv", ("train/1.jpg", "train/2.jpg", "test/1.jpg", "test/2.jpg"), {(None, "cat"): 1, (None, "dog"): 1}),
        ("trainLabels.csv", ("train/1.jpg", "train/2.jpg", "test/1.jpg"), {(None, "cat"): 1, (None, "dog"): 1}),
        ("train_labels.csv", ("train/1.jpg", "train/2.jpg", "test/1.jpg"), {(None, "cat"): 1, (None, "dog"): 1}),
        ("labels.csv", ("images/1.jpg", "images/2.jpg", "images/3.jpg"), {(None, "cat"): 1, (None, "dog"): 1}),
        ("labels.csv", ("1.jpg", "2.jpg", "3.jpg"), {(None, "cat"): 1, (None, "dog"): 1}),
        ("HAM_metadata.csv", ("HAM_part_1/1.jpg", "HAM_part_2/2.jpg", "HAM_part_2/3.jpg"),
         {(None, "cat"): 1, (None, "dog"): 1}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("inside", ["", "comp/"])
def test_folder_of_a_competition_is_read_by_its_list(
    name: str,
    files: tuple[str, ...],
    expected: dict[tuple[str | None, str], int],
    inside: str,
    tmp_path: Path,
) -> None:
    write(tmp_path, "README.md", *(inside + file for file in files))
    (tmp_path / inside / name).write_text("id,label\n1,cat\n2,dog\n")
    (tmp_path / inside / "sample_submission.csv").write_text("id,label\n1,cat\n2,cat\n")
    (tmp_path / inside / "test.csv").write_text("id\n1\n2\n")
    if "HAM" in name:  # more rows, so that its folders are not taken for two classes
        (tmp_path / inside / name).write_text("id,label\n1,cat\n2,dog\n3,cat\n")
        expected = {(None, "cat"): 2, (None, "dog"): 1}
    listing = find_photos(tmp_path)
    assert counts(listing) == expected
    assert listing.layout == "a list beside its photos"
    assert listing.notes[0] == f"the labels are those of {inside}{name}, not the names of folders"
    assert_books_balance(listing, inside + name)


def test_lists_of_two_splits_beside_photos(tmp_path: Path) -> None:
    write(tmp_path, "images/1.jpg", "images/2.jpg", "images/3.jpg", "images/4.jpg")
    (tmp_path / "train.csv").write_text("id,label\n1,cat\n2,dog\n")
    (tmp_path / "test.csv").write_text("id,label\n3,cat\n4,dog\n")
    assert counts(find_photos(tmp_path)) == {
        (split, label): 1 for split in ("train", "test") for label in ("cat", "dog")
    }
    (tmp_path / "more.csv").write_text("id,label\n3,cat\n4,dog\n")
    with pytest.raises(
        DatasetError, match=r"several lists of labels, more.csv and test.csv among them: give the one"
    ):
        find_photos(tmp_path)


def test_list_that_says_the_same_as_the_folders_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, "cat/1.jpg", "dog/2.jpg", "dog/3.jpg")
    (tmp_path / "files.csv").write_text("file,class\ncat/1.jpg,0\ndog/2.jpg,1\n")
    assert counts(find_photos(tmp_path)) == {(None, "cat"): 1, (None, "dog"): 2}
    write(tmp_path / "s", "train/cat/1.jpg", "train/dog/2.jpg", "val/cat/3.jpg", "val/dog/4.jpg")
    (tmp_path / "s" / "all.csv").write_text("file,class\ntrain/cat/1.jpg,x\ntrain/dog/2.jpg,y\n")
    assert find_photos(tmp_path / "s").layout == "split folders"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            ("train/1.jpg", "test/2.jpg"),
            r"test and train hold photos, but no folders of classes: give the list of",
        ),
        (
            ("train/images/1.jpg", "train/labels/1.txt", "valid/images/2.jpg"),
            r"train and valid hold photos, but no",
        ),
        (
            ("images/train/1.jpg", "images/val/2.jpg", "labels/train/1.txt"),
            r"train and val hold photos, but no folders",
        ),
        (
            ("JPEGImages/1.jpg", "Annotations/1.xml", "ImageSets/Main/train.txt"),
            r"pictures with boxes or masks: a class",
        ),
        (
            ("images/1.jpg", "masks/1.png"),
            r"holds images and masks, pictures with boxes or masks: a classifier needs one",
        ),
        (
            ("1.jpg", "2.jpg"),
            r"but has none; its 2 files lie side by side: make a folder per class, or give a list",
        ),
        (("IMG_1.jpg", "IMG_2.jpg", "DSC_1.jpg", "DSC_2.jpg"), r"its 4 files lie side by side"),
        ((), r"but has none; there are no files in it"),
        (("cat.zip", "dog.zip"), r"cat\.zip is packed: unpack it, or give it alone"),
        (
            ("a.tfrecord",),
            r"a\.tfrecord is a file of arrays or records: write its photos into a folder per class first",
        ),
        (("images/1.jpg", "labels.xlsx"), r"labels\.xlsx is a spreadsheet: save it as CSV, and give that"),
    ],
)
def test_folder_without_labels_says_what_to_do(files: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        find_photos(write(tmp_path, *files))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.xlsx", "is a spreadsheet: save it as CSV"),
        ("a.rar", "is an archive of a kind that is not read: unpack it"),
        ("a.npz", "is a file of arrays or records"),
        (
            "a.xml",
            "is no list that is read: give a folder per class, or a CSV with the columns image and label",
        ),
        ("a.zip", "is called like an archive, but its content is none: it is damaged, or of another kind"),
    ],
)
def test_file_of_another_kind_says_what_to_do(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=message):
        find_photos(write(tmp_path, name) / name)


def test_labels_in_the_names_of_files(tmp_path: Path) -> None:
    names = [f"{label}.{number}.jpg" for label in ("cat", "dog") for number in range(3)]
    listing = find_photos(write(tmp_path / "flat", *names))
    assert counts(listing) == {(None, "cat"): 3, (None, "dog"): 3}
    assert listing.notes == ("labels are read from the names of the files: 'cat', 'dog'",)
    listing = find_photos(
        write(tmp_path / "split", *(f"train/{name}" for name in names), "test1/1.jpg", "test1/2.jpg")
    )
    assert counts(listing) == {("train", "cat"): 3, ("train", "dog"): 3}
    assert len(listing.left_out) == 2


def test_labels_in_files_beside_the_photos(tmp_path: Path) -> None:
    """WebDataset."""
    for number in range(4):
        write(tmp_path, f"{number:05}.jpg")
        (tmp_path / f"{number:05}.cls").write_text(str(number % 2))
    assert counts(find_photos(tmp_path)) == {(None, "0"): 2, (None, "1"): 2}


def test_texts_beside_the_folder_of_classes(tmp_path: Path) -> None:
    """Food-101."""
    listing = find_photos(
        write(tmp_path, "images/pie/1.jpg", "images/soup/2.jpg", "meta/train.txt", "meta/test.json")
    )
    assert counts(listing) == {(None, "pie"): 1, (None, "soup"): 1}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("#snapshot/cat/1.jpg", "system"), ("FOUND.000/FILE0000.CHK", "system"), ("cat/Picasa.ini", "system"),
        ("cat/~$list.docx", "system"), ("cat/2.jpg.crdownload", "system"), ("@Recently-Snapshot/1.jpg", "system"),
        ("cat/thumbs/1.jpg", "system"), ("cat/Thumbnails/1.png", "system"),
    ],
)  # fmt: skip
def test_leavings_of_systems_are_no_photos(name: str, reason: str, tmp_path: Path) -> None:
    listing = find_photos(write(tmp_path, "cat/1.jpg", "dog/2.jpg", name))
    assert counts(listing) == {(None, "cat"): 1, (None, "dog"): 1}
    assert left_out(listing) == {name: reason}


def test_thumbs_that_are_no_copies_are_photos(tmp_path: Path) -> None:
    listing = find_photos(write(tmp_path, "up/thumbs/1.jpg", "down/thumbs/2.jpg"))
    assert counts(listing) == {(None, "up"): 1, (None, "down"): 1}


def test_classes_that_may_be_one_are_pointed_out(tmp_path: Path) -> None:
    listing = find_photos(write(tmp_path, "Cat/1.jpg", "cat/2.jpg", "dog/3.jpg"))
    assert listing.notes == (
        "'Cat' and 'cat' count as different classes: they differ only in capitals or spaces",
    )


def test_folders_that_all_hold_the_same_are_pointed_out(tmp_path: Path) -> None:
    """PlantVillage."""
    names = [f"{kind}/{label}/1.jpg" for kind in ("color", "grayscale") for label in ("rust", "scab")]
    assert find_photos(write(tmp_path, *names)).notes == (
        "all classes hold folders called 'rust', 'scab': if these are the classes, give 'color' or another of the "
        "folders alone",
    )


def test_folder_that_may_not_be_searched(request: pytest.FixtureRequest) -> None:
    """Read permission lists its names, without execute permission nobody learns more about them."""
    root = Path(tempfile.mkdtemp())  # `tmp_path` is for its owner alone, and root may search everything
    request.addfinalizer(lambda: shutil.rmtree(root))
    root.chmod(0o755)
    write(root, "cat/1.jpg", "dog/2.jpg", "dog/closed/3.jpg", "dog/hidden from all/4.jpg")
    (root / "dog" / "closed").chmod(0o444)
    (root / "dog" / "hidden from all").chmod(0o000)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        listing = find_photos(root)
    finally:
        os.seteuid(user)
    assert counts(listing) == {(None, "cat"): 1, (None, "dog"): 1}
    assert {str(each.path.relative_to(root)): (each.reason, each.detail) for each in listing.left_out} == {
        "dog/closed/3.jpg": ("unreadable", "Permission denied"),
        "dog/hidden from all": ("unreadable", "the folder cannot be read: Permission denied"),
    }


def test_empty_folder_is_said_before_the_rooms_are_loaded(tmp_path: Path) -> None:
    write(tmp_path / "photos", ".hidden/1.jpg")
    (tmp_path / "photos" / "cat").mkdir()
    with pytest.raises(DatasetError, match=r"photos holds no file that could be a photo$"):
        check_place(tmp_path / "photos")


def test_classes_that_differ_in_a_split_alone_are_pointed_out(tmp_path: Path) -> None:
    assert find_photos(write(tmp_path, "cat_train/1.jpg", "cat_test/2.jpg", "dog/3.jpg")).notes == (
        "'cat_test' and 'cat_train' count as different classes, not as splits",
    )


def test_list_of_few_photos_does_not_replace_the_folders(tmp_path: Path) -> None:
    write(tmp_path, *(f"{label}/{number}.jpg" for label in ("cat", "dog") for number in range(10)))
    (tmp_path / "seen.csv").write_text("file,category\ncat/1.jpg,sharp\ncat/2.jpg,blurred\ndog/1.jpg,sharp\n")
    assert counts(find_photos(tmp_path)) == {(None, "cat"): 10, (None, "dog"): 10}


def test_classes_with_numbered_names_of_a_split(tmp_path: Path) -> None:
    listing = find_photos(write(tmp_path, "test1/1.jpg", "test2/2.jpg"))
    assert counts(listing) == {(None, "test1"): 1, (None, "test2"): 1}


def test_columns_of_a_list_beside_photos_can_be_named(tmp_path: Path) -> None:
    write(tmp_path, "images/1.jpg", "images/2.jpg")
    (tmp_path / "styles.csv").write_text("id,gender,kind\n1,x,cat\n2,x,dog\n")
    listing = find_photos(tmp_path, ListParams(label_column="kind"))
    assert counts(listing) == {(None, "cat"): 1, (None, "dog"): 1}


@pytest.mark.parametrize("option", ["group_column", "split_column", "label_column", "image_column", "root"])
def test_column_of_a_list_is_refused_for_folders(option: str, tmp_path: Path) -> None:
    """Patients that `--group-column` should keep together would be torn apart without a word."""
    root = write(tmp_path, "cat/a.jpg", "dog/b.jpg")
    with pytest.raises(
        DatasetError, match=rf"--{option.replace('_', '-')} .* is about a list, and .* leave that out"
    ):
        find_photos(root, ListParams(**{option: "patient"}))


def test_class_without_photos_names_those_that_a_list_did_not_find(tmp_path: Path) -> None:
    from lenslet.dataset.classes import check_listing

    root = write(tmp_path, "dog.jpg")
    (tmp_path / "photos.csv").write_text("image,label\ncat.jpg,cat\ndog.jpg,dog\n")
    listing = find_photos(tmp_path / "photos.csv", ListParams(root=str(root)))
    with pytest.raises(
        DatasetError, match=r"class 'cat' holds no photo, and 1 that are named .*is --root the folder"
    ):
        check_listing(tmp_path / "photos.csv", listing, 0, False)

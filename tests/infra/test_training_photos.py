"""From a copy of the data bucket to one data set: whole uploads together, and the labels that people gave."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
import yaml

from infra import snapshot, training_photos
from infra.preflight import ReleaseError
from lenslet.config import TrainParams, read_params
from lenslet.dataset.layouts import find_photos
from lenslet.dataset.photos import DatasetError
from lenslet.dataset.remote import fetch_prefix
from lenslet.inference.errors import InputError
from tests.support.aws import mocked_aws
from tests.support.photos import GREEN, RED, noisy

ROOT = Path(__file__).parents[2]
BUCKET = "lenslet-data"
SOURCE = f"s3://{BUCKET}/photos"
DATA = (ROOT / "infra" / "data.yaml").read_text(encoding="utf-8")
COLOURS = {"red": RED, "green": GREEN}


class Bucket:
    """The bucket of infra/data.yaml in moto, and the folder into which retrain.yml copies its photos."""

    def __init__(self, place: Path) -> None:
        self.folder, self.cache = place / "photos", place / "cache"
        self.s3 = boto3.client("s3")
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        self.seed = 0

    def put_photo(self, key: str, label: str) -> str:
        """A new photo that looks like its label. Returns: its address."""
        self.seed += 1
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=noisy(self.seed, COLOURS[label]))
        return f"s3://{BUCKET}/{key}"

    def put_upload(self, name: str, count: int = 4, labels: tuple[str, ...] = ("red", "green")) -> None:
        for label in labels:
            for number in range(count):
                self.put_photo(f"photos/{name}/{label}/{number}.png", label)
        self.s3.put_object(Bucket=BUCKET, Key=f"photos/{name}/_READY", Body=b"")

    def annotate(self, *labels: tuple[str, str]) -> None:
        """(address, label) pairs, as the export storage of Label Studio writes them."""
        for number, (image, label) in enumerate(labels):
            result = [{"type": "choices", "value": {"choices": [label]}}]
            content = {
                "id": number, "result": result, "completed_by": 1, "updated_at": "2026-11-28",
                "task": {"id": number, "data": {"image": image}},
            }  # fmt: skip
            self.s3.put_object(Bucket=BUCKET, Key=f"annotations/{number}", Body=json.dumps(content).encode())

    def put_splits(self, place: str) -> None:
        for split, count in (("train", 6), ("val", 2), ("test", 2)):
            for label in COLOURS:
                for number in range(count):
                    self.put_photo(f"{place}/{split}/{label}/{number}.png", label)

    def listed(self) -> dict[str, tuple[str, str | None]]:
        """What a training reads after the copy was listed: path in the folder → label and split."""
        copy, _ = fetch_prefix(SOURCE, self.cache)  # as `aws s3 sync`
        shutil.copytree(copy, self.folder)
        training_photos.list_photos(SOURCE, self.folder, params(), self.cache)
        return read(self.folder)


def params() -> TrainParams:
    return replace(read_params(ROOT / "params.yaml").train, image_size=32, leaks="keep")


def read(folder: Path) -> dict[str, tuple[str, str | None]]:
    return {
        str(photo.path.relative_to(folder)): (photo.label, photo.split)
        for photo in find_photos(folder).photos
    }


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Bucket]:
    with mocked_aws("eu-central-1"):
        yield Bucket(tmp_path)


def test_whole_uploads_are_one_data_set(data: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    """The folders of uploads are no classes."""
    data.put_upload("2026-10")
    data.put_upload("2026-11", 2, labels=("red",))  # of one class alone
    data.put_photo("photos/2026-12/red/0.png", "red")  # still being uploaded
    found = data.listed()
    assert Counter(label for label, _ in found.values()) == {"red": 6, "green": 4}
    assert found["2026-11/red/1.png"] == ("red", None)
    said = capsys.readouterr().out
    assert "2026-10: 8 photos (green 4, red 4)" in said and "2026-11: 2 photos (red 2)" in said
    assert "2026-12 is in no upload with _READY, and left out: 1 files" in said


def test_labels_of_people_count(data: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    data.put_splits("photos/2026-10")
    data.put_upload("2026-10", 0)
    data.put_upload("unsorted", 0)
    corrected = f"{SOURCE}/2026-10/train/red/0.png"
    beside, elsewhere = data.put_photo("photos/unsorted/1.png", "red"), data.put_photo("new/2.png", "green")
    data.annotate(
        (corrected, "green"), (beside, "red"), (elsewhere, "green"), (f"s3://{BUCKET}/new/gone.png", "red"),
        (f"{SOURCE}/2026-10/red/gone.png", "red"), ("s3://others/1.png", "red"), ("/home/me/1.png", "red"),
    )  # fmt: skip
    found = data.listed()
    assert found["2026-10/train/red/0.png"] == ("green", "train")
    assert found["unsorted/1.png"] == ("red", "train")
    [added] = [name for name in found if name.startswith("annotated/")]
    assert found[added] == ("green", "train") and added.endswith(".png")
    assert Counter(label for label, _ in found.values()) == {"red": 10, "green": 12}
    said = capsys.readouterr().out
    assert "7 annotated tasks, 3 labels are used" in said
    assert "1 left out: its photo cannot be fetched" in said and "1 left out: its photo was deleted" in said
    assert f"2 left out: its photo is not in s3://{BUCKET}" in said
    assert "2 are added to the training photos, 1 replace a label" in said


def test_annotation_names_no_file_outside_the_folder(
    data: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data.put_upload("2026-10", 10)
    (tmp_path / "outside.png").write_bytes(noisy(99, RED))
    data.annotate((f"{SOURCE}/../outside.png", "red"))
    assert len(data.listed()) == 20
    assert "1 left out: its photo was deleted" in capsys.readouterr().out


def test_photos_that_judge_keep_their_labels(data: Bucket) -> None:
    data.put_upload("2026-10", 10)
    data.annotate(*((f"{SOURCE}/2026-10/red/{number}.png", "green") for number in range(10)))
    found = data.listed()
    labels: dict[str | None, set[str]] = {split: set() for split in ("train", "test")}
    for path, (label, split) in found.items():
        labels[split] |= {label} if "/red/" in path else set()
    assert labels == {"train": {"green"}, "test": {"red"}}  # the training draws its validation photos itself


def test_folder_without_uploads_stays_one_data_set(data: Bucket) -> None:
    data.put_splits("photos")
    before = data.listed()
    assert not (data.folder / "metadata.csv").exists() and len(before) == 20
    shutil.rmtree(data.folder)
    data.annotate((data.put_photo("new/1.png", "red"), "red"))
    after = data.listed()
    [added] = after.keys() - before.keys()
    assert after == {**before, added: ("red", "train")}


def test_snapshot_holds_the_labels_and_is_read_alone(data: Bucket, tmp_path: Path) -> None:
    data.put_upload("2026-10", 10)
    data.annotate((data.put_photo("new/1.png", "red"), "red"))
    listed = data.listed()
    kept = snapshot.keep(data.s3, data.folder, BUCKET)
    copy, _ = fetch_prefix(kept, tmp_path / "another")
    assert read(copy) == listed
    # What people label later is not of this training.
    assert training_photos.annotations_beside(kept) == ""
    assert training_photos.annotations_beside(SOURCE) == f"s3://{BUCKET}/annotations"


def test_what_cannot_be_read_is_said(data: Bucket) -> None:
    data.put_upload("2026/10")
    data.s3.put_object(Bucket=BUCKET, Key="photos/2026/_READY", Body=b"")
    with pytest.raises(ReleaseError, match="lies in another one"):
        data.listed()
    data.s3.delete_object(Bucket=BUCKET, Key="photos/2026/_READY")
    shutil.rmtree(data.folder)
    data.annotate((data.put_photo("new/1.png", "red"), "purple"))
    with pytest.raises(DatasetError, match="the labels have purple"):
        data.listed()
    shutil.rmtree(data.folder)
    data.s3.put_object(Bucket=BUCKET, Key="annotations/0", Body=b"{}")
    with pytest.raises(InputError, match="no annotation of Label Studio"):
        data.listed()


def test_list_that_is_read_otherwise_is_refused(data: Bucket) -> None:
    """A folder with a list for each split, which count beside the one that is written."""
    data.put_splits("photos")
    for split, count in (("train", 6), ("test", 2)):
        rows = [f"{label}/{number}.png,{label}\n" for label in COLOURS for number in range(count)]
        body = "".join(["image,label\n", *rows]).encode()
        data.s3.put_object(Bucket=BUCKET, Key=f"photos/{split}/metadata.csv", Body=body)
    data.annotate((f"{SOURCE}/train/red/0.png", "green"))
    with pytest.raises(ReleaseError, match="are there other lists in it"):
        data.listed()


def test_command(data: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    data.put_upload("2026-10")
    copy, _ = fetch_prefix(SOURCE, data.cache)
    shutil.copytree(copy, data.folder)
    words = [f"{SOURCE}/", str(data.folder), "--cache", str(data.cache)]
    assert training_photos.main(words) == 0 and len(read(data.folder)) == 8
    data.s3.put_object(Bucket=BUCKET, Key="annotations/0", Body=b"[")
    assert training_photos.main(words) == 2
    assert capsys.readouterr().err.startswith("infra.training_photos: ")


def test_workflow_lists_what_it_copied_before_it_keeps_it() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/retrain.yml").read_text(encoding="utf-8"))
    [script] = [
        step["run"] for step in workflow["jobs"]["train"]["steps"] if "s3 sync" in step.get("run", "")
    ]
    parts = ['aws s3 sync "$source" "$FOLDER"', 'infra.training_photos "$source" "$FOLDER"', "infra.snapshot"]
    assert sorted(parts, key=script.index) == parts
    assert training_photos.READY not in script  # the marks of whole uploads are copied, too
    prefixes = (training_photos.PHOTOS, training_photos.ANNOTATIONS)
    assert (
        prefixes == ("photos", "annotations")
        and "s3://<bucket>/photos" in DATA
        and "[{prefix: annotations/}]" in DATA
    )

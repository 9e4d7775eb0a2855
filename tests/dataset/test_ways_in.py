"""The same photos in every way that they come in, with the same fingerprint; `pytest -s` prints the table."""

import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto import mock_aws

from lenslet.config import TrainParams, read_params
from lenslet.dataset.layouts import find_photos
from lenslet.dataset.reading import read_dataset
from tests.dataset.test_archives import tarred, zipped
from tests.dataset.test_layouts import FOLDERS, assert_books_balance, counts, write
from tests.support.photos import GREEN, RED, noisy

PHOTOS = {(label, number): noisy(number + 50 * (label == "green"), colour)
          for label, colour in (("red", RED), ("green", GREEN)) for number in range(12)}  # fmt: skip
ROWS = [(f"{label}{number:02}", label) for label, number in PHOTOS]


def in_classes(folder: Path, name: str = "{label}/{number}.png") -> Path:
    for (label, number), data in PHOTOS.items():
        path = folder / name.format(label=label, number=number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def side_by_side(folder: Path) -> Path:
    """In one folder, `images/red00.png` and so on, for lists."""
    return in_classes(folder, "images/{label}{number:02}.png")


def listed(name: str, text: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = side_by_side(folder) / name
        path.write_text(text)
        return path

    return make


def parquet(folder: Path) -> Path:
    path = side_by_side(folder) / "list.parquet"
    names, labels = [f"images/{name}.png" for name, _ in ROWS], [label for _, label in ROWS]
    pq.write_table(pa.table({"path": names, "label": labels}), path)
    return path


def parquet_with_photos(folder: Path) -> Path:
    folder.mkdir()
    images = [{"bytes": data, "path": None} for data in PHOTOS.values()]
    pq.write_table(
        pa.table({"image": images, "label": [label for label, _ in PHOTOS]}), folder / "list.parquet"
    )
    return folder / "list.parquet"


def competition(folder: Path) -> Path:
    listed("train.csv", "id,label\n" + "".join(f"{name},{label}\n" for name, label in ROWS))(folder)
    return folder


def webdataset(folder: Path) -> Path:
    folder.mkdir()
    labels = {f"{label}{number:02}.cls": label.encode() for label, number in PHOTOS}
    return tarred(folder / "shard.tar", files("{label}{number:02}.png") | labels, "w")


def linked_classes(folder: Path) -> Path:
    """Each class folder is a link to a hidden one."""
    in_classes(folder / "photos", ".store/{label}/{number}.png")
    for label in ("red", "green"):
        (folder / "photos" / label).symlink_to(f".store/{label}")
    with tarfile.open(folder / "data.tar", "w") as packed:
        packed.add(folder / "photos", "photos")
    return folder / "data.tar"


def with_metadata(folder: Path) -> Path:
    rows = "".join(f"{name}.png,{label}\n" for name, label in ROWS)
    (side_by_side(folder) / "images" / "metadata.csv").write_text(f"file_name,label\n{rows}")
    return folder / "images"


def with_one_hot_classes(folder: Path) -> Path:
    rows = "".join(f"{name}.png, {int(label == 'green')}, {int(label == 'red')}\n" for name, label in ROWS)
    (side_by_side(folder) / "images" / "_classes.csv").write_text(f"filename, green, red\n{rows}")
    return folder / "images"


def files(name: str) -> dict[str, bytes]:
    return {name.format(label=label, number=number): data for (label, number), data in PHOTOS.items()}


def teachable_machine(folder: Path) -> Path:
    folder.mkdir()
    return zipped(folder / "project.tm", {"manifest.json": b"{}", **files("{label}-{number}.png")})


def in_bucket(folder: Path) -> Any:
    client = boto3.client("s3")
    client.create_bucket(Bucket="photos")
    for key, data in files("set/{label}/{number}.png").items():
        client.put_object(Bucket="photos", Key=key, Body=data)
    return "s3://photos/set"


def archive(make: Callable[[Path, dict[str, bytes]], Path], name: str) -> Callable[[Path], Path]:
    def made(folder: Path) -> Path:
        folder.mkdir()
        return make(folder / name, files("my photos/{label}/{number}.png"))

    return made


TASKS = [
    {"data": {"image": f"/data/upload/1/0123abcd-{name}.png"},
     "annotations": [{"result": [{"value": {"choices": [label]}}]}]}
    for name, label in ROWS
]  # fmt: skip
COCO = {
    "images": [{"id": number, "file_name": f"{name}.png"} for number, (name, _) in enumerate(ROWS)],
    "annotations": [
        {"image_id": number, "category_id": int(label == "red")} for number, (_, label) in enumerate(ROWS)
    ],
    "categories": [{"id": 0, "name": "green"}, {"id": 1, "name": "red"}],
}
MANIFEST = "".join(
    json.dumps({"source-ref": f"s3://nowhere/{name}.png", "kind-metadata": {"class-name": label}}) + "\n"
    for name, label in ROWS
)
# Way → how it is made, and the title of its layout.
WAYS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "folders": (in_classes, "a folder per class"),
    "nested folders": (lambda folder: in_classes(folder, "{label}/a/b/{number}.png"), "a folder per class"),
    "CSV of paths": (
        listed("list.csv", "path,class\n" + "".join(f"images/{name}.png,{label}\n" for name, label in ROWS)),
        "a list",
    ),
    "CSV of ids (Kaggle, Zindi)": (
        listed("labels.csv", "id,label\n" + "".join(f"{name},{label}\n" for name, label in ROWS)),
        "a list",
    ),
    "TSV": (
        listed("list.tsv", "image\tlabel\n" + "".join(f"{name}.png\t{label}\n" for name, label in ROWS)),
        "a list",
    ),
    "JSON Lines": (
        listed(
            "list.jsonl",
            "".join(json.dumps({"file_name": name, "label": label}) + "\n" for name, label in ROWS),
        ),
        "a list",
    ),
    "Parquet": (parquet, "a list"),
    "Parquet with photos": (parquet_with_photos, "a list"),
    "COCO": (listed("instances.json", json.dumps(COCO)), "a list"),
    "SageMaker manifest": (listed("output.manifest", MANIFEST), "a list"),
    "competition folder": (competition, "a list beside its photos"),
    "labels in names": (
        lambda folder: in_classes(folder, "{label}.{number}.png"),
        "labels in the names of files",
    ),
    "WebDataset": (webdataset, "an archive: labels in files beside the photos"),
    "Label Studio": (listed("export.json", json.dumps(TASKS)), "Label Studio export"),
    "Teachable Machine": (teachable_machine, "an archive: Teachable Machine project"),
    "Hugging Face": (with_metadata, "lists in folders (Hugging Face, Roboflow)"),
    "Roboflow": (with_one_hot_classes, "lists in folders (Hugging Face, Roboflow)"),
    "zip": (archive(zipped, "photos.zip"), "an archive: a folder per class"),
    "tar.gz": (archive(tarred, "photos.tar.gz"), "an archive: a folder per class"),
    "tar of linked folders": (linked_classes, "an archive: a folder per class"),
    "S3": (in_bucket, "a folder per class"),
}


@pytest.fixture
def params() -> TrainParams:
    return replace(read_params(Path("params.yaml")).train, image_size=16)


def test_same_photos_are_the_same_whichever_way_they_come(
    params: TrainParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "us-east-1")
    fingerprints = set()
    print(f"\n{'way in':<28}{'layout':<44}{'found':>6}{'used':>6}{'out':>5}  photos of each class")
    with mock_aws():
        for number, (way, (make, layout)) in enumerate(WAYS.items()):
            dataset = read_dataset(make(tmp_path / str(number)), params, tmp_path / "cache")
            used, out = len(dataset.photos), len(dataset.left_out)
            classes = {
                label: sum(photo.label == label for photo in dataset.photos) for label in dataset.labels
            }
            print(f"{way:<28}{dataset.layout:<44}{used + out:>6}{used:>6}{out:>5}  {classes}")
            hidden = sum(each.reason == "hidden" for each in dataset.left_out)
            assert (dataset.layout, classes, out - hidden) == (layout, {"green": 12, "red": 12}, 0), way
            fingerprints.add(dataset.fingerprint)
    assert len(fingerprints) == 1


def test_folders_of_every_layout(tmp_path: Path) -> None:
    print(f"\n{'folders':<40}{'layout':<34}{'found':>6}{'used':>6}{'out':>5}  photos by split and class")
    for number, (name, (paths, (layout, expected))) in enumerate(FOLDERS.items()):
        listing = find_photos(write(tmp_path / str(number), *paths))
        used, out = len(listing.photos), len(listing.left_out)
        assert_books_balance(listing)
        found = {f"{split or 'drawn'}/{label}": count for (split, label), count in counts(listing).items()}
        print(f"{name:<40}{listing.layout:<34}{used + out:>6}{used:>6}{out:>5}  {found}")
        assert (listing.layout, counts(listing), used + out) == (layout, expected, len(paths))

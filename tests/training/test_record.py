"""The record of a training that is read again, also one that an older version wrote."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lenslet.config import TrainParams, read_params
from lenslet.dataset import reading
from lenslet.dataset.dataset import Dataset
from lenslet.dataset.photos import Photo
from lenslet.dataset.reading import read_dataset
from lenslet.dataset.recorded_splits import packed_splits
from lenslet.dataset.splits import assign_splits
from lenslet.training.record import RecordError, TrainingRecord, check_fingerprint, read_record, write_record
from tests.support.photos import GREEN, RED, noisy, write_class

SHIPPED = Path(__file__).parents[2] / "model"


def test_record_of_0_1_0_kept_photos_whose_copies_judge(tmp_path: Path) -> None:
    content = json.loads((SHIPPED / "training.json").read_text(encoding="utf-8"))
    del content["params"]["leaks"]
    (tmp_path / "training.json").write_text(json.dumps(content), encoding="utf-8")
    assert read_record(tmp_path).params.leaks == "keep"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_class(tmp_path / "photos" / "red", 12, RED)
    write_class(tmp_path / "photos" / "green", 12, GREEN, first_seed=100)
    return tmp_path / "photos"


def record_for(photos: Path, **settings: Any) -> tuple[TrainingRecord, Dataset]:
    """What a training on these photos leaves."""
    params = replace(read_params(Path("params.yaml")).train, image_size=16, **settings)
    dataset = read_dataset(photos, params, photos.parent / "cache")
    fingerprint, splits = dataset.fingerprint, packed_splits(dataset)
    shipped = read_record(SHIPPED)
    write_record(
        replace(shipped, params=params, data_fingerprint=fingerprint, splits=splits, name="mine"),
        photos.parent,
    )
    return read_record(photos.parent), dataset


@pytest.mark.parametrize("settings", [{}, {"training_fold": "1/3"}])
def test_splits_of_a_training_outlive_the_way_they_were_drawn(
    photos: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    record, dataset = record_for(photos, **settings)

    def otherwise(photos: list[Photo], hashes: list[str], params: TrainParams, *pairs: Any) -> list[Photo]:
        return assign_splits(photos, hashes, replace(params, split_seed=params.split_seed + 1), *pairs)

    monkeypatch.setattr(reading, "assign_splits", otherwise)
    assert read_dataset(photos, record.params, photos.parent / "cache").fingerprint != dataset.fingerprint
    again = read_dataset(photos, record.params, photos.parent / "cache", recorded=record.recorded)
    check_fingerprint(record, again, photos)
    assert [photo.split for photo in again.photos] == [photo.split for photo in dataset.photos]
    # A photo that came later was in no split.
    (photos / "red" / "new.png").write_bytes(noisy(500, RED))
    again = read_dataset(photos, record.params, photos.parent / "cache", recorded=record.recorded)
    check_fingerprint(record, again, photos)
    assert [(each.path.name, each.reason) for each in again.left_out] == [("new.png", "not in training")]


def test_copies_that_people_put_into_two_splits_keep_them(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for seed, (label, colour) in enumerate((("red", RED), ("green", GREEN))):
            write_class(tmp_path / "photos" / split / label, 2, colour, first_seed=100 * seed)
    record, dataset = record_for(tmp_path / "photos", leaks="keep")
    again = read_dataset(tmp_path / "photos", record.params, tmp_path / "cache", recorded=record.recorded)
    assert [photo.split for photo in again.photos] == [photo.split for photo in dataset.photos]
    assert Counter(photo.split for photo in again.photos) == {"train": 4, "validation": 4, "test": 4}


def test_other_photos_are_refused_with_what_differs(photos: Path) -> None:
    record, dataset = record_for(photos)
    check_fingerprint(record, dataset, photos)
    old = replace(record, splits={}, data_fingerprint="0" * 64)
    with pytest.raises(
        RecordError, match=r"photos does not hold the photos that mine was trained on, or this version"
    ):
        check_fingerprint(old, dataset, photos)
    (photos / "red" / "00.png").rename(photos / "green" / "red.png")
    for change, message in (
        (lambda: None, "some have other labels now; give"),
        ((photos / "green" / "red.png").unlink, "1 of 24 are missing or changed; give the same folder"),
    ):
        change()
        again = read_dataset(photos, record.params, photos.parent / "cache", recorded=record.recorded)
        with pytest.raises(RecordError, match=message):
            check_fingerprint(record, again, photos)


DAMAGED_SPLITS = ({"train": "?"}, {"train": 3}, ["train"], "train", {"train": "AAAAAAAAAAA"})
DAMAGED_ANSWERS = (3, ["photos"], {"photos": "AAAA"}, {"photos": "?", "folds": "", "logits": ""})


@pytest.mark.parametrize(
    ("key", "value"),
    [("splits", value) for value in DAMAGED_SPLITS] + [("out_of_fold", value) for value in DAMAGED_ANSWERS],
)
def test_damaged_splits_and_answers_are_one_sentence(key: str, value: object, tmp_path: Path) -> None:
    content = json.loads((SHIPPED / "training.json").read_text(encoding="utf-8"))
    (tmp_path / "training.json").write_text(json.dumps({**content, key: value}), encoding="utf-8")
    with pytest.raises(RecordError, match="is damaged or of another version"):
        read_record(tmp_path)

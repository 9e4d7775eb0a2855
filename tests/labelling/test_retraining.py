"""What a retraining trains on, and when there is one."""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from lenslet.config.params import read_params
from lenslet.dataset.photos import DatasetError
from lenslet.dataset.reading import read_dataset
from lenslet.inference.errors import InputError
from lenslet.labelling.annotations import Row
from lenslet.labelling.labelled import find_labelled
from lenslet.labelling.retraining import REFUSED, REGISTERED, State, begin, compose, read_state
from tests.support.aws import mocked_aws
from tests.support.photos import BLUE, GREEN, RED, write_class


def rows(**labels: str) -> list[Row]:
    return [Row(name, label, "1", "2026-11-28", 1.0, "scenes") for name, label in labels.items()]


def test_first_labels_begin_a_run(tmp_path: Path) -> None:
    state = begin(None, rows(a="cat"), "first", "scenes", False)
    assert state and (state.id, state.rows, state.stage, state.result) == ("first", 1, "train", "")
    state.save(tmp_path)
    assert read_state(tmp_path) == state


@pytest.mark.parametrize("result", [REGISTERED, REFUSED])
def test_nothing_new_is_no_run(result: str) -> None:
    state = begin(None, rows(a="cat"), "first", "scenes", False)
    assert state
    ended = state.ended_as(result, {})
    assert begin(ended, rows(a="cat"), "second", "scenes", False) is None
    other = [replace(row, date="2026-11-29", annotator="2") for row in rows(a="cat")]
    assert begin(ended, other, "second", "scenes", False) is None
    again = begin(ended, rows(a="dog"), "second", "scenes", False)
    assert again and again.id == "second"


def test_killed_run_is_continued_at_its_stage() -> None:
    state = begin(None, rows(a="cat"), "first", "scenes", False)
    assert state
    killed = replace(state, stage="convert")
    assert begin(killed, rows(a="cat"), "second", "scenes", False) == killed
    failed = killed.ended_as("failed", {})
    assert begin(failed, rows(a="cat"), "second", "scenes", False) == killed
    again = begin(killed, rows(a="cat", b="dog"), "second", "scenes", False)
    assert again and (again.id, again.stage) == ("second", "train")


def test_list_that_shrank_by_half_is_refused() -> None:
    many = rows(**{f"p{number}": "cat" for number in range(10)})
    state = begin(None, many, "first", "scenes", False)
    assert state
    ended = state.ended_as(REGISTERED, {})
    with pytest.raises(InputError, match=r"4 labels, and at the last training there were 10.*--yes"):
        begin(ended, many[:4], "second", "scenes", False)
    assert begin(ended, many[:5], "second", "scenes", False)
    yes = begin(ended, many[:4], "second", "scenes", True)
    assert yes and yes.last_rows == 10
    # A run that is killed does not make the shrunken list the measure.
    with pytest.raises(InputError, match="--yes"):
        begin(yes, many[:3], "third", "scenes", False)


def test_no_label_is_no_run() -> None:
    with pytest.raises(InputError, match="no label yet"):
        begin(None, [], "first", "scenes", False)


HUGE = json.dumps({"id": "a", "labels": "b", "rows": 1, "last_rows": 10**400})


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"id": 1}', "[" * 100_000, HUGE])
def test_damaged_state_is_said(text: str, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(InputError, match="remove it to start over"):
        read_state(tmp_path)


def test_labels_join_the_training_photos_and_judging_ones_stay(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for split, count in (("train", 6), ("val", 3), ("test", 3)):
        for number, (label, colour) in enumerate((("red", RED), ("green", GREEN))):
            write_class(data / split / label, count, colour, first_seed=100 * number + 10 * len(split))
    new = tmp_path / "new" / "blue one.jpg"
    write_class(tmp_path / "new", 1, BLUE, first_seed=900)
    next((tmp_path / "new").iterdir()).rename(new)
    params = read_params(Path("params.yaml")).train
    params = replace(params, image_size=32, leaks="keep")
    before = read_dataset(data, params, tmp_path / "cache")
    training = str(sorted((data / "train/red").iterdir())[0].resolve())
    judging = str(sorted((data / "test/red").iterdir())[0].resolve())
    labelled = rows(**{training: "green", judging: "green", str(new): "green"})
    found = compose(tmp_path / "photos.csv", data, labelled, params, tmp_path / "cache")
    assert (found.photos, found.added, found.corrected, found.judging) == (24, 1, 1, 1)
    with (tmp_path / "photos.csv").open() as file:
        listed = {row["image"]: (row["label"], row["split"]) for row in csv.DictReader(file)}
    assert listed[training] == ("green", "train")
    assert listed[judging] == ("red", "test")
    assert listed[str(new)] == ("green", "train")
    after = read_dataset(tmp_path / "photos.csv", params, tmp_path / "cache")
    assert len(after.photos) == 25
    assert after.test_fingerprint == before.test_fingerprint  # so that the gate may compare the two models
    for place in (str(new), training):
        with pytest.raises(DatasetError, match="purple"):
            compose(tmp_path / "p.csv", data, rows(**{place: "purple"}), params, tmp_path / "cache")


def test_list_can_be_moved_with_its_photos(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for number, (label, colour) in enumerate((("red", RED), ("green", GREEN))):
        write_class(data / "photos" / label, 8, colour, first_seed=100 * number)
    write_class(tmp_path / "new", 1, RED, first_seed=900)
    [new] = (tmp_path / "new").iterdir()
    params = replace(read_params(Path("params.yaml")).train, image_size=32, leaks="keep")
    labelled = rows(**{str(new): "red"})
    compose(data / "metadata.csv", data, labelled, params, tmp_path / "cache", relative_to=data)
    with (data / "metadata.csv").open() as file:
        listed = {row["image"] for row in csv.DictReader(file)}
    assert {"photos/red/00.png", str(new.resolve())} <= listed and len(listed) == 17


def test_photos_that_were_drawn_to_validate_may_train(tmp_path: Path) -> None:
    """The training on the list draws others, or trains on all; a split named validation would be kept apart."""
    for number, (label, colour) in enumerate((("red", RED), ("green", GREEN))):
        write_class(tmp_path / "data" / label, 12, colour, first_seed=100 * number)
    params = replace(read_params(Path("params.yaml")).train, image_size=32)
    before = read_dataset(tmp_path / "data", params, tmp_path / "cache")
    assert len(before.members("validation"))
    compose(tmp_path / "photos.csv", tmp_path / "data", [], params, tmp_path / "cache")
    with (tmp_path / "photos.csv").open() as file:
        assert {row["split"] for row in csv.DictReader(file)} == {"train", "test"}
    after = read_dataset(tmp_path / "photos.csv", params, tmp_path / "cache")
    assert after.test_fingerprint == before.test_fingerprint
    assert after.given_splits == {"train", "test"}


def test_state_is_json_that_a_page_can_show(tmp_path: Path) -> None:
    State("first", "0" * 64, 3, figures={"before": {"accuracy": 0.5}}).save(tmp_path)
    assert json.loads((tmp_path / "state.json").read_text())["figures"] == {"before": {"accuracy": 0.5}}


def test_photo_of_a_bucket_is_known_by_its_content(tmp_path: Path, bucket: Any) -> None:
    """Labelled at its address, or as a copy: else a correction would train beside the label that it corrects."""
    for split, count in (("train", 6), ("val", 3), ("test", 3)):
        for number, (label, colour) in enumerate((("red", RED), ("green", GREEN))):
            write_class(tmp_path / "data" / split / label, count, colour, 100 * number + 10 * len(split))
    for path in (tmp_path / "data").rglob("*.png"):
        bucket.upload_file(str(path), "scenes", str(path.relative_to(tmp_path / "data")))
    params = replace(read_params(Path("params.yaml")).train, image_size=32, leaks="keep")
    names = {split: min((tmp_path / "data" / split / "red").iterdir()).name for split in ("train", "test")}
    copy = tmp_path / "copy.png"
    copy.write_bytes((tmp_path / "data/train/green" / names["train"]).read_bytes())
    images = [*(f"s3://scenes/{split}/red/{name}" for split, name in names.items()), str(copy)]
    labelled = rows(**dict.fromkeys(images, "green"))
    for data in ("s3://scenes/", tmp_path / "data"):
        found = compose(tmp_path / "photos.csv", Path(data), labelled, params, tmp_path / "cache")
        assert (found.added, found.corrected, found.judging) == (0, 2, 1)
    gone = compose(tmp_path / "photos.csv", tmp_path / "data", rows(none="red"), params, tmp_path / "cache")
    assert gone.added == 1  # which training leaves out with a reason


def test_of_two_labels_of_a_photo_the_latest_counts(tmp_path: Path) -> None:
    write_class(tmp_path / "new", 1, BLUE, first_seed=900)
    photo = str(next((tmp_path / "new").iterdir()))
    [first] = rows(**{photo: "cat"})
    second = replace(first, label="dog", date="2026-11-29", project="a project that sorts before the other")
    found = find_labelled([second, first], tmp_path / "cache")
    assert [row.label for row in found.by_content.values()] == ["dog"]


@pytest.fixture
def bucket() -> Iterator[Any]:
    with mocked_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="scenes")
        yield client

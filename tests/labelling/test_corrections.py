"""Corrections as a reviewer's tasks: what POST /feedback wrote becomes one task a photo, and nothing else does."""

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

import lambda_func
from lenslet.labelling.corrections import Corrected, read_corrections
from lenslet.labelling.photos import LocalPhotos, S3Photos
from lenslet.labelling.push import correction_task
from lenslet.serving import feedback
from lenslet.serving.feedback import RateLimit

LABELS = lambda_func.models.default.artifact.labels
EVENT = json.loads(Path("tests/events/function_url_feedback.json").read_text())
SAMPLE = Path("data/sample/test")


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("LENSLET_FEEDBACK", str(tmp_path))
    monkeypatch.setattr(feedback, "RATE_LIMIT", RateLimit())
    return tmp_path


def correct(photo: Path, label: str | None) -> None:
    content = {
        "image": base64.b64encode(photo.read_bytes()).decode(),
        "label": label,
        "consent": True,
    }
    assert lambda_func.handler(EVENT | {"body": json.dumps(content)}, None)["statusCode"] == 200


def test_every_photo_is_one_task_with_all_that_was_said(folder: Path) -> None:
    forest, sea = SAMPLE / "forest/00.jpg", SAMPLE / "sea/00.jpg"
    for label in ("sea", "street", "sea", None):
        correct(forest, label)
    correct(sea, "glacier")
    found = read_corrections(folder, LABELS)
    assert (found.found, found.known, dict(found.left_out)) == (4, 0, {})
    assert len(found.photos) == 2
    [of_forest] = [each for each in found.photos if each.given == "forest"]
    assert set(of_forest.labels) == {"sea", "street", None}
    task = correction_task(of_forest, LocalPhotos(folder))
    choices = [each["result"][0]["value"]["choices"] for each in task["predictions"]]
    assert sorted(choices[:-1]) == [["sea"], ["street"]]
    assert choices[-1] == ["forest"]
    assert task["predictions"][-1]["model_version"] == of_forest.model
    assert task["data"]["sha256"] == hashlib.sha256(of_forest.path.read_bytes()).hexdigest()
    assert "none of the labels" in task["data"]["note"]


def test_photos_that_a_reviewer_has_are_known(folder: Path) -> None:
    correct(SAMPLE / "forest/00.jpg", "sea")
    [photo] = read_corrections(folder, LABELS).photos
    again = read_corrections(folder, LABELS, frozenset({photo.sha256}))
    assert (again.photos, again.known, again.found) == ((), 1, 1)


def record(folder: Path) -> tuple[Path, dict[str, Any]]:
    correct(SAMPLE / "forest/00.jpg", "sea")
    [path] = folder.glob("*.json")
    return path, json.loads(path.read_text())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"label": "<script>alert(1)</script>"}, "none of the model's"),
        ({"label": ["sea"]}, "none of the model's"),
        ({"format": 2}, "no correction of format 1"),
        ({"photo": "../../../etc/passwd"}, "a field of it"),
        ({"photo": "0" * 32 + ".jpg"}, "No such file"),
        ({"time": None}, "a field of it"),
        ({"model": {"name": "<b>", "version": "1"}}, "a field of it"),
        ({"model": {"name": "scenes"}}, "a field of it"),
        ({"predictions": []}, "a field of it"),
        ({"predictions": [{"label": "sea", "probability": 2}]}, "a field of it"),
        ({"predictions": [{"label": "<img>", "probability": 0.5}]}, "the model does not know"),
        ({"given": "x" * 1_100_000}, "larger than"),
    ],
)
def test_record_that_somebody_made_up_is_left_out(folder: Path, change: dict[str, Any], reason: str) -> None:
    path, content = record(folder)
    path.write_text(json.dumps(content | change))
    found = read_corrections(folder, LABELS)
    assert found.photos == ()
    assert reason in found.left_out[path]
    assert found.found == len(found.left_out) == 1
    assert str(path) in found.text()


def test_model_may_have_any_name(folder: Path) -> None:
    path, content = record(folder)
    path.write_text(json.dumps(content | {"model": {"name": "Straße, nachts (2)", "version": "1"}}))
    [photo] = read_corrections(folder, LABELS).photos
    assert photo.model == "Straße, nachts (2) 1"


def test_pipes_and_huge_photos_are_left_out(folder: Path) -> None:
    path, content = record(folder)
    os.mkfifo(folder / "0.json")
    with (folder / content["photo"]).open("ab") as file:
        file.truncate(1 << 40)
    found = read_corrections(folder, LABELS)
    assert {each.name: reason for each, reason in found.left_out.items()} == {
        "0.json": "it is no regular file",
        path.name: "it is larger than 1,000,000 bytes",
    }


def test_photo_that_was_replaced_is_left_out(folder: Path) -> None:
    path, content = record(folder)
    (folder / content["photo"]).write_bytes((SAMPLE / "sea/00.jpg").read_bytes())
    assert "another one than was sent" in read_corrections(folder, LABELS).left_out[path]


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"format": 1}', "[" * 100_000])
def test_file_that_is_no_record_is_left_out(folder: Path, text: str) -> None:
    (folder / "a.json").write_text(text)
    found = read_corrections(folder, LABELS)
    assert (found.photos, list(found.left_out)) == ((), [folder / "a.json"])


def test_objects_of_a_bucket_have_their_addresses(tmp_path: Path) -> None:
    photo = Corrected(tmp_path / "a b.jpg", "0" * 64, ("sea",), "forest", 0.5, "scenes 1")
    task = correction_task(photo, S3Photos("s3://corrections/from page/", tmp_path))
    assert task["data"]["image"] == task["data"]["path"] == "s3://corrections/from page/a b.jpg"

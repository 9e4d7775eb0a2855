"""`lenslet label` before a real Label Studio: photos out with pre-labels, annotations back, nothing twice."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from lenslet.commands.label import main
from lenslet.labelling.annotations import read_list
from lenslet.labelling.label_studio import LabelStudio
from tests.support.label_studio import ROOT, TOKEN, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos") / "with space & 照片"
    shutil.copytree(ROOT / "data/sample/unlabelled", folder)
    shutil.copy(folder / "00.jpg", folder / "copy of 00.jpg")
    (folder / "notes.txt").write_text("no photo", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Iterator[LabelStudio]:
    with running(tmp_path_factory.mktemp("label-studio"), photos.parent) as address:
        yield LabelStudio(address, TOKEN)


@pytest.fixture(autouse=True)
def settings(studio: LabelStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", studio.url)
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", TOKEN)


def push(photos: Path, tmp_path: Path, count: int, *more: str) -> int:
    places = ["--document-root", str(photos.parent), "--cache", str(tmp_path), *more]
    return main(["push", str(photos), "--project", "scenes", "--count", str(count), *places])


def test_from_photos_to_a_list(
    studio: LabelStudio, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(photos, tmp_path, 5) == 0
    said = capsys.readouterr().out
    assert "14 photos found\n" in said and "5 to label" in said
    assert "1 copies or near copies" in said and "1 left out" in said and "notes.txt: " in said
    assert push(photos, tmp_path, 100) == 0  # the rest; what is there stays
    capsys.readouterr()
    assert push(photos, tmp_path, 100, "--json") == 0  # nothing
    counts = json.loads(capsys.readouterr().out)
    assert (counts["found"], counts["to_label"]) == (14, 0)
    assert counts["known"] + counts["near_copies"] == 13
    found = studio.project("scenes")
    assert found
    tasks = studio.tasks(int(found["id"]))
    assert len(tasks) == len({task["data"]["sha256"] for task in tasks}) == 12
    headers = {"Authorization": f"Token {TOKEN}"}
    shown = requests.get(studio.url + tasks[0]["data"]["image"], headers=headers, timeout=30)
    assert shown.content == Path(tasks[0]["data"]["path"]).read_bytes()
    detail = requests.get(f"{studio.url}/api/tasks/{tasks[0]['id']}", headers=headers, timeout=30).json()
    [before] = detail["predictions"]
    assert before["model_version"].startswith("intel-scenes ") and 0 < before["score"] <= 1

    studio.annotate(tasks[0]["id"], "forest")
    studio.annotate(tasks[1]["id"], "sea")
    out = tmp_path / "labels.csv"
    for _ in range(2):  # pulling twice gives the same
        assert main(["pull", "--project", "scenes", "--out", str(out)]) == 0
        assert {(row.image, row.label) for row in read_list(out)} == {
            (tasks[0]["data"]["path"], "forest"),
            (tasks[1]["data"]["path"], "sea"),
        }
    assert "10 left out, not annotated" in capsys.readouterr().out
    assert main(["pull", "--project", "scenes", "--out", str(out), "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert (counts["tasks"], counts["labelled"], counts["rows"]) == (12, 2, 2)


def test_more_labels_update_the_project(studio: LabelStudio) -> None:
    first, is_new = studio.create_or_update_project("growing", ["cat", "dog"])
    assert is_new
    again, is_new = studio.create_or_update_project("growing", ["cat", "dog", 'a "b" & <c>'])
    assert (again, is_new) == (first, False)
    found = studio.project("growing")
    assert found and "&lt;c&gt;" in found["label_config"]


def test_what_goes_wrong_is_one_sentence(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lenslet.cli import main as lenslet

    assert lenslet(["label", "pull", "--project", "none"]) == 2
    assert "has no project 'none'" in capsys.readouterr().err
    elsewhere = ["--document-root", str(tmp_path), "--cache", str(tmp_path)]
    assert lenslet(["label", "push", str(photos), "--project", "scenes 2", *elsewhere]) == 2
    assert "is not below" in capsys.readouterr().err
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", "wrong")
    assert lenslet(["label", "pull", "--project", "scenes"]) == 2
    assert "does not take the token" in capsys.readouterr().err
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:9")
    assert lenslet(["label", "pull", "--project", "scenes"]) == 2
    assert "make label-studio" in capsys.readouterr().err
    monkeypatch.delenv("LABEL_STUDIO_TOKEN")
    assert lenslet(["label", "pull", "--project", "scenes"]) == 2
    assert "LABEL_STUDIO_TOKEN is not set" in capsys.readouterr().err

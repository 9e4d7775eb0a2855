"""`lenslet predict` on places of every kind, into outputs of every kind."""

import csv
import json
import os
import re
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from lenslet.batch.formats import FORMATS
from lenslet.cli import main
from lenslet.inference.artifact import read_artifact
from lenslet.serving.batch_rows import AnswerRow
from tests.support.batch import SAMPLES, links, rows_of
from tests.support.endpoint import ROOT

MODEL = str(ROOT / "model")
LABELS = ("=a", "b|c", "d")
ROWS = [
    AnswerRow("café.jpg", "b|c", (0.1, 0.7, 0.2), False, ("b|c", "d"), True, -1.25),
    AnswerRow("-x.jpg", error="@broken"),
    AnswerRow("d.jpg", "=a", (1.0, 0.0, 0.0), True, ("=a",), False, 0.5),
]


def predict(*words: object) -> int:
    return main(["predict", *map(str, words), "--model", MODEL])


def labels_of(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {row["file"]: row["predictions"][0]["label"] for row in rows if "error" not in row}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six photos, each of another class, a note and a dangling link."""
    folder = tmp_path / "photos"
    for photo in SAMPLES[::10]:
        (folder / photo.parent.name).mkdir(parents=True)
        shutil.copy(photo, folder / photo.parent.name)
    (folder / "notes.txt").write_text("no photo")
    (folder / "gone.jpg").symlink_to("nowhere")
    return folder


# --- formats


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_read(name: str, tmp_path: Path) -> None:
    FORMATS[name].write(tmp_path / "part", LABELS, iter(ROWS))
    assert list(FORMATS[name].read(tmp_path / "part", LABELS)) == ROWS


def test_cell_of_thousands_of_long_labels_is_read(tmp_path: Path) -> None:
    labels = tuple(f"{number} {'x' * 1000}" for number in range(300))
    row = AnswerRow("a.jpg", labels[0], (1 / 512,) * 300, False, labels, True, 0.5)
    row = replace(row, probabilities=tuple(round(each, 6) for each in row.probabilities))
    FORMATS["csv"].write(tmp_path / "part", labels, [row])
    assert list(FORMATS["csv"].read(tmp_path / "part", labels)) == [row]


def test_parquet_has_types(tmp_path: Path) -> None:
    FORMATS["parquet"].write(tmp_path / "part", LABELS, ROWS)
    table = pyarrow.parquet.read_table(tmp_path / "part").to_pylist()
    assert table[0]["prediction_set"] == ["b|c", "d"]
    assert table[0]["probability: b|c"] == 0.7
    assert table[1] == {**dict.fromkeys(table[1]), "file": "-x.jpg", "error": "@broken"}


# --- places


def test_places_of_every_kind_give_the_same_answers(photos: Path, tmp_path: Path) -> None:
    inside = sorted(path.relative_to(photos) for path in photos.glob("*/*.jpg"))
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in inside:
            archive.write(photos / path, path)
    (photos / "list.csv").write_text("image,note\n" + "".join(f"{path},x\n" for path in inside))
    (photos / "list.jsonl").write_text("".join(f'{{"path": "{path}"}}\n' for path in inside))
    embedded = [{"image": {"bytes": (photos / path).read_bytes(), "path": None}} for path in inside]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(embedded), photos / "list.parquet")
    answers = {}
    for place in (photos, tmp_path / "photos.zip", *photos.glob("list.*")):
        out = tmp_path / f"answers-{place.suffix[1:]}"
        assert predict(place, "--out", out, "--format", "jsonl", "--cache", tmp_path / "cache") == 0
        answers[place.name] = labels_of(rows_of(out))
    expected = [path.parent.name for path in inside]
    for name, found in answers.items():
        assert list(found.values()) == expected, name
    assert list(answers["list.csv"]) == [str(path) for path in inside]
    assert list(answers["photos.zip"]) == [str(tmp_path / "photos.zip" / path) for path in inside]
    assert next(iter(answers["list.parquet"])) == f"{photos}/list.parquet#1"


@pytest.mark.slow
def test_what_cannot_be_read_is_a_row(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.csv").write_text(
        'image\nphotos/sea/00.jpg\nphotos/none.jpg\n"\0"\nhttp://127.0.0.1:9/x.jpg\n/dev/zero\npipe\n'
    )
    os.mkfifo(tmp_path / "pipe")
    with (photos / "huge.jpg").open("wb") as file:
        file.truncate(200_000_001)
    assert predict(photos, tmp_path / "list.csv", "--json") == 0
    captured = capsys.readouterr()
    rows = {row["file"].rpartition("/")[2]: row.get("error") for row in json.loads(captured.out)}
    assert rows.pop("notes.txt").startswith("the data are not an image we read")
    assert rows.pop("gone.jpg") == "it leads nowhere"
    assert rows.pop("none.jpg") == "the file cannot be read: No such file or directory"
    assert rows.pop("x.jpg").startswith("cannot be fetched: HTTPConnectionPool")
    assert rows.pop("huge.jpg") == "it is larger than 200,000,000 bytes, and no photo"
    assert "null" in rows.pop("\0")
    assert rows.pop("zero") == rows.pop("pipe") == "it is no regular file"
    assert set(rows.values()) == {None}
    assert "not classified: it leads nowhere" in captured.err


@pytest.mark.parametrize("name", FORMATS)
def test_half_a_character_in_a_list_stops_no_batch(name: str, photos: Path, tmp_path: Path) -> None:
    rows = [{"path": "\ud800.jpg"}, {"path": "sea/00.jpg"}]
    (photos / "list.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert predict(photos / "list.jsonl", "--out", tmp_path / f"out.{name}") == 0
    labels = read_artifact(Path(MODEL)).labels
    lost, found = FORMATS[name].read(tmp_path / f"out.{name}", labels)
    assert (lost.file, lost.error) == ("\ufffd.jpg", "the file cannot be read: No such file or directory")
    assert (found.file, found.label) == ("sea/00.jpg", "sea")


def test_damaged_row_of_a_list_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list.jsonl").write_text('{"path": "a.jpg"}\n{"path": "b.jpg"\n')
    assert predict(tmp_path / "list.jsonl", "--out", tmp_path / "answers.csv") == 2
    assert (
        "list.jsonl is no table that can be read: line 2: Expecting ',' delimiter" in capsys.readouterr().err
    )
    assert not (tmp_path / "answers.csv").exists()


# --- outputs


@pytest.mark.parametrize("ending", FORMATS)
def test_file_holds_a_row_for_each_photo_in_their_order(ending: str, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / f"answers.{ending}"
    assert predict(photos, "--out", out, "--part-photos", 2) == 0
    labels = tuple(json.loads((ROOT / "model/model.json").read_text())["labels"])
    rows = list(FORMATS[ending].read(out, labels))
    assert [row.file for row in rows] == sorted(row.file for row in rows)
    assert [Path(row.file).name for row in rows if row.error] == ["gone.jpg", "notes.txt"]
    assert [row.label for row in rows if not row.error] == sorted(labels)
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name, "photos"]


def test_many_photos_are_counted_and_not_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    links(tmp_path / "photos", 60)
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    assert predict(tmp_path / "photos", "--out", tmp_path / "out", "--workers", 2) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^ +10   16.4%  sea$", printed, re.MULTILINE)
    assert re.search(r"^ +1    1.6%  not classified$", printed, re.MULTILINE)
    assert "60 of 61 files classified" in printed
    assert len(rows_of(tmp_path / "out")) == 61
    assert (tmp_path / "out/_plan/plan.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "{}/photos"], "holds buildings and no plan: give a folder of its own"),
        (["--out", "{}/photos/new"], "lies in {}/photos, whose files are classified"),
        (["--out", "{}/photos/notes.txt"], "is a file that exists: give a folder"),
        (["--out", "s3://bucket/answers.csv"], "give a prefix, and --format csv"),
        (["--out", "{}/a.csv", "--format", "parquet"], "ends in .csv, and --format is parquet"),
        (["--out", "{}/a.csv", "--csv", "{}/b.csv"], "give one of them"),
        (["--shard", "1/2"], "--shard and --check need --out with a folder"),
        (["--shard", "1/2", "--out", "{}/a.csv"], "--shard and --check need --out with a folder"),
        (["--shard", "3/2", "--out", "{}/a"], "there is no shard 3 of 2"),
        (["--shard", "0/2", "--out", "{}/a"], "there is no shard 0 of 2"),
        (["--check", "--out", "{}/a"], "nothing was begun in {}/a"),
    ],
)
def test_wrong_call_is_one_sentence_and_writes_nothing(
    words: list[str], message: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert predict(photos, *(word.format(tmp_path) for word in words)) == 2
    assert message.format(tmp_path) in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


# --- a run that continues


def test_missing_parts_alone_are_classified(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert predict(photos, "--out", out, "--part-photos", 2) == 0
    whole = {path.name: path.read_bytes() for path in out.glob("part-*")}
    assert sorted(whole) == [f"part-00000{number}.jsonl" for number in range(4)]
    (out / "part-000001.jsonl").unlink()
    spaced = whole["part-000002.jsonl"].replace(b'"file":', b'"file":  ')
    (out / "part-000002.jsonl").write_bytes(spaced)
    assert predict(photos, "--out", out) == 0
    assert (out / "part-000001.jsonl").read_bytes() == whole["part-000001.jsonl"]
    assert (out / "part-000002.jsonl").read_bytes() == spaced, "what is there is not classified again"


def test_other_photos_or_another_model_are_refused(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert predict(photos, "--out", out) == 0
    assert predict(photos, "--out", out, "--format", "csv") == 2
    assert "was begun with --format jsonl, not csv" in capsys.readouterr().err
    assert predict(photos, "--out", out, "--part-photos", 3) == 2
    assert "was begun with --part-photos 25" in capsys.readouterr().err
    shutil.copytree(MODEL, tmp_path / "model")
    facts = json.loads((tmp_path / "model/model.json").read_text())
    (tmp_path / "model/model.json").write_text(json.dumps({**facts, "ood_threshold": 0.1}))
    assert main(["predict", str(photos), "--out", str(out), "--model", str(tmp_path / "model")]) == 2
    assert "was begun with the model" in capsys.readouterr().err
    with (photos / "sea/00.jpg").open("ab") as file:
        file.write(b"more")
    assert predict(photos, "--out", out) == 2
    said = capsys.readouterr().err
    assert f"the photos are not those that {out} was begun with (8 then, 8 now" in said
    assert f"give another --out, or delete {out} to start over" in said
    assert len(rows_of(out)) == 8, "what was done stays"


def test_damaged_part_and_plan_are_sentences(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert predict(photos, "--out", out) == 0
    (out / "part-000000.jsonl").write_text("{")
    assert predict(photos, "--out", out) == 2
    assert "part-000000.jsonl is damaged: delete it and run this again" in capsys.readouterr().err
    (out / "_plan/plan.json").write_text("{}")
    assert predict(photos, "--out", out) == 2
    assert "_plan/plan.json is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("damage", ["a row less", "no row", "other photos", "cut", "empty", "pipe"])
def test_part_that_does_not_answer_for_its_photos_is_never_counted(
    name: str, damage: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert predict(photos, "--out", out, "--format", name, "--part-photos", 4) == 0
    part, labels = out / f"part-000000.{name}", read_artifact(Path(MODEL)).labels
    rows = list(FORMATS[name].read(part, labels))
    match damage:
        case "a row less":
            FORMATS[name].write(part, labels, rows[:-1])
        case "no row":
            FORMATS[name].write(part, labels, [])
        case "other photos":
            shutil.copy(out / f"part-000001.{name}", part)
        case "cut":
            part.write_bytes(part.read_bytes()[:-100])
        case "empty":
            part.write_bytes(b"")
        case "pipe":
            part.unlink()
            os.mkfifo(part)
    assert predict(photos, "--out", out, "--format", name) == 2
    assert f"part-000000.{name} is damaged: delete it and run this again" in capsys.readouterr().err


@pytest.mark.parametrize("text", ['{"file": "x", "predictions": []}', "[" * 100_000, "[]", '"x"', "\0"])
def test_part_of_other_json_is_damaged(
    text: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(photos, "--out", tmp_path / "out") == 0
    (tmp_path / "out/part-000000.jsonl").write_text(text)
    assert predict(photos, "--out", tmp_path / "out") == 2
    assert "part-000000.jsonl is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("probability", ["much", None, 10**400])
def test_part_with_other_numbers_is_damaged(
    probability: object, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(photos, "--out", tmp_path / "out") == 0
    part = tmp_path / "out/part-000000.jsonl"
    first, *rest = map(json.loads, part.read_text().splitlines())
    first["predictions"][0]["probability"] = probability
    part.write_text("".join(f"{json.dumps(row)}\n" for row in (first, *rest)))
    assert predict(photos, "--out", tmp_path / "out") == 2
    assert "part-000000.jsonl is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value"),
    [("photos", 7), ("photos", "8"), ("part_photos", 0), ("part_photos", "3"), ("part_photos", 1e400)],
)
def test_plan_with_other_numbers_is_damaged(
    key: str, value: object, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert predict(photos, "--out", out) == 0
    plan = json.loads((out / "_plan/plan.json").read_text())
    (out / "_plan/plan.json").write_text(json.dumps({**plan, key: value}))
    assert predict(photos, "--out", out) == 2
    assert "_plan/plan.json is damaged" in capsys.readouterr().err


# --- shards


def test_shards_in_any_order_and_twice_make_the_whole(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    words = (photos, "--part-photos", 2, "--format", "csv")
    assert predict(*words, "--out", whole) == 0
    assert predict(*words, "--out", out, "--shard", "3/3") == 0
    capsys.readouterr()
    assert predict(*words, "--out", out, "--check", "--json") == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["missing"] == [f"part-00000{number}.csv" for number in (0, 1, 3)]
    assert "1 of 4 parts are there" in captured.err
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "1")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "3")
    for _ in range(2):
        assert predict(*words, "--out", out, "--shard", "auto") == 0
    assert predict(*words, "--out", out, "--shard", "2/3") == 0
    capsys.readouterr()
    assert predict(*words, "--out", out, "--check") == 0
    assert "6 of 8 files classified" in capsys.readouterr().out
    for path in whole.glob("part-*"):
        assert (out / path.name).read_bytes() == path.read_bytes()


def test_csv_rows_have_the_documented_columns(photos: Path, tmp_path: Path) -> None:
    assert predict(photos, "--csv", tmp_path / "answers.data") == 0
    header, first, *_ = csv.reader((tmp_path / "answers.data").open(newline=""))
    assert header[:7] == [
        "file", "label", "probability", "is_certain", "prediction_set", "is_in_distribution", "ood_score",
    ]  # fmt: skip
    assert header[7] == "probability: buildings" and header[-1] == "error"
    assert first[0].endswith("buildings/00.jpg") and first[1] == "buildings"


def test_no_ray_cluster_is_a_sentence(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(photos, "--out", tmp_path / "out", "--ray", "127.0.0.1:9") == 2
    assert "there is no Ray cluster at 127.0.0.1:9: " in capsys.readouterr().err

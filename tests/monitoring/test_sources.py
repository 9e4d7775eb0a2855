"""Where drift's answers come from: every line is an answer or has a reason."""

import base64
import csv
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

import lambda_func
from lenslet.cli import main
from lenslet.dataset.csv_file import write_cells
from lenslet.inference.artifact import read_artifact
from lenslet.monitoring.sources import SourceError, moment, read_window
from tests.support.function_log import write_metrics

LABELS = ("cat", "dog")


def line(labels: list[str], confidence: list[float], timestamp: str = "2026-11-28 10:00:00,123+0000") -> str:
    content = {"message": "answered", "labels": labels, "confidence": confidence, "timestamp": timestamp}
    return json.dumps(content | {"ood_score": [-3.5] * len(labels)})


LOG = [
    line(["cat"], [0.9]),
    line(["dog", "cat"], [0.8, 0.6]),
    line(["cow"], [0.9]),
    line(["cat"], [0.7], "2026-11-29 10:00:00,123+0000"),
    line([], []),
    json.dumps({"message": "answered", "labels": ["cat"], "confidence": []}),
    '{"_aws": {}, "Latency": 3.5}',
    "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.",
]


def test_log_of_the_function(tmp_path: Path) -> None:
    path = tmp_path / "function.log"
    path.write_text("\n".join([*LOG, "", ""]), encoding="utf-8")
    books = read_window(str(path), LABELS, until=datetime(2026, 11, 29, tzinfo=UTC))
    assert books.window.predicted.tolist() == [0, 1, 0]
    assert books.window.scores["confidence"].tolist() == [0.9, 0.8, 0.6]
    assert books.window.scores["ood_score"].tolist() == [-3.5, -3.5, -3.5]
    assert books.left_out == {
        "a label that the model does not have": 1,
        "outside the window": 1,
        "a request without a prediction": 1,
        "a line with another number of scores than labels": 1,
        "a line about something else": 1,
        "a line that is not JSON": 1,
    }
    assert books.lines == len(books.window.predicted) + sum(books.left_out.values())


def test_answers_of_another_model_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "function.log"
    versions = {"0123456789ab": [0.9], "ba9876543210": [0.8]}
    lines = [
        json.dumps({**json.loads(line(["cat"], each)), "version": name}) for name, each in versions.items()
    ]
    path.write_text("\n".join([*lines, line(["dog"], [0.7])]), encoding="utf-8")
    books = read_window(str(path), LABELS, version="0123456789ab")
    assert books.window.scores["confidence"].tolist() == [0.9, 0.7]  # logs of 0.1 have no version
    assert books.left_out == {"an answer of another model": 1}


def test_csv_of_predict(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    path.write_text(
        "file,label,probability,ood_score,error\na.jpg,dog,0.75,-2.5,\nb.jpg,,,,broken\nc.jpg,cat,many,1,\n",
        encoding="utf-8",
    )
    books = read_window(str(path), LABELS)
    assert books.window.predicted.tolist() == [1]
    assert {name: values.tolist() for name, values in books.window.scores.items()} == {
        "confidence": [0.75],
        "ood_score": [-2.5],
    }
    assert books.left_out == {"a photo without an answer: broken": 1, "a row whose numbers cannot be read": 1}


def test_csv_with_all_probabilities_has_the_entropy(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    head = "file,label,probability,ood_score,probability: cat,probability: dog,error"
    path.write_text(f"{head}\na.jpg,dog,0.5,-2.5,0.5,0.5,\nb.jpg,cat,1,-2.5,1.0,0.0,\n", encoding="utf-8")
    scores = read_window(str(path), LABELS).window.scores
    assert scores["entropy"] == pytest.approx([0.6931, 0.0], abs=1e-4)


def test_log_of_the_function_has_every_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever a caller asks for: `top=1` leaves one probability in the answer."""
    write_metrics(monkeypatch)
    image = base64.b64encode(Path("data/sample/test/forest/00.jpg").read_bytes()).decode()
    whole = lambda_func.handler({"images": [{"image": image}] * 2, "top": 1}, None)
    assert "entropy" not in whole["results"][0]
    path = tmp_path / "function.log"
    path.write_text(capfd.readouterr().out)
    everything = lambda_func.handler({"image": image}, None)
    exact = [each["probability"] for each in everything["predictions"]]
    labels = [each["label"] for each in everything["predictions"]]
    scores = read_window(str(path), labels).window.scores
    assert list(scores) == ["confidence", "entropy", "ood_score"]
    wanted = -sum(each * math.log(each) for each in exact if each)
    assert scores["entropy"] == pytest.approx([wanted, wanted], abs=1e-4)


def test_score_that_only_some_answers_have_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "function.log"
    old = json.dumps({"message": "answered", "labels": ["cat"], "confidence": [0.5]})
    path.write_text(f"{LOG[0]}\n{old}\n", encoding="utf-8")
    assert list(read_window(str(path), LABELS).window.scores) == ["confidence"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.log", None, "cannot be read: No such file"),
        ("other.csv", "a,b\n1,2\n", "has no columns label and probability"),
        ("empty.csv", "", "has no columns label and probability"),
    ],
)
def test_what_cannot_be_read(name: str, content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(SourceError, match=message):
        read_window(str(path), LABELS)


def test_times_are_in_utc_unless_they_say_otherwise() -> None:
    assert moment("2026-11-28") == datetime(2026, 11, 28, tzinfo=UTC)
    assert moment("2026-11-28T02:00+02:00") == datetime(2026, 11, 28, tzinfo=UTC)
    with pytest.raises(ValueError, match="'yesterday' is no time"):
        moment("yesterday")


@pytest.fixture
def log_group(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        client = boto3.client("logs")
        client.create_log_group(logGroupName="/aws/lambda/lenslet")
        client.create_log_stream(logGroupName="/aws/lambda/lenslet", logStreamName="one")
        now = int(datetime.now(UTC).timestamp() * 1000)
        client.put_log_events(
            logGroupName="/aws/lambda/lenslet",
            logStreamName="one",
            logEvents=[{"timestamp": now, "message": each} for each in LOG[:2]],
        )
        yield "cloudwatch:///aws/lambda/lenslet"


def test_log_in_cloudwatch(log_group: str) -> None:
    assert read_window(log_group, LABELS).window.predicted.tolist() == [0, 1, 0]
    with pytest.raises(SourceError, match="the log group /aws/lambda/none cannot be read"):
        read_window("cloudwatch:///aws/lambda/none", LABELS)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"confidence": [float("nan")]}, "a line whose numbers cannot be read"),
        ({"confidence": ["much"]}, "a line whose numbers cannot be read"),
        ({"confidence": [None]}, "a line whose numbers cannot be read"),
        ({"confidence": [10**400]}, "a line whose numbers cannot be read"),
        ({"ood_score": [float("inf")]}, "a line whose numbers cannot be read"),
        ({"labels": "c"}, "a line with another number of scores than labels"),
        ({"labels": [["cat"]]}, "a label that the model does not have"),
    ],
)
def test_lines_that_the_function_did_not_write(
    tmp_path: Path, changed: dict[str, object], reason: str
) -> None:
    path = tmp_path / "function.log"
    path.write_text(json.dumps(json.loads(line(["cat"], [0.9])) | changed), encoding="utf-8")
    assert read_window(str(path), LABELS).left_out == {reason: 1}


def test_csv_of_a_model_whose_labels_a_spreadsheet_would_run(tmp_path: Path) -> None:
    labels = ("=cmd", "two\nlines", "'quoted")
    path = tmp_path / "answers.csv"
    write_cells(path, ["label", "probability"], [(label, 0.5) for label in labels])
    assert read_window(str(path), labels).window.predicted.tolist() == [0, 1, 2]


def test_csv_with_a_cell_beyond_every_limit(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    path.write_text(f"label,probability\n{'x' * 200_000},0.5\n", encoding="utf-8")
    limit = csv.field_size_limit(1 << 17)  # others raise it
    try:
        with pytest.raises(SourceError, match="is no CSV that can be read"):
            read_window(str(path), LABELS)
    finally:
        csv.field_size_limit(limit)


def test_json_lines_of_predict_are_the_same_answers_as_its_csv(tmp_path: Path) -> None:
    photos = [str(path) for path in sorted(Path("data/sample/test").glob("*/00.jpg"))]
    (tmp_path / "notes.txt").write_text("no photo")
    books = {}
    for ending in ("csv", "jsonl"):
        place = str(tmp_path / f"answers.{ending}")
        assert main(["predict", *photos, str(tmp_path / "notes.txt"), "--out", place]) == 0
        books[ending] = read_window(place, read_artifact(Path("model")).labels)
    for each in books.values():
        assert (each.lines, len(each.window.predicted), sum(each.left_out.values())) == (7, 6, 1)
        assert set(each.window.scores) == {"confidence", "entropy", "ood_score"}
    for name, values in books["csv"].window.scores.items():
        assert books["jsonl"].window.scores[name].tolist() == pytest.approx(values.tolist())
    assert books["csv"].window.predicted.tolist() == books["jsonl"].window.predicted.tolist()


@pytest.mark.parametrize(
    "row", ['{"file": 1, "predictions": []}', '{"file": 1, "predictions": [{"label": 2}]}']
)
def test_other_json_is_no_answer(row: str, tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text(row)
    assert read_window(str(tmp_path / "answers.jsonl"), LABELS).left_out == {
        "a row whose numbers cannot be read": 1
    }

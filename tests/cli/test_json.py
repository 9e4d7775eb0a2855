"""`--json`: one JSON document on stdout, whatever else a command prints."""

import json
from pathlib import Path

import pytest

from lenslet.cli import main

FIGURES = {
    "accuracy": 0.94,
    "accuracy_low": 0.93,
    "accuracy_gain": 0.7,
    "roc_auc": 0.99,
    "min_recall": 0.88,
    "robustness_mean": 0.82,
    "robustness_worst": 0.29,
    "agreement_with_keras": 0.999,
    "calibration_error": 0.01,
    "megabytes": 4.5,
    "time_ms": 4.0,
}


def test_gate_with_a_limit_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps(FIGURES))
    words = ["gate", "--metrics", str(tmp_path / "metrics.json"), "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["is_passed"] is True
    assert main([*words, "--set", "gate.min.accuracy=0.95"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["is_passed"] is False
    assert "accuracy" in captured.err


def test_predictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("no photo")
    assert main(["predict", "data/sample/test/sea/00.jpg", str(tmp_path / "notes.txt"), "--json"]) == 0
    captured = capsys.readouterr()
    photo, notes = json.loads(captured.out)
    assert photo["file"] == "data/sample/test/sea/00.jpg"
    assert sum(each["probability"] for each in photo["predictions"]) == pytest.approx(1, abs=1e-5)
    assert set(photo) >= {"file", "predictions", "is_certain", "prediction_set", "is_in_distribution"}
    assert set(notes) == {"file", "error"}
    assert "1 of 2 files classified" in captured.err


def test_lint_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ["--cache", str(tmp_path / "cache"), "--lint-csv", str(tmp_path / "lint.csv")]
    assert main(["lint", "data/sample", "--weights", "none", *places, "--json"]) == 0
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert answer["photos"]["test"] == 60
    assert answer["csv"] == str(tmp_path / "lint.csv")
    assert "labels are not checked" in captured.err

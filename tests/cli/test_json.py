"""`--json`: one JSON document on stdout, whatever else a command prints."""

import argparse
import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from lenslet.cli import main
from lenslet.commands.table import COMMANDS
from tests.support.figures import FIGURES

# What these print is no figures.
WITHOUT = {
    "serve": "a log",
    "label backend": "a log",
    "completion": "a script",
    "pipeline sagemaker start": "the address of the run",
}


def parsers(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """The parser or, where it has subcommands, theirs, with their words."""
    inner = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    if not inner:
        yield name, parser
    for action in inner:
        for word, each in action.choices.items():
            yield from parsers(each, f"{name} {word}")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_prints_figures_prints_them_as_json(command: str) -> None:
    whole = import_module(f"lenslet.commands.{command}").make_parser()
    for name, parser in parsers(whole, command):
        assert ("--json" in parser._option_string_actions) == (name not in WITHOUT), name


def test_gate_with_a_limit_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps(FIGURES))
    words = ["gate", "--metrics", str(tmp_path / "metrics.json"), "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["is_passed"] is True
    assert main([*words, "--set", "gate.min.accuracy=0.95"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["is_passed"] is False
    assert "accuracy" in captured.err


def test_limit_of_the_command_line_wins_over_that_of_the_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps({**FIGURES, "model": "intel-scenes", "accuracy": 0.8}))
    words = ["gate", "--metrics", str(tmp_path / "metrics.json"), "--json", "--set"]
    assert main([*words, "gate.min.roc_auc=0.9"]) == 1  # the model's own limit of accuracy is 0.9
    assert main([*words, "gate.min.accuracy=0.75"]) == 0
    assert main([*words, "gate.models.intel-scenes.min.accuracy=0.75"]) == 0
    capsys.readouterr()
    assert main([*words, "gate.models.intel.min.accuracy=0.75"]) == 2
    said = capsys.readouterr().err
    assert "would change nothing: the limits of this model are gate.models.intel-scenes." in said


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

"""The gate: limits held against figures written by hand."""

import json
from pathlib import Path

import pytest

import gate
from evaluation.verdict import Verdict, judge

FIGURES = {
    "accuracy": 0.94,
    "accuracy_low": 0.93,
    "roc_auc": 0.99,
    "worst_recall": 0.88,
    "robustness_mean": 0.82,
    "robustness_worst": 0.29,
    "agreement_with_keras": 0.999,
    "calibration_error": 0.01,
    "megabytes": 4.5,
    "time_ms": 4.0,
}


@pytest.mark.parametrize(
    ("bound", "limit", "value", "is_kept"),
    [
        ("at least", 0.9, 0.91, True),
        ("at least", 0.9, 0.9, True),
        ("at least", 0.9, 0.89, False),
        ("at most", 5, 4.5, True),
        ("at most", 5, 5.1, False),
        ("at least", 0.9, None, False),
        ("at most", 5, None, False),
        ("at least", 0.9, float("nan"), False),
        ("at most", 5, float("nan"), False),
    ],
)
def test_one_limit(bound: str, limit: float, value: float | None, is_kept: bool) -> None:
    assert Verdict("figure", bound, limit, value).is_kept is is_kept


def test_every_limit_is_judged() -> None:
    verdicts = judge(FIGURES, {"accuracy": 0.9, "roc_auc": 0.995}, {"megabytes": 5, "minutes": 3})
    assert [(each.figure, each.is_kept) for each in verdicts] == [
        ("accuracy", True),
        ("roc_auc", False),
        ("megabytes", True),
        ("minutes", False),
    ]


def test_champion_is_not_to_be_fallen_short_of_beyond_its_interval() -> None:
    champion = {"accuracy": 0.96, "accuracy_low": 0.95}
    assert [each.is_kept for each in judge(FIGURES, {}, {}, champion)] == [False]
    assert [each.is_kept for each in judge(FIGURES, {}, {}, champion | {"accuracy_low": 0.935})] == [True]


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({}, 0, "all limits are kept"),
        ({"accuracy": 0.5}, 1, "1 of 9 limits failed: not to be released"),
        ({"time_ms": 9.0, "megabytes": 9.0}, 1, "2 of 9 limits failed"),
    ],
)
def test_command_decides_by_exit_code(
    change: dict[str, float], code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps(FIGURES | change))
    assert gate.main(["--metrics", str(tmp_path / "metrics.json")]) == code
    assert words in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, "{", "[]", '{"accuracy": 1}'])
def test_figures_that_cannot_be_read_are_one_sentence(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    assert gate.main(["--metrics", str(tmp_path / "metrics.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1

"""The gate: limits held against figures written by hand."""

import json
import subprocess
import sys
from dataclasses import make_dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lenslet.cli import main
from lenslet.config import GateParams, read_params
from lenslet.config.gate import MaxLimits, MinLimits, ModelLimits
from lenslet.dataset.dataset import Dataset
from lenslet.dataset.photos import Photo
from lenslet.evaluation.limits import Verdict, check_limits, limits_table
from lenslet.evaluation.metric_table import METRICS
from lenslet.inference.artifact import read_artifact, write_artifact
from tests.support.figures import FIGURES


def limits(min: dict[str, float], max: dict[str, float]) -> Any:
    """As a section of params.yaml."""
    return SimpleNamespace(min=make_dataclass("Min", min)(**min), max=make_dataclass("Max", max)(**max))


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


def test_every_limit_is_checked() -> None:
    verdicts = check_limits(
        FIGURES, limits({"accuracy": 0.9, "roc_auc": 0.995}, {"megabytes": 5, "minutes": 3})
    )
    assert [(each.metric, each.is_kept) for each in verdicts] == [
        ("accuracy", True),
        ("roc_auc", False),
        ("megabytes", True),
        ("minutes", False),
    ]


def test_accuracy_must_reach_the_champions_interval() -> None:
    champion = {"accuracy": 0.96, "accuracy_low": 0.95}
    nothing = limits({}, {})
    assert [each.is_kept for each in check_limits(FIGURES, nothing, champion)] == [False]
    assert [each.is_kept for each in check_limits(FIGURES, nothing, champion | {"accuracy_low": 0.935})] == [
        True
    ]


def test_limits_bound_metrics_from_their_bad_side() -> None:
    params = read_params(Path("params.yaml"))
    for section in (params.gate.of("intel-scenes"), params.endpoint):
        for verdict in check_limits({}, section):
            better = {"at least": "higher", "at most": "lower"}[verdict.bound]
            assert METRICS[verdict.metric].better == better, verdict.metric


@pytest.mark.parametrize(
    ("error", "chance", "photos", "verdict", "words"),
    [
        (0.107, 0.156, 40, "undecided", "no limit failed; the photos cannot decide 1 of 1"),
        (0.157, 0.156, 40, "FAILED", "1 of 1 limits failed: not to be released"),
        (0.049, 0.156, 40, "kept", "all limits are kept"),
        (0.06, 0.055, 4000, "FAILED", "1 of 1 limits failed: not to be released"),
        (None, None, 12, "undecided", "the photos cannot decide 1 of 1: not to be released"),
    ],
)
def test_calibration_is_not_held_against_what_perfect_probabilities_show(
    error: float | None, chance: float | None, photos: int, verdict: str, words: str
) -> None:
    figures: dict[str, float] = {"photos": photos}
    if error is not None and chance is not None:
        figures |= {"calibration_error": error, "calibration_error_chance": chance}
    printed = limits_table(
        check_limits(figures, limits({}, {"calibration_error": 0.05})), "not to be released"
    )
    assert printed.splitlines()[1].endswith(verdict)
    assert printed.splitlines()[-1] == words


def test_undecided_limit_says_what_would_help() -> None:
    figures = {"photos": 40, "calibration_error": 0.107, "calibration_error_chance": 0.156}
    [verdict] = check_limits(figures, limits({}, {"calibration_error": 0.05}))
    # 40 × (0.156 / 0.05)² = 389
    assert (
        verdict.undecided
        == "perfect probabilities show up to 0.1560 on 40 photos; about 390 test photos decide it"
    )
    [verdict] = check_limits({"photos": 12, "accuracy": 1.0}, limits({"accuracy": 0.9}, {}))
    assert verdict.undecided == (
        "12 test photos are too few; 30 and more decide it, which are a tenth of 300 photos, or a folder test/ of "
        "their own"
    )


def test_own_limits_of_a_model_come_besides_and_the_stricter_counts() -> None:
    own = ModelLimits(
        MinLimits(accuracy=0.9, accuracy_gain=0.01), MaxLimits(megabytes=5, calibration_error=0.01)
    )
    gate = GateParams(MinLimits(accuracy_gain=0.05), MaxLimits(calibration_error=0.05), {"mine": own})
    assert gate.of("mine") == ModelLimits(
        MinLimits(accuracy=0.9, accuracy_gain=0.05), MaxLimits(megabytes=5, calibration_error=0.01)
    )
    assert gate.of("other") == ModelLimits(MinLimits(accuracy_gain=0.05), MaxLimits(calibration_error=0.05))


def test_table_hides_no_difference() -> None:
    verdicts = [
        Verdict("accuracy", "at least", 0.9, 0.93456),
        Verdict("accuracy", "at least", 0.9, 0.89996),
        Verdict("time_ms", "at most", 8, None),
    ]
    assert limits_table(verdicts, "not to be released").splitlines() == [
        "metric                       value  limit               verdict",
        "accuracy                     93.5%  at least 90.0%      kept",
        "accuracy                   0.89996  at least 0.9        FAILED",
        "time_ms                    missing  at most 8.0 ms      FAILED",
        "2 of 3 limits failed: not to be released",
    ]


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({}, 0, "all limits are kept"),
        ({"accuracy_gain": 0.04}, 1, "1 of 3 limits failed: not to be released"),
        (
            {"accuracy": 0.5, "time_ms": 90, "megabytes": 90},
            0,
            "all limits are kept",
        ),  # which are another model's
        ({"model": "intel-scenes", "accuracy": 0.5}, 1, "1 of 10 limits failed: not to be released"),
        ({"model": "intel-scenes", "time_ms": 9.0, "megabytes": 9.0}, 1, "2 of 10 limits failed"),
    ],
)
def test_command_decides_by_exit_code(
    change: dict[str, float], code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps(FIGURES | change))
    assert main(["gate", "--metrics", str(tmp_path / "metrics.json")]) == code
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            None,
            "does not exist: give a metrics.json or a model folder that lenslet evaluate wrote into, or registry:",
        ),
        ("{", "cannot be read: Expecting property name"),
        ("[" * 100_000, "cannot be read: "),
        ("[]", "does not hold the figures of lenslet evaluate"),
        ('{"accuracy": 1}', "does not hold the figures of lenslet evaluate"),
        (json.dumps(FIGURES | {"accuracy_gain": "0.94"}), ": accuracy_gain must be a number, not '0.94'"),
    ],
)
def test_figures_that_cannot_be_read_are_one_sentence(
    content: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    assert main(["gate", "--metrics", str(tmp_path / "metrics.json")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"lenslet gate: {tmp_path / 'metrics.json'}")
    assert words in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("champion", "challenger", "code", "words"),
    [
        ("sea", "sea", 0, "all limits are kept"),
        ("sea", "street", 2, "champion.json was measured on other photos than"),
        (
            "sea",
            None,
            2,
            "metrics.json does not say on which photos it was measured: give --metrics the model",
        ),
        (None, "sea", 0, "all limits are kept"),  # a champion's file of before they said so
    ],
)
def test_champion_of_other_photos_is_refused(
    champion: str | None,
    challenger: str | None,
    code: int,
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, photos in (("champion.json", champion), ("metrics.json", challenger)):
        named = {"data_fingerprint": photos} if photos else {}
        (tmp_path / name).write_text(json.dumps(FIGURES | named))
    places = ["--metrics", str(tmp_path / "metrics.json"), "--champion", str(tmp_path / "champion.json")]
    assert main(["gate", *places]) == code
    said = capsys.readouterr()
    assert words in said.out + said.err
    assert said.err.count("\n") == (code == 2)


@pytest.mark.parametrize(
    ("champion", "challenger", "code"),
    [
        # More photos to train on change the first; what counts are those that both were measured on.
        (("few", "test"), ("many", "test"), 0),
        (("same", "test"), ("same", "others"), 2),
        # Figures of before the second was written.
        (("same", None), ("same", "test"), 0),
        (("few", None), ("many", "test"), 2),
        (("same", "test"), ("same", None), 0),
    ],
)
def test_champion_is_one_of_the_same_test_photos(
    champion: tuple[str, str | None], challenger: tuple[str, str | None], code: int, tmp_path: Path
) -> None:
    for name, (all_photos, test) in (("champion.json", champion), ("metrics.json", challenger)):
        named = {"data_fingerprint": all_photos} | ({"test_fingerprint": test} if test else {})
        (tmp_path / name).write_text(json.dumps(FIGURES | named))
    places = ["--metrics", str(tmp_path / "metrics.json"), "--champion", str(tmp_path / "champion.json")]
    assert main(["gate", *places]) == code


def test_fingerprint_of_the_test_photos_is_theirs_alone(tmp_path: Path) -> None:
    def photo(label: str, split: str) -> Photo:
        return Photo(tmp_path / label, label, split)

    photos = (photo("sea", "test"), photo("sea", "train"), photo("street", "test"))
    nothing = np.empty((0, 8, 8, 3), np.uint8)
    dataset = Dataset(photos, ("sea", "street"), (), nothing, np.arange(3), ("a", "b", "c"))
    more = replace(dataset, photos=(*photos, photo("street", "train")), hashes=("a", "b", "c", "d"))
    moved = replace(dataset, photos=photos[::-1], hashes=("c", "b", "a"))
    relabelled = replace(dataset, photos=(photo("street", "test"), *photos[1:]))
    found = (dataset, more, moved, relabelled)
    # printf 'sea a\nstreet c\n' | sha256sum
    expected = "0ffad009ec21dda149264e4ce5cb79550e0629c61ed4eeb6f30228da8279a13c"
    assert [each.test_fingerprint == expected for each in found] == [True, True, True, False]
    assert [each.fingerprint == dataset.fingerprint for each in found] == [True, False, True, False]


def test_figures_may_stand_in_a_model_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = FIGURES | {"data_fingerprint": "photos"}
    artifact = replace(read_artifact(Path("model")), name="mine", sha256="c0ffee", metrics={"test": figures})
    write_artifact(artifact, tmp_path / "model")
    (tmp_path / "metrics.json").write_text(json.dumps(figures | {"accuracy": 0.92}))
    model, metrics = str(tmp_path / "model"), str(tmp_path / "metrics.json")
    assert main(["gate", "--metrics", model]) == 0
    assert capsys.readouterr().out.startswith("model: mine c0ffee\nmetric ")
    assert main(["gate", "--metrics", metrics, "--champion", model]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["model: not said", "champion: mine c0ffee"]
    assert lines[-2] == "accuracy (champion's)        92.0%  at least 93.0%      FAILED"


def test_model_is_not_compared_with_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Else figures on new test photos, once registered ones, could never follow those on the old."""
    for name, photos, version in (("new", "new", "a"), ("old", "old", "a"), ("other", "old", "b")):
        named = {"model": "mine", "version": version, "test_fingerprint": photos}
        (tmp_path / f"{name}.json").write_text(json.dumps(FIGURES | named))
    new = ["--metrics", str(tmp_path / "new.json"), "--champion"]
    assert main(["gate", *new, str(tmp_path / "old.json")]) == 0
    assert "\nchampion: mine a, the same model, so it is not compared\n" in capsys.readouterr().out
    assert main(["gate", *new, str(tmp_path / "other.json")]) == 2
    assert "and register it again" in capsys.readouterr().err


def test_gate_needs_no_registry(tmp_path: Path) -> None:
    """Comparing JSON must not wait for MLflow, nor for the packages of training."""
    (tmp_path / "metrics.json").write_text(json.dumps(FIGURES))
    program = (
        "import sys; from lenslet.cli import main; code = main(['gate', *sys.argv[1:]]); "
        "print(code, [name for name in ('mlflow', 'lenslet.registry', 'tensorflow') if name in sys.modules])"
    )
    command = [sys.executable, "-c", program, "--metrics", str(tmp_path / "metrics.json")]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert finished.stdout.splitlines()[-1] == "0 []"


def test_lowest_recall_of_classes_with_few_photos_is_not_decided() -> None:
    limits = read_params(None, ["gate.models.mine.min.min_recall=0.5"]).gate.of("mine")
    figures = {"photos": 40.0, "photos.no": 37.0, "photos.yes": 3.0, "accuracy_gain": 0.2}
    [verdict] = [each for each in check_limits(figures, limits) if each.metric == "min_recall"]
    assert verdict.undecided == "classes with fewer than 5 test photos: 1; so many of each decide it"
    assert not verdict.is_kept

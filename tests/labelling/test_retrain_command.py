"""`lenslet retrain` around its stages, which are fakes here; tests/serving/test_training.py runs real ones."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lenslet.cli import main
from lenslet.commands import retrain_stages
from lenslet.dataset.csv_file import write_cells
from lenslet.evaluation.gate import read_figures
from lenslet.inference.folder_lock import folder_lock
from lenslet.labelling.annotations import COLUMNS
from lenslet.labelling.retraining import read_state
from tests.support.photos import BLUE, GREEN, RED, write_class

Retrain = Callable[..., int]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("data")
    for number, (split, count) in enumerate((("train", 6), ("val", 3), ("test", 3))):
        for label, colour in (("red", RED), ("green", GREEN)):
            write_class(data / split / label, count, colour, first_seed=100 * number + len(label))
    write_class(data.parent / "labelled", 4, BLUE, first_seed=900)
    return data


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> dict[str, int | type[BaseException]]:
    """Stage → its exit code or what ends it; `ran` has the words of all that were begun."""
    ends: dict[str, int | type[BaseException]] = {}
    begun.clear()

    def run_stage(words: list[str], log: object) -> int:
        begun.append(words)
        end = ends.get(words[0], 0)
        if isinstance(end, int):
            return end
        raise end

    monkeypatch.setattr(retrain_stages, "run_stage", run_stage)
    monkeypatch.setattr(retrain_stages, "is_better", lambda *_: True)
    return ends


begun: list[list[str]] = []


@pytest.fixture
def retrain(data: Path, tmp_path: Path) -> Retrain:
    def retrain(count: int, *options: str) -> int:
        """With this many labels."""
        photos = sorted((data.parent / "labelled").iterdir())[:count]
        rows = [(str(path), "red", "1", "2026-11-28", "1.00", "p") for path in photos]
        write_cells(tmp_path / "labels.csv", COLUMNS, rows)
        begun.clear()
        places = ["--data", str(data), "--labels", str(tmp_path / "labels.csv"), "--model", "model"]
        places += ["--folder", str(tmp_path / "retrain"), "--cache", str(tmp_path / "cache")]
        return main(["retrain", *places, *options])

    return retrain


def names() -> list[str]:
    return [words[0] for words in begun]


def test_all_stages_once_and_nothing_when_nothing_is_new(
    retrain: Retrain, stages: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrain(3, "--set", "train.fine_tune.epochs=2", "--set", " gate.min.accuracy =0.5") == 0
    assert names() == ["train", "convert", "evaluate", "register"]
    train, convert, _, register = begun
    assert train[-2:] == ["--set", "train.fine_tune.epochs=2"] and "--name" in train
    assert "--set" not in convert
    assert register[-2:] == ["--set", "gate.min.accuracy=0.5"] and "candidate" in register
    state = read_state(tmp_path / "retrain")
    assert state and (state.result, state.last_rows) == ("registered", 3)
    assert retrain(3) == 0
    assert names() == []
    assert "nothing is new: 3 labels" in capsys.readouterr().out


def test_killed_one_goes_on_at_its_stage(retrain: Retrain, stages: dict[str, object], tmp_path: Path) -> None:
    stages["convert"] = KeyboardInterrupt
    assert retrain(3) == 130
    killed = begun[0]
    stages.clear()
    assert retrain(3) == 0
    assert names() == ["convert", "evaluate", "register"]
    # With other labels there is another run, which must not resume the training of the killed one.
    stages["convert"] = KeyboardInterrupt
    assert retrain(4) == 130
    assert begun[0][begun[0].index("--runs") + 1] != killed[killed.index("--runs") + 1]


def test_failed_stage_is_said_and_tried_again(
    retrain: Retrain, stages: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages["evaluate"] = 2
    assert retrain(3) == 2
    assert "evaluate failed; " in capsys.readouterr().err
    state = read_state(tmp_path / "retrain")
    assert state and state.result == "failed"
    stages.clear()
    assert retrain(3) == 0
    assert names() == ["evaluate", "register"]


def test_refused_model_is_not_tried_again(
    retrain: Retrain, stages: dict[str, object], tmp_path: Path
) -> None:
    stages["register"] = 1
    assert retrain(3) == 1
    state = read_state(tmp_path / "retrain")
    assert state and state.result == "refused"
    assert retrain(3) == 0
    assert names() == []


def test_one_at_a_time(
    retrain: Retrain, stages: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with folder_lock(tmp_path / "retrain", "another one"):
        assert retrain(3) == 2
    assert "is being written by another one" in capsys.readouterr().err
    assert names() == []


def test_shrunken_list_needs_a_yes(
    retrain: Retrain, stages: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrain(4) == 0
    assert retrain(1) == 2
    assert "say --yes" in capsys.readouterr().err
    assert names() == []
    assert retrain(1, "--yes") == 0
    assert len(begun) == 4


def test_no_list(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["retrain", "--data", str(data), "--model", "model", "--folder", str(tmp_path / "r")]
    assert main(words) == 2
    assert "labels.csv does not exist: give --project" in capsys.readouterr().err


@pytest.mark.parametrize(("accuracy", "code"), [(0.5, 0), (0.99, 1)])
def test_model_in_use_that_was_measured_on_other_photos_is_measured_on_these(
    accuracy: float, code: int, retrain: Retrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures are written by hand, and the stages do nothing; test_retrain_kill.py has real ones."""
    new = {**read_figures(Path("model")), "version": "new", "test_fingerprint": "these"}
    now = {**new, "accuracy": accuracy, "accuracy_low": accuracy, "version": "old"}
    folder = tmp_path / "retrain"
    figures = {
        str(folder / "model"): new,
        "model": {**new, "version": "old", "test_fingerprint": "others"},
        str(folder / "champion/metrics.json"): now,
    }
    monkeypatch.setattr(retrain_stages, "figures_at", lambda place: figures[place])
    tracked: dict[str, bool] = {}

    def run_stage(words: list[str], log: object, is_tracked: bool = True) -> int:
        tracked[words[words.index("--model") + 1] if "--model" in words else words[0]] = is_tracked
        return 0

    monkeypatch.setattr(retrain_stages, "run_stage", run_stage)
    assert retrain(3) == code
    assert tracked == {"train": True, str(folder / "model"): True, "model": False}


def test_figures_of_other_photos_are_not_shown_beside_each_other(
    retrain: Retrain, stages: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = {**read_figures(Path("model")), "test_fingerprint": "these"}
    found = {str(tmp_path / "retrain/model"): new, "model": {**new, "test_fingerprint": "others"}}
    monkeypatch.setattr(retrain_stages, "figures_at", lambda place: found[place])
    assert retrain(3) == 0
    state = read_state(tmp_path / "retrain")
    assert state and set(state.figures) == {"after"}
    found["model"] = {**new, "accuracy": 0.5}
    assert retrain(4) == 0
    state = read_state(tmp_path / "retrain")
    assert state and state.figures["before"]["accuracy"] == 0.5


def test_model_in_use_is_not_written_over(
    retrain: Retrain, stages: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree("model", tmp_path / "retrain" / "model")
    assert retrain(3, "--model", str(tmp_path / "retrain" / "model")) == 2
    assert "is where the new model is written" in capsys.readouterr().err
    assert names() == []

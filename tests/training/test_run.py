"""Runs on disk: which one is resumed, which is refused, and when patience is exhausted."""

import resource
import signal
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from lenslet.config import TrainParams, read_params
from lenslet.training.record import KERAS_NAME, TrainingRecord, read_record, write_record
from lenslet.training.run import (
    Checkpoint,
    CheckpointError,
    Run,
    RunFinished,
    read_checkpoint,
    resume_or_begin,
    start_run,
    unfinished_run,
    write_checkpoint,
)


def kill(runs: Path, name: str, run: Run, losses: list[float]) -> None:
    """What is left of a run that was killed after as many epochs as there are losses."""
    start_run(runs / name, run)
    weights = [np.zeros(3, np.float32)]
    write_checkpoint(runs / name, Checkpoint(0.7, weights, weights, {"val_loss": losses}, minutes=2.0))


WANTED = Run("/out/mine", {"seed": 1, "head": {"dropout": 0.2}}, "photos", "float32", minutes=0.5)


def test_newest_killed_run_that_is_wanted_goes_on(tmp_path: Path) -> None:
    kill(tmp_path, "20260101-mine", WANTED, [0.6])
    kill(tmp_path, "20260102-mine", WANTED, [0.6, 0.5])
    kill(tmp_path, "20260103-mine", replace(WANTED, params={"seed": 2}), [0.6])
    kill(tmp_path, "20260104-other", replace(WANTED, out="/out/other"), [0.6])
    start_run(tmp_path / "20260105-mine", WANTED)  # killed before its first checkpoint
    assert unfinished_run(tmp_path, WANTED) == (
        tmp_path / "20260102-mine",
        replace(WANTED, minutes=2.5),
        2,
    )


def test_run_that_a_finished_one_has_overtaken_does_not_go_on(tmp_path: Path) -> None:
    kill(tmp_path, "20260101-mine", WANTED, [0.6])
    start_run(tmp_path / "20260102-mine", WANTED)
    (tmp_path / "20260102-mine" / "model.keras").touch()
    assert unfinished_run(tmp_path, WANTED) is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"params": {"seed": 1, "head": {"dropout": 0.3}}}, r"train\.head\.dropout was 0\.2 and is 0\.3"),
        ({"params": {"seed": 1, "head": {}}}, r"train\.head\.dropout was 0\.2 and is None"),
        ({"data_fingerprint": "others"}, "the photos, their labels or their splits have changed"),
        ({"precision": "mixed_bfloat16"}, "computes in float32, and would now in mixed_bfloat16"),
    ],
)
def test_changed_run_is_one_sentence(changed: dict[str, object], message: str, tmp_path: Path) -> None:
    kill(tmp_path, "20260101-mine", WANTED, [0.6])
    with pytest.raises(CheckpointError, match=message) as caught:
        unfinished_run(tmp_path, replace(WANTED, **changed))
    assert str(caught.value).endswith("undo that, or start afresh without --resume")


def trained(out: Path, params: TrainParams) -> Run:
    """A finished training of a head alone, which leaves no run; returns the run that would train it again."""
    out.mkdir()
    (out / KERAS_NAME).touch()
    write_record(TrainingRecord("mine", params, "photos", {}, {}, {}, 1.0, {}), out)
    return Run(str(out), asdict(params), "photos", "float32")


def test_finished_training_is_not_resumed_though_it_left_no_run(tmp_path: Path) -> None:
    params = read_params(None, ["train.fine_tune.epochs=0"]).train
    runs, out = tmp_path / "runs", tmp_path / "mine"
    wanted = trained(out, params)
    with pytest.raises(RunFinished, match="mine was trained with these photos and settings"):
        resume_or_begin(runs, wanted, out, is_resuming=True)
    kill(runs, "20260101-mine", replace(wanted, data_fingerprint="others"), [0.6])
    with pytest.raises(RunFinished):
        resume_or_begin(runs, wanted, out, is_resuming=True)
    kill(runs, "20260102-mine", wanted, [0.6])
    assert resume_or_begin(runs, wanted, out, is_resuming=True)[0] == runs / "20260102-mine"


def test_average_of_several_seeds_is_not_the_training_of_one(tmp_path: Path) -> None:
    out = tmp_path / "mine"
    wanted = trained(out, read_params(None, []).train)
    write_record(replace(read_record(out), seeds={"20": 0.5, "21": 0.5}), out)
    assert resume_or_begin(tmp_path / "runs", wanted, out, is_resuming=True)[1] == wanted


@pytest.mark.parametrize("change", [{"data_fingerprint": "others"}, {"params": {"seed": 1}}])
def test_training_of_other_photos_or_settings_is_not_the_finished_one(
    change: dict[str, object], tmp_path: Path
) -> None:
    out = tmp_path / "mine"
    wanted = replace(trained(out, read_params(None, []).train), **change)
    assert resume_or_begin(tmp_path / "runs", wanted, out, is_resuming=True)[1] == wanted


def test_damaged_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    kill(tmp_path, "20260101-mine", WANTED, [0.6])
    (tmp_path / "20260101-mine" / "checkpoint.npz").write_bytes(b"no archive")
    with pytest.raises(CheckpointError, match=r"checkpoint\.npz is damaged"):
        unfinished_run(tmp_path, WANTED)


@pytest.mark.parametrize(
    ("epochs", "remedy"), [(0, "run this again"), (1, "--resume goes on from the last one")]
)
def test_checkpoint_that_has_no_room_leaves_the_one_before(tmp_path: Path, epochs: int, remedy: str) -> None:
    state = np.zeros(100_000, np.float32)
    for epoch in range(epochs):
        write_checkpoint(tmp_path, Checkpoint(0.7, [state], [state], {"val_loss": [0.5] * (epoch + 1)}))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # as on a full disk
    try:
        with pytest.raises(
            CheckpointError, match=rf"after 2 epochs could not be written .*: make room; {remedy}"
        ):
            write_checkpoint(tmp_path, Checkpoint(0.7, [state], [state], {"val_loss": [0.5, 0.4]}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    found = read_checkpoint(tmp_path)
    assert (found.losses if found else None) == ([0.5] if epochs else None)


@pytest.mark.parametrize(
    ("losses", "patience", "is_at_end"),
    [
        ([], 1, False),
        ([0.5], 1, False),
        ([0.5, 0.6], 1, True),
        ([0.5, 0.5], 1, True),  # as low is not lower
        ([0.5, 0.6, 0.7], 3, False),
        ([0.5, 0.6, 0.4, 0.7], 3, False),
        ([0.5, 0.6, 0.7, 0.8], 3, True),
        ([0.5, float("nan"), float("nan")], 2, True),
        ([0.5], 0, False),  # one epoch cannot be worse than itself
    ],
)
def test_early_stopping(losses: list[float], patience: int, is_at_end: bool) -> None:
    assert Checkpoint(0.7, [], [], {"val_loss": losses}).is_at_end_of(patience) == is_at_end

"""Several trainings that differ in their seed, and the average of their weights."""

import json
from pathlib import Path

import numpy as np
import pytest

from lenslet.cli import main
from lenslet.training.record import read_record
from lenslet.training.seeds import deadline_of, seeds_from
from tests.support.photos import RED, write_class
from tests.training.test_resume import TOLERANCE, command, weights_of, write_params

pytestmark = pytest.mark.slow

PRINTED = "seed {} ({} of 2)\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of two classes that look alike, settings of two epochs, and the weights that all trainings begin with."""
    folder = tmp_path_factory.mktemp("seeds")
    write_class(folder / "photos" / "one", 30, RED)
    write_class(folder / "photos" / "other", 20, RED, first_seed=100)
    write_params(folder / "params.yaml", epochs=2, min_validation_photos=100)
    assert main(["train", *command(folder, "base", "--set", "train.fine_tune.epochs=1")]) == 0
    return folder


def options(folder: Path, out: str, *more: str) -> list[str]:
    return ["train", *command(folder, out, "--weights", folder / "base" / "model.keras", *more)]


def run_of_seed(folder: Path, out: str, seed: int) -> Path:
    """The folder of the one run with that seed."""
    (run,) = (folder / "runs").glob(f"*-{out}-{seed}")
    assert json.loads((run / "run.json").read_text(encoding="utf-8"))["params"]["seed"] == seed
    return run


@pytest.fixture(scope="module")
def averaged(folder: Path) -> list[np.ndarray]:
    """The weights of the average of two trainings, which nothing happens to."""
    assert main(options(folder, "averaged", "--seeds", "2")) == 0
    return weights_of(folder / "averaged" / "model.keras")


def test_average_is_made_of_a_network_of_each_seed(averaged: list[np.ndarray], folder: Path) -> None:
    record = read_record(folder / "averaged")
    assert list(record.seeds) == ["20", "21"]
    assert sum(record.seeds.values()) == pytest.approx(1)
    assert (record.name, record.params.seed) == ("photos", 20)
    parts = [weights_of(run_of_seed(folder, "averaged", int(seed)) / "model.keras") for seed in record.seeds]
    assert max(np.abs(one - other).max() for one, other in zip(*parts, strict=True)) > 1e-3
    for mine, one, other in zip(averaged, *parts, strict=True):
        expected = record.seeds["20"] * one + record.seeds["21"] * other
        np.testing.assert_allclose(mine, expected, atol=1e-6)
    left = {path.name for path in (folder / "averaged").iterdir()}
    assert left == {"model.keras", "training.json", "report"}


def test_share_has_the_lowest_log_loss_of_those_tried(averaged: list[np.ndarray], folder: Path) -> None:
    record = read_record(folder / "averaged")
    tried = record.history["average"]
    assert tried["share"] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1])
    assert len(set(tried["seed"])) == 1
    best = int(np.argmin(tried["log_loss"]))
    assert record.seeds[str(int(tried["seed"][0]))] == tried["share"][best]
    assert record.validation == {name: tried[name][best] for name in ("accuracy", "log_loss")}


def test_killed_run_continues_at_the_seed_it_was_at(
    averaged: list[np.ndarray],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lenslet.training.checkpoint import Checkpointing

    def interrupt(self: Checkpointing, batch: int, logs: object = None) -> None:
        if self._folder.name.endswith("-21") and len(self.checkpoint.losses) == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Checkpointing, "on_train_batch_end", interrupt)
        assert main(options(folder, "killed", "--seeds", "2")) == 130
    printed = capsys.readouterr()
    assert "--resume continues it after 1 epochs" in printed.err
    assert PRINTED.format(21, 2) in printed.out
    assert not (folder / "killed" / "model.keras").exists()

    assert main(options(folder, "killed", "--seeds", "2", "--resume")) == 0
    printed = capsys.readouterr()
    first, _, second = printed.out.partition(PRINTED.format(21, 2))
    assert PRINTED.format(20, 1) in first
    assert "killed-20 was trained with these photos and settings" in first
    assert "after 1 finished epochs" in second
    for mine, expected in zip(weights_of(folder / "killed" / "model.keras"), averaged, strict=True):
        np.testing.assert_allclose(mine, expected, atol=TOLERANCE)

    assert main(options(folder, "killed", "--seeds", "2", "--resume")) == 0
    assert "with these photos, settings and seeds: nothing is left to resume" in capsys.readouterr().out
    assert len(list((folder / "runs").glob("*-killed-*"))) == 2


def test_head_alone_is_trained_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Within half of four minutes."""
    more = ("--seeds", "2", "--no-fine-tune", "--time-budget", "4", "--set", "train.head.solver=logistic")
    assert main(options(folder, "head", *more)) == 0
    printed = capsys.readouterr().out
    assert "--seeds has no effect: the head alone is trained, a logistic regression" in printed
    assert "for each of 2 seeds" in printed
    assert "seed 20" not in printed
    assert read_record(folder / "head").seeds == {}


def test_network_without_weights_is_refused_in_a_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *command(folder, "none", "--seeds", "2")]) == 2
    printed = capsys.readouterr().err
    assert "--seeds averages networks that begin with the same weights, which a backbone without" in printed
    for count in ("0", "-1", "two"):
        with pytest.raises(SystemExit) as ended:
            main(options(folder, "none", "--seeds", count))
        assert ended.value.code == 2
        assert "is not a whole number from 1 to 100" in capsys.readouterr().err


def test_seeds_follow_each_other_and_share_the_time() -> None:
    assert seeds_from(20, 3) == [20, 21, 22]
    assert seeds_from(2**32 - 1, 2) == [2**32 - 1, 0]
    assert [deadline_of(number, 3, 100.0, 160.0) for number in range(3)] == [120, 140, 160]
    assert deadline_of(0, 2, 100.0, float("inf")) == float("inf")

"""Two commands that write into one folder: the second one names the first, and neither mixes its files in."""

import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import yaml

from lenslet.cli import main
from lenslet.dataset.array_file import _verified
from lenslet.inference.artifact import read_artifact, sha256_of, write_artifact
from lenslet.inference.errors import ArtifactError
from lenslet.inference.folder_lock import folder_lock
from lenslet.reporting.model_card import record_figures
from tests.support.endpoint import ROOT
from tests.support.photos import BLUE, RED, write_class

MODEL = ROOT / "model"


@pytest.mark.parametrize(
    "command",
    [
        ["train", "--data", "data/sample", "--no-fine-tune", "--out"],
        ["train", "--data", "data/sample", "--resume", "--out"],
        ["average", "--data", "data/sample", "--first", "model", "--second", "model", "--out"],
        ["convert", "--data", "data/sample", "--model"],
    ],
    ids=lambda command: f"{command[0]} {command[-2]}",
)
def test_folder_that_another_command_writes(command, tmp_path, capsys):
    for name in ("model.keras", "training.json"):
        shutil.copy(MODEL / name, tmp_path / name)
    before = sorted(path.name for path in tmp_path.iterdir())
    with folder_lock(tmp_path, "lenslet train"):
        assert main([*command, str(tmp_path)]) == 2
    assert f"{tmp_path} is being written by lenslet train (process " in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.fixture
def model(tmp_path):
    for name in ("model.json", "model.tflite", "MODEL_CARD.md"):
        shutil.copy(MODEL / name, tmp_path / name)
    return tmp_path


def test_figures_are_not_recorded_with_a_model_that_was_converted_meanwhile(model):
    evaluated = read_artifact(model)
    write_artifact(replace(evaluated, sha256=sha256_of(b"another model")), model)
    before = (model / "model.json").read_bytes()
    with pytest.raises(ArtifactError, match="holds another model than when the evaluation began"):
        record_figures(evaluated, {"accuracy": 0.5}, {}, model)
    assert (model / "model.json").read_bytes() == before


def test_figures_join_those_that_were_recorded_meanwhile(model):
    evaluated = read_artifact(model)
    other = replace(evaluated, metrics={**evaluated.metrics, "elsewhere": {"accuracy": 0.25}})
    write_artifact(other, model)
    record_figures(evaluated, {"accuracy": 0.5, "robustness.blur.1": 0.1}, {"data_fingerprint": "a"}, model)
    metrics = read_artifact(model).metrics
    assert metrics["elsewhere"] == {"accuracy": 0.25}
    assert metrics["test"] == {"accuracy": 0.5, "data_fingerprint": "a"}


@pytest.mark.slow
def test_trainings_of_the_same_second(tmp_path):
    """Two into one folder and one into another, with one cache: one is refused, two end as if alone."""
    write_class(tmp_path / "photos" / "red", 20, RED)
    write_class(tmp_path / "photos" / "blue", 20, BLUE)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["train"]["image_size"] = 32
    params["train"]["backbone"] = {"name": "small_cnn", "weights": "none", "layers_unfrozen": "all"}
    params["train"]["fine_tune"] |= {"epochs": 1, "batch_size": 8, "min_steps_per_epoch": 1}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    places = ("--data", "photos", "--params", "params.yaml")
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "lenslet", "train", *places, "--out", out],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": "off", "PATH": "/usr/bin:/bin"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for out in ("one", "one", "other")
    ]
    said = [process.communicate(timeout=300) for process in started]
    codes = [process.returncode for process in started]
    assert sorted(codes[:2]) == [0, 2], said
    assert codes[2] == 0, said
    refused = said[codes.index(2)][1]
    assert "one is being written by lenslet train (process " in refused
    assert "Traceback" not in "".join(errors for _, errors in said)
    assert len(list((tmp_path / "runs").iterdir())) == 2
    (pixels,) = (tmp_path / ".cache").glob("pixels-*.npy")
    assert _verified(pixels) is not None
    assert all(np.any(pixels) for pixels in _verified(pixels)[:])

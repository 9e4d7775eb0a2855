"""The training container on spot instances: a killed job goes on, and the checkpoints of others are not in its way."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra import training_inputs
from tests.support.endpoint import ROOT

# The container, with another folder in the place of /opt/ml.
TRAIN = """
import sys
from pathlib import Path
from infra.sagemaker import container
container.ML = Path(sys.argv[1])
sys.exit(container.main(["train"]))
"""
# Three convolutions, which learn slowly enough to be killed between two epochs.
SETTINGS = {
    "train.backbone.name": "small_cnn",
    "train.image_size": "64",
    "train.fine_tune.epochs": "12",
    "train.fine_tune.patience": "12",
    "train.augmentation.flip": "none",
}

pytestmark = pytest.mark.slow


def new_job(ml: Path, **changes: str) -> list[str]:
    """Folders as SageMaker fills them at the start of a job. Returns: the command that it runs."""
    for name in ("input", "work", "model"):
        shutil.rmtree(ml / name, ignore_errors=True)
    channels = ml / "input" / "data"
    shutil.copytree(ROOT / "data" / "sample", channels / "photos")
    (channels / "params").mkdir()
    params = Path(shutil.copy(ROOT / "params.yaml", channels / "params"))
    training_inputs.set_params(SETTINGS | changes, params)
    (ml / "input" / "config").mkdir()
    (ml / "input" / "config" / "hyperparameters.json").write_text('{"weights": "none"}')
    return [sys.executable, "-c", TRAIN, str(ml)]


def test_killed_training_goes_on_and_others_start_afresh(tmp_path: Path) -> None:
    ml, options = tmp_path / "ml", {"cwd": ROOT, "text": True, "env": environment(tmp_path)}
    command = new_job(ml)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options) as job:  # type: ignore[call-overload]
        while not has_epoch(ml / "checkpoints"):
            assert job.poll() is None, job.stdout.read()
            time.sleep(0.05)
        job.send_signal(signal.SIGKILL)  # two minutes after the warning, which nothing waits for
    assert not (ml / "model").exists()
    shutil.copytree(ml / "checkpoints", tmp_path / "kept")

    again = subprocess.run(new_job(ml), capture_output=True, **options)  # type: ignore[call-overload]
    assert again.returncode == 0, again.stdout + again.stderr
    done = int(re.search(r"resuming .* after (\d+) finished epochs", again.stdout)[1])  # type: ignore[index]
    assert 1 <= done < 12
    history = json.loads((ml / "model" / "training.json").read_text(encoding="utf-8"))["history"]
    assert len(history["fine_tune"]["val_loss"]) == 12

    # Another training of the same pipeline finds the checkpoints of the one that was given up.
    shutil.rmtree(ml / "checkpoints")
    shutil.copytree(tmp_path / "kept", ml / "checkpoints")
    other = subprocess.run(new_job(ml, **{"train.fine_tune.epochs": "1"}), capture_output=True, **options)  # type: ignore[call-overload]
    assert other.returncode == 0, other.stdout + other.stderr
    assert "nothing to resume" in other.stdout


def has_epoch(runs: Path) -> bool:
    """Whether a training has written its checkpoint after an epoch, and so a row of its log."""
    return any(len(log.read_text().splitlines()) > 1 for log in runs.glob("*/*/log.csv"))


def environment(home: Path) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": str(home), "MLFLOW_TRACKING_URI": "off", "PYTHONPATH": str(ROOT)}

"""`lenslet retrain` with its real stages, killed in each of them: the next one goes on there, and comes to an end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lenslet.labelling.retraining import REFUSED, REGISTERED, STAGES
from tests.support.endpoint import ROOT
from tests.support.retraining import LABELS, SAMPLE, negative, write_labels

pytestmark = pytest.mark.slow

MODEL = ROOT / "model"
WORDS = ("--model", str(MODEL), "--weights", str(MODEL / "model.keras"), "--no-fine-tune", "--labels")
QUICK = (
    "--set",
    "convert.explanation_photos=0",
    "--set",
    "convert.precisions=[float16]",
    "--set",
    "evaluate.corruption_photos=0",
    "--set",
    "gate.min.accuracy=0",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawings, and two negatives of each class that are labelled."""
    place = tmp_path_factory.mktemp("retrain")
    shutil.copytree(SAMPLE, place / "photos", ignore=shutil.ignore_patterns("unlabelled"))
    for scene in sorted((SAMPLE / "train").iterdir()):
        for path in sorted(scene.iterdir())[:2]:
            negative(path, place / "new" / f"{scene.name}-{path.name}")
    write_labels(place / LABELS)
    return place


def start(place: Path) -> "subprocess.Popen[str]":
    words = ["--data", place / "photos", "--folder", place / "out", "--cache", place / "cache"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("MLFLOW_TRACKING_URI", None)  # else off; the registry is .mlflow/ in the folder
    return subprocess.Popen(
        [sys.executable, "-m", "lenslet", "retrain", *map(str, words), *WORDS, str(place / LABELS), *QUICK],
        cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def kill_in(word: str, place: Path) -> list[str]:
    """Kill it a second after it has begun a command with this word. Returns: the stages that it began."""
    process = start(place)
    while process.poll() is None:
        if begun := [child for child in psutil.Process(process.pid).children() if is_with(word, child)]:
            break
        time.sleep(0.05)
    assert process.poll() is None, process.communicate()
    time.sleep(1)
    process.send_signal(signal.SIGKILL)
    printed, _ = process.communicate()
    psutil.wait_procs(begun, timeout=60)
    assert not [each for each in begun if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    return stages_in(printed)


def is_with(word: str, process: psutil.Process) -> bool:
    try:
        return word in process.cmdline()
    except psutil.Error:  # it has ended
        return False


def stages_in(printed: str) -> list[str]:
    return [line.removesuffix(" …") for line in printed.splitlines() if line.removesuffix(" …") in STAGES]


def test_killed_in_each_stage_it_goes_on_there_and_ends(place: Path) -> None:
    assert kill_in("train", place) == ["train"]
    assert kill_in("convert", place) == ["train", "convert"]
    assert kill_in("evaluate", place) == ["convert", "evaluate"]
    assert kill_in("--no-record", place) == ["evaluate"]  # of the model in use
    process = start(place)
    printed, said = process.communicate(timeout=600)
    assert process.returncode in (0, 1), said
    assert stages_in(printed)[:1] in ([], ["register"])
    # The model in use was trained on photographs: it is measured on the drawings, too.
    assert f"so {MODEL} is measured on the photos of this training" in printed
    state = json.loads((place / "out/state.json").read_text())
    assert state["result"] in (REGISTERED, REFUSED)
    figures = state["figures"]
    assert figures["before"]["photos"] == figures["after"]["photos"] == 60
    assert figures["before"]["version"] != figures["after"]["version"]
    again = start(place)
    assert "nothing is new: 12 labels" in again.communicate(timeout=120)[0]

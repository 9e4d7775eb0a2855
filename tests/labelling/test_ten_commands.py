"""The ten commands of docs/loop.md, as they stand there, with a real Label Studio and a real endpoint."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lenslet.labelling.label_studio import LabelStudio
from tests.support.documents import section, shell_lines
from tests.support.endpoint import running
from tests.support.label_studio import ROOT, TOKEN
from tests.support.label_studio import running as running_label_studio

pytestmark = pytest.mark.slow

COMMANDS = shell_lines(section("docs/loop.md", "Ten commands, on the drawings"))[-10:]


@pytest.fixture(scope="module")
def loop(first_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("loop")
    shutil.copytree(first_model, place, dirs_exist_ok=True)
    (place / "corrections").mkdir()
    return place


@pytest.fixture(scope="module")
def studio(loop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    with running_label_studio(tmp_path_factory.mktemp("label-studio"), loop) as address:
        yield LabelStudio(address, TOKEN)


def run(line: str, place: Path, studio: LabelStudio, endpoint: str) -> str:
    """A line of the document in bash, where `lenslet` is this checkout's."""
    bin_folder = place / "bin"
    bin_folder.mkdir(exist_ok=True)
    program = bin_folder / "lenslet"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m lenslet "$@"\n')
    program.chmod(0o755)
    settings = {
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "LABEL_STUDIO_URL": studio.url,
        "LABEL_STUDIO_TOKEN": TOKEN,
    }
    environment = os.environ | settings
    environment.pop("MLFLOW_TRACKING_URI", None)  # else off; the registry is .mlflow/ in the folder
    line = line.replace("http://127.0.0.1:8080", endpoint)
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def label_everything(studio: LabelStudio, title: str) -> int:
    """What a reviewer does: the scene is in a negative's name, and a correction is right."""
    project = studio.project(title)
    assert project
    tasks = studio.tasks(int(project["id"]))
    for task in tasks:
        name = Path(task["data"]["path"]).name
        studio.annotate(task["id"], name.partition("-")[0] if "-" in name else "sea")
    return len(tasks)


def right(place: Path, model: str) -> int:
    """How many of the 36 negatives that trained neither model are recognised."""
    words = ["evaluate", "--data", place / "negatives", "--all", "--model", place / model, "--json"]
    words += ["--cache", place / ".cache", "--report", place / "judged" / model, "--no-record"]
    words += ["--set", "evaluate.corruption_photos=0"]
    done = subprocess.run(
        [sys.executable, "-m", "lenslet", *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return round(36 * json.loads(done.stdout)["accuracy"])


def test_second_model_is_better_on_what_was_corrected(
    loop: Path, studio: LabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(COMMANDS) == 10
    monkeypatch.setenv("LENSLET_FEEDBACK", str(loop / "corrections"))
    said = []
    with running("--model", str(loop / "first"), "--workers", "1") as (endpoint, _):
        for number, line in enumerate(COMMANDS, start=1):
            if number == 5:
                assert label_everything(studio, "corrections") == 1
                assert label_everything(studio, "negatives") >= 20  # of those out of distribution a few
            said.append(run(line, loop, studio, endpoint))
    assert '"id"' in said[0]
    assert "1 photos to review" in said[1]
    assert "registered" in said[6]
    before, after = right(loop, "first"), right(loop, "second")
    print(f"of 36 negatives: {before} before, {after} after")
    assert after > before
    figures = json.loads((loop / "out" / "retrain" / "state.json").read_text())["figures"]
    assert figures["after"]["accuracy"] >= figures["before"]["accuracy_low"]

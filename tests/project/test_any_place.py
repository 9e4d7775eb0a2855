"""Projects and photos in folders with any name: nothing lands elsewhere, and printed commands can be pasted."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from lenslet.cli import main
from lenslet.commands.output import command_line
from lenslet.tuning.study import _storage
from tests.support.photos import GREEN, RED, write_class

NAMES = ("with spaces", "100%20", "what?", "#1", "a&b", "猫", "it's", 'say "x"', "a b%20?#&é猫'", "$HOME;x")
ROOT = Path(__file__).parents[2]

TRACKING = """
import os
from lenslet.registry.mlflow_client import open_client

os.environ.pop("MLFLOW_TRACKING_URI", None)
client = open_client()
print(len(client.search_experiments()))
"""


@pytest.fixture(params=NAMES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / request.param).mkdir()
    return tmp_path / str(request.param)


def test_study_is_stored_in_its_file(folder: Path) -> None:
    _storage(str(folder / "tune.db"))
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert (folder / "tune.db").stat().st_size > 0


def test_printed_command_can_be_pasted(folder: Path) -> None:
    line = command_line("printf", "%s", folder / "photos")
    pasted = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    assert pasted.stdout == str(folder / "photos")
    assert shlex.split(line)[-1] == str(folder / "photos")


def test_photos_are_read_and_listed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_class(folder / "photos" / folder.name, 12, RED)
    write_class(folder / "photos" / "green", 12, GREEN, first_seed=50)
    monkeypatch.chdir(folder)
    assert main(["lint", "photos", "--weights", "none", "--set", "train.image_size=16"]) == 0
    assert "24 files found (a folder per class): 24 photos used, 0 left out" in capsys.readouterr().out
    written = (folder / "report" / "lint-photos").iterdir()
    assert sorted(path.name for path in written) == ["lint.csv", "lint.html"]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.slow
def test_tracking_database_is_in_the_folder(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRACKING],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (folder / ".mlflow" / "mlflow.db").stat().st_size > 0
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


RECORDER = """#!{python}
import json, os, sys, time
for _ in range(200):  # `make demo` stops its server after the smoke check
    if "test" not in sys.argv or os.path.exists({log!r}) and "serve" in open({log!r}).read():
        break
    time.sleep(0.1)
with open({log!r}, "a") as log:
    log.write(json.dumps([os.environ.get({variable!r}, ""), *sys.argv[1:]] if {variable!r} else sys.argv[1:]) + "\\n")
for place in {outputs!r}:
    os.makedirs(os.path.dirname(place) or ".", exist_ok=True)
    open(place, "w").close()
"""


def record_calls(path: Path, log: Path, outputs: Sequence[str] = (), variable: str = "") -> None:
    """A program at `path` that writes its arguments into `log`, behind the value of `variable`, and makes `outputs`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        RECORDER.format(python=sys.executable, log=str(log), outputs=list(outputs), variable=variable)
    )
    path.chmod(0o755)


def calls(log: Path) -> list[list[str]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_make_passes_data_and_model_on(folder: Path, tmp_path: Path) -> None:
    """With the project in the folder, and its name for the photos and the model, too."""
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "requirements").mkdir()
    for environment in (".venv", ".venv-serve"):
        record_calls(folder / environment / "bin" / "python", tmp_path / "log")
        (folder / environment / "installed").touch()
    for name in ("requirements.txt", "requirements/serve.txt"):
        (folder / name).touch()
        os.utime(folder / name, (0, 0))
    written = folder.name.replace("$", "$$")  # as the user of make has to
    variables = [f"DATA={written}", f"MODEL={written}"]
    command = ["make", "tune", "demo", *variables, f"PYTHON={sys.executable}"]
    settings = {**os.environ, "MAKEFLAGS": "", "MAKELEVEL": "0"}
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True)
    called = calls(tmp_path / "log") if (tmp_path / "log").exists() else done.stdout + done.stderr
    assert ["-m", "lenslet", "tune", "--data", folder.name] in called
    assert ["-m", "lenslet", "serve", "--port", "8080", "--model", folder.name] in called


@pytest.mark.parametrize("has_samples", [True, False])
def test_make_page_shows_the_samples_of_the_model(folder: Path, tmp_path: Path, has_samples: bool) -> None:
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "requirements").mkdir()
    (folder / "requirements" / "page.txt").touch()
    os.utime(folder / "requirements" / "page.txt", (0, 0))
    record_calls(folder / ".venv-page" / "bin" / "streamlit", tmp_path / "log", [], "LENSLET_SAMPLES")
    (folder / ".venv-page" / "installed").touch()
    if has_samples:
        (folder / folder.name / "samples").mkdir(parents=True)
    written = folder.name.replace("$", "$$")
    command = ["make", "page", f"MODEL={written}", f"PYTHON={sys.executable}"]
    settings = {**os.environ, "MAKEFLAGS": "", "MAKELEVEL": "0"}
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [called] = calls(tmp_path / "log")
    assert called[0] == (f"{folder.name}/samples" if has_samples else "")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NAMES, "`id`", "back\\slash"])
def test_dvc_passes_the_photos_on(name: str, tmp_path: Path) -> None:
    """The stages of dvc.yaml, whose commands only write down what they were given."""
    project = tmp_path / name
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    pipeline["vars"][0]["photos"]["data"] = name
    outputs = [out for stage in pipeline["stages"].values() for out in stage.get("outs", ())]
    outputs = [out if Path(out).suffix else f"{out}/metrics.json" for out in outputs]
    pipeline["stages"] = {
        stage: keys | {"deps": ["${photos.data}"]} for stage, keys in pipeline["stages"].items()
    }
    write_class(project / name, 1, RED)
    (project / "dvc.yaml").write_text(yaml.safe_dump(pipeline))
    shutil.copy(ROOT / "params.yaml", project)
    record_calls(tmp_path / "bin" / "python", tmp_path / "log", outputs)
    settings = {**os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    for arguments in (["init", "--quiet", "--no-scm"], ["repro"]):
        command = [sys.executable, "-m", "dvc", *arguments]
        done = subprocess.run(command, cwd=project, env=settings, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    given = [call[call.index("--data") + 1] for call in calls(tmp_path / "log") if "--data" in call]
    assert given == [name] * 3
    assert (project / "dvc.lock").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["bin", "log", name])

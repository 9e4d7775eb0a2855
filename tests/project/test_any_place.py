"""Projects and photos in folders with any name: nothing lands elsewhere, and printed commands can be pasted."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

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
    assert sorted(path.name for path in (folder / "report").iterdir()) == ["lint.csv", "lint.html"]
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

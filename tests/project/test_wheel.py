"""The wheel in an empty environment, used from another folder: what works without a checkout."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from lenslet.shipped import PLACES, shipped
from tests.support.containers import ROOT

MEGABYTES = 14  # the served model has 4.5, the ImageNet weights 7.1: 11.5 in all
# What the wheel is built from.
SOURCES = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "lambda_func.py",
    "lenslet",
    "params.yaml",
    "openapi.yaml",
)
FOLDERS = ("model", "data/sample")


def test_shipped_files_are_those_of_the_checkout() -> None:
    assert {name: shipped(name) for name in PLACES} == {
        "model": Path("model"),
        "params.yaml": Path("params.yaml"),
        "openapi.yaml": Path("openapi.yaml"),
        "sample": Path("data/sample"),
    }


def test_shipped_files_are_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shipped("model") == ROOT / "model"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make wheel` does, of a copy: a build writes beside the sources."""
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES + FOLDERS:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "."], cwd=folder, check=True)
    [built] = (folder / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def commands(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment that holds the wheel and what `[serve]` asks for. Needs PyPI."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    command = [folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", f"{wheel}[serve]"]
    subprocess.run(command, env=environment(), check=True)
    return folder / "bin"


def environment() -> dict[str, str]:
    """This process's, less what would lead the other Python back here."""
    left_out = ("PYTHON", "VIRTUAL_ENV", "LENSLET_")
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)}


def run(commands: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [commands / "lenslet", *words], cwd=folder, env=environment(), capture_output=True, text=True
    )


@pytest.mark.slow
def test_wheel_holds_the_model_and_is_small(wheel: Path) -> None:
    assert wheel.name == "lenslet-0.2.0-py3-none-any.whl"
    assert wheel.stat().st_size < MEGABYTES * 1e6
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        packed = archive.read("lenslet/shipped/model/model.tflite")
    assert packed == (ROOT / "model/model.tflite").read_bytes()
    assert {"lenslet/reporting/report.html", "lenslet/serving/openapi.json"} <= set(names)
    assert not [name for name in names if name.startswith(("tests", "infra", "bench", "frontend", "fuzz"))]


@pytest.mark.slow
def test_installed_wheel_says_its_version(commands: Path, tmp_path: Path) -> None:
    done = run(commands, tmp_path, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, "lenslet 0.2.0\n", "")


@pytest.mark.slow
def test_installed_wheel_classifies_photos_with_the_shipped_model(commands: Path, tmp_path: Path) -> None:
    done = run(commands, tmp_path, "predict", str(ROOT / "data/sample/unlabelled"))
    assert done.returncode == 0, done.stderr
    assert "12 of 12 files classified" in done.stdout


@pytest.mark.slow
def test_installed_wheel_serves_and_checks_what_it_serves(commands: Path, tmp_path: Path) -> None:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port = asked.getsockname()[1]
    serve = subprocess.Popen(
        [commands / "lenslet", "serve", "--port", str(port)],
        cwd=tmp_path, env={**environment(), "LENSLET_LOG_LEVEL": "WARNING"},
    )  # fmt: skip
    try:
        done = run(commands, tmp_path, "test", f"http://127.0.0.1:{port}", "--wait", "30")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "All checks passed." in done.stdout
        assert "sample/test/forest/00.jpg" in done.stdout
    finally:
        serve.terminate()
        serve.wait(timeout=30)

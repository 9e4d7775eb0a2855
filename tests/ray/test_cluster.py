"""Batches on a real Ray cluster, in an environment of its own: the rows are those of this computer alone."""

import os
import subprocess
from pathlib import Path

import pytest

from lenslet.cli import main
from tests.support.batch import links

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-ray" / "bin" / "python"

pytestmark = pytest.mark.slow


def on_ray(*words: object) -> "subprocess.CompletedProcess[str]":
    assert PYTHON.exists(), "make .venv-ray/installed"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    return subprocess.run(
        [PYTHON, *map(str, words)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150
    )


def parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("part-*")}


def test_killed_node_changes_no_row(tmp_path: Path) -> None:
    photos = links(tmp_path / "photos", 300)
    (photos / "notes.txt").write_text("no photo")
    done = on_ray(ROOT / "tests/ray/run_cluster.py", photos, tmp_path / "ray", "kill")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "killed" in done.stderr
    assert "300 of 301 files classified" in done.stdout
    words = ["--out", str(tmp_path / "here"), "--part-photos", "25", "--model", str(ROOT / "model")]
    assert main(["predict", str(photos), *words]) == 0
    assert parts(tmp_path / "ray") == parts(tmp_path / "here")

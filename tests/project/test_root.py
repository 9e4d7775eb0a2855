"""The root of the repository: what is there, and that it stays a short list."""

import subprocess

from tests.support.containers import ROOT

NAMES = {
    "data",
    "notebook.ipynb",
    "train.py",
    "convert.py",
    "lambda_func.py",
    "Dockerfile",
    "test.py",
    "frontend",
}


def test_root_is_a_short_list() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    entries = {name.split("/")[0] for name in listed.stdout.split("\0") if name}
    assert len(entries) <= 36
    assert NAMES | {"tests", "requirements.txt"} <= entries
    assert not [name for name in entries if name.endswith(".egg-info")]

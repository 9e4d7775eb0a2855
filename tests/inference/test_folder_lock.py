"""Two commands that would write into the same folder."""

import signal
import subprocess
import sys

import pytest

from lenslet.inference.errors import InputError
from lenslet.inference.folder_lock import folder_lock
from tests.support.endpoint import ROOT

HOLD = """
import sys, time
from pathlib import Path
from lenslet.inference.folder_lock import folder_lock
with folder_lock(Path(sys.argv[1]), "lenslet train"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_second_command_names_the_first(tmp_path):
    folder = tmp_path / "out"
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "held\n"
        sentence = rf"out is being written by lenslet train \(process {other.pid}\): wait for it"
        with pytest.raises(InputError, match=sentence), folder_lock(folder, "lenslet train"):
            pass
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
    with folder_lock(folder, "lenslet train"):  # what a killed process held is free
        assert not folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_folders_have_locks_of_their_own(tmp_path):
    with folder_lock(tmp_path / "one", "a"), folder_lock(tmp_path / "other", "b"):
        pass
    with folder_lock(tmp_path / "one", "a"):
        pass

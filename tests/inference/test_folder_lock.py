"""Two commands that would write into the same folder."""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from lenslet.inference.errors import InputError
from lenslet.inference.folder_lock import LOCK_NAME, folder_lock
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
        host = re.escape(socket.gethostname())
        sentence = (
            rf"out is being written by lenslet train \(process {other.pid} on {host} since 20.* UTC\): wait"
        )
        with pytest.raises(InputError, match=sentence), folder_lock(folder, "lenslet train"):
            pass
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
    with folder_lock(folder, "lenslet train"):  # what a killed process held is free
        pass
    assert list(folder.iterdir()) == []


def test_name_that_is_written_a_moment_later_is_waited_for(tmp_path, monkeypatch):
    with folder_lock(tmp_path, "lenslet train"):
        name = (tmp_path / LOCK_NAME).read_text()
        (tmp_path / LOCK_NAME).write_text("")
        pauses = []

        def write_meanwhile(pause_s):
            pauses.append(pause_s)
            if len(pauses) == 2:
                (tmp_path / LOCK_NAME).write_text(name)

        monkeypatch.setattr("time.sleep", write_meanwhile)
        named = r"is being written by lenslet train \(process "
        with pytest.raises(InputError, match=named), folder_lock(tmp_path, "lenslet convert"):
            pass
        (tmp_path / LOCK_NAME).write_text("")
        unnamed = "is being written by another process: "
        with pytest.raises(InputError, match=unnamed), folder_lock(tmp_path, "lenslet convert"):
            pass


def test_new_folder_goes_where_nothing_was_written(tmp_path):
    with folder_lock(tmp_path / "a" / "out", "lenslet train"):
        assert (tmp_path / "a" / "out").is_dir()
    assert not (tmp_path / "a" / "out").exists()


def test_lock_lies_in_the_folder_that_containers_share(tmp_path):
    """Beside it, each container would have its own."""
    with folder_lock(tmp_path, "lenslet train"):
        assert [path.name for path in tmp_path.iterdir()] == [LOCK_NAME]


@pytest.mark.skipif(os.getuid() != 0, reason="needs another user")
def test_lock_left_by_another_user_does_not_block(tmp_path):
    tmp_path.chmod(0o777)
    for parent in list(tmp_path.parents)[:-2]:
        parent.chmod(0o755)
    (tmp_path / LOCK_NAME).write_text("lenslet train (process 1 on elsewhere)")
    (tmp_path / LOCK_NAME).chmod(0o644)
    code = (
        "import os, sys; from pathlib import Path; from lenslet.inference.folder_lock import folder_lock\n"
        "os.setuid(65534)\nwith folder_lock(Path(sys.argv[1]), 'x'): print('held')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "held\n", done.stderr


def test_folders_have_locks_of_their_own(tmp_path):
    with folder_lock(tmp_path / "one", "a"), folder_lock(tmp_path / "other", "b"):
        pass
    with folder_lock(tmp_path / "one", "a"):
        pass

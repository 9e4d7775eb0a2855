"""Files replaced in one step; devices, pipes and links stay what they are."""

import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lenslet.inference.atomic import replacing, write_text


def test_device_is_written_into_and_stays(tmp_path: Path) -> None:
    # A link, so that a failure of this test replaces the link and not the machine's device.
    link = tmp_path / "null"
    link.symlink_to(os.devnull)
    write_text(link, "text")
    assert link.is_symlink()
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


def test_pipe_is_written_into(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_text(path, "text")
    assert os.read(reader, 10) == b"text"
    os.close(reader)
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "real.txt"
    target.write_text("old")
    (tmp_path / "link.txt").symlink_to(target)
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert target.read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.txt", "real.txt"]


def test_temporary_names_are_unique_and_their_files_exist(tmp_path: Path) -> None:
    """Also in two containers that share a folder, where both processes have the id 1."""
    with replacing(tmp_path / "a.npy") as one, replacing(tmp_path / "a.npy") as two:
        assert one != two
        assert one.suffix == two.suffix == ".npy"
        assert one.exists()
        one.write_bytes(b"one")
        two.write_bytes(b"two")
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]
    assert (tmp_path / "a.npy").read_bytes() == b"one"  # renamed last


def test_writers_in_two_process_namespaces_do_not_meet(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom lenslet.inference.atomic import replacing\n"
        "with replacing(Path(sys.argv[1])) as path:\n"
        "    print(path, flush=True)\n    sys.stdin.read()\n    path.write_text('x')"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "a.txt")]
    isolated = ["unshare", "--pid", "--fork"]
    if shutil.which("unshare") and subprocess.run([*isolated, "true"], capture_output=True).returncode == 0:
        command = [*isolated, *command]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as two:
        assert one.stdout.readline() != two.stdout.readline()
        one.communicate()
        two.communicate()
    assert (one.returncode, two.returncode) == (0, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_file_has_the_usual_mode(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_text(tmp_path / "note.txt", "x")
    assert (tmp_path / "note.txt").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_long_names_leave_room_for_the_temporary_one(tmp_path: Path) -> None:
    write_text(tmp_path / f"{'n' * 250}.txt", "x")
    assert len(list(tmp_path.iterdir())) == 1


def test_leftovers_of_dead_writers_are_removed_after_a_day(tmp_path: Path) -> None:
    names = {
        ".a.0123456789abcdef.partial.npy": 25,
        ".b.4711.partial.npy": 25,  # of version 0.1.0
        ".c.fedcba9876543210.partial": 25,
        ".d.0123456789abcdef.partial.npy": 23,  # its writer may be alive
        ".e.partial.npy": 25,  # somebody else's
        "f.0123456789abcdef.partial.npy": 25,
    }
    for name, hours in names.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, times=(time.time() - hours * 3600,) * 2)
    write_text(tmp_path / "note.txt", "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*list(names)[3:], "note.txt"])


def test_full_disk_is_said_with_the_name_of_the_file(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: '.*/note\.txt'"):
            write_text(tmp_path / "note.txt", "x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_full_device_is_said_with_its_name() -> None:
    with (
        pytest.raises(OSError, match=r"No space left on device: '/dev/full'"),
        replacing(Path("/dev/full")) as file,
    ):
        file.write_text("something")

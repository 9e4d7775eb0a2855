"""Files replaced in one step; devices, pipes and links stay what they are."""

import os
import stat
from pathlib import Path

from lenslet.inference.atomic import write_text


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

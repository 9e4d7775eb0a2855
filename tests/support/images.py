"""Fixtures of the project's images, built once for all tests that have this module in `pytest_plugins`."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.containers import ROOT, Builder

MEMORY = Path("/dev/shm")  # noqa: S108  # a folder with a random name is made in it
ROOM_BYTES = 3_000_000_000


@pytest.fixture(scope="session")
def function_builder() -> Iterator[Builder]:
    yield from building(ROOT / "Dockerfile", ROOT / ".dockerignore")


@pytest.fixture(scope="session")
def page_builder() -> Iterator[Builder]:
    dockerfile = ROOT / "frontend" / "Dockerfile"
    yield from building(dockerfile, dockerfile.with_name("Dockerfile.dockerignore"))


def building(dockerfile: Path, dockerignore: Path) -> Iterator[Builder]:
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the images hold Python 3.11, whose wheels another Python cannot install")
    # Half a gigabyte in 20,000 files: a slow disk takes minutes to write and delete them.
    with tempfile.TemporaryDirectory(dir=MEMORY if is_roomy(MEMORY) else None) as folder:
        yield Builder(dockerfile, dockerignore, Path(folder))


def is_roomy(folder: Path) -> bool:
    """Whether gigabytes of programs can be stored and executed there."""
    if not folder.is_dir() or not os.access(folder, os.W_OK) or os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return False
    return shutil.disk_usage(folder).free > ROOM_BYTES

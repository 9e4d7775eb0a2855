"""The pixel cache: decoded once, kept by content, never half-written."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import training.pixels
from inference.decode import decode
from tests.photos import BLUE, GREEN, RED, plain
from training.pixels import CacheFull, cached_pixels, read_all


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    written = []
    for name, content in (("a", plain(RED)), ("b", b"no picture"), ("c", plain(GREEN))):
        written.append(tmp_path / name)
        written[-1].write_bytes(content)
    return written


def no_decoding(data: bytes, size: int) -> None:
    raise AssertionError("decoded although the cache has it")


def test_rows_are_decoded_and_failures_are_named(paths: list[Path], tmp_path: Path) -> None:
    pixels, unreadable = cached_pixels(read_all(paths), 4, tmp_path / "cache")
    assert pixels.shape == (3, 4, 4, 3)
    assert pixels[0, 0, 0].tolist() == [255, 0, 0]
    assert pixels[2, 3, 3].tolist() == [0, 255, 0]
    assert list(unreadable) == [1]
    assert unreadable[1].startswith("the data are not an image we read")


def test_second_run_decodes_nothing(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = cached_pixels(read_all(paths), 4, tmp_path / "cache")
    monkeypatch.setattr(training.pixels, "decode", no_decoding)
    second, unreadable = cached_pixels(read_all(paths), 4, tmp_path / "cache")
    np.testing.assert_array_equal(first, second)
    assert list(unreadable) == [1]


def test_changed_photo_and_changed_size_are_decoded_again(paths: list[Path], tmp_path: Path) -> None:
    cached_pixels(read_all(paths), 4, tmp_path / "cache")
    paths[0].write_bytes(plain(BLUE))
    pixels, _ = cached_pixels(read_all(paths), 4, tmp_path / "cache")
    assert pixels[0, 0, 0].tolist() == [0, 0, 255]
    assert cached_pixels(read_all(paths), 6, tmp_path / "cache")[0].shape == (3, 6, 6, 3)


def test_failure_in_the_middle_leaves_no_cache(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_at_the_end(data: bytes, size: int) -> object:
        if data == plain(GREEN):
            raise MemoryError("out of memory")
        return decode(data, size)

    monkeypatch.setattr(training.pixels, "decode", fails_at_the_end)
    with pytest.raises(MemoryError, match="out of memory"):
        cached_pixels(read_all(paths), 4, tmp_path / "cache")
    assert list((tmp_path / "cache").glob("*.npy")) == []
    assert list((tmp_path / "cache").glob(".*")) == []


def no_room(descriptor: int, offset: int, length: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_is_one_sentence_before_anything_is_decoded(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", no_room)
    monkeypatch.setattr(training.pixels, "decode", no_decoding)
    with pytest.raises(CacheFull, match=r"cache has no room for 2 MB .*No space left on device.* --cache"):
        cached_pixels(read_all(paths), 460, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


SMALL_DISK = """
import resource, sys
from pathlib import Path
from training.pixels import CacheFull, cached_pixels, read_all

resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
contents = read_all([Path(path) for path in sys.argv[2:]])
for side, fits in ((64, True), (128, False)):  # 37 KB and 147 KB
    try:
        pixels, _ = cached_pixels(contents, side, Path(sys.argv[1]))
        assert fits and pixels[0, 0, 0].tolist() == [255, 0, 0]
    except CacheFull:
        assert not fits
"""


def test_limit_of_the_system_itself_leaves_no_half_cache(paths: list[Path], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    subprocess.run([sys.executable, "-c", SMALL_DISK, cache, *paths], check=True)
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy"]  # those that had room

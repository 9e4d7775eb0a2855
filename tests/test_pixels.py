"""The pixel cache: decoded once, kept by content, never half-written."""

from pathlib import Path

import numpy as np
import pytest

import training.pixels
from inference.decode import decode
from tests.photos import BLUE, GREEN, RED, plain
from training.pixels import cached_pixels, read_all


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

"""The pixel cache: decoded once, kept by content, never half-written."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import lenslet.dataset.pixel_cache
from lenslet.dataset.array_file import ArrayFile, CacheFull, new_array
from lenslet.dataset.pixel_cache import cached_pixels, read_all
from lenslet.inference.decode import decode
from tests.support.photos import BLUE, GREEN, RED, plain, write_class


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
    assert pixels[0][0, 0].tolist() == [255, 0, 0]
    assert pixels[2][3, 3].tolist() == [0, 255, 0]
    assert list(unreadable) == [1]
    assert unreadable[1].startswith("the data are not an image we read")


def test_second_run_decodes_nothing(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = cached_pixels(read_all(paths), 4, tmp_path / "cache")
    monkeypatch.setattr(lenslet.dataset.pixel_cache, "decode", no_decoding)
    second, unreadable = cached_pixels(read_all(paths), 4, tmp_path / "cache")
    np.testing.assert_array_equal(first, second)
    assert list(unreadable) == [1]


def test_changed_photo_and_changed_size_are_decoded_again(paths: list[Path], tmp_path: Path) -> None:
    cached_pixels(read_all(paths), 4, tmp_path / "cache")
    paths[0].write_bytes(plain(BLUE))
    pixels, _ = cached_pixels(read_all(paths), 4, tmp_path / "cache")
    assert pixels[0][0, 0].tolist() == [0, 0, 255]
    assert cached_pixels(read_all(paths), 6, tmp_path / "cache")[0].shape == (3, 6, 6, 3)


def test_failure_in_the_middle_leaves_no_cache(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_at_the_end(data: bytes, size: int) -> object:
        if data == plain(GREEN):
            raise MemoryError("out of memory")
        return decode(data, size)

    monkeypatch.setattr(lenslet.dataset.pixel_cache, "decode", fails_at_the_end)
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
    monkeypatch.setattr(lenslet.dataset.pixel_cache, "decode", no_decoding)
    with pytest.raises(CacheFull, match=r"cache has no room for 2 MB .*No space left on device.* --cache"):
        cached_pixels(read_all(paths), 460, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


SMALL_DISK = """
import resource, sys
from pathlib import Path
from lenslet.dataset.array_file import CacheFull
from lenslet.dataset.pixel_cache import cached_pixels, read_all

resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
contents = read_all([Path(path) for path in sys.argv[2:]])
for side, fits in ((64, True), (128, False)):  # 37 KB and 147 KB
    try:
        pixels, _ = cached_pixels(contents, side, Path(sys.argv[1]))
        assert fits and pixels[0][0, 0].tolist() == [255, 0, 0]
    except CacheFull:
        assert not fits
"""


def test_limit_of_the_system_itself_leaves_no_half_cache(paths: list[Path], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    subprocess.run([sys.executable, "-c", SMALL_DISK, cache, *paths], check=True)
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy"]  # those that had room


# --- rows in a file


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """Four rows of two numbers: 0 0, 1 -1, 4 -4, 9 -9."""
    with new_array(tmp_path / "squares.npy", (4, 2), np.int16) as array:
        for row in (3, 1, 2):
            array[row] = [row**2, -(row**2)]
    return tmp_path / "squares.npy"


def test_rows_are_picked_as_from_an_array_in_memory(squares: Path) -> None:
    array = ArrayFile(squares)
    assert (len(array), array.shape, array.dtype) == (4, (4, 2), np.int16)
    assert array[2].tolist() == [4, -4]
    assert array[-1].tolist() == [9, -9]
    assert array[1:3].tolist() == [[1, -1], [4, -4]]
    assert array[np.array([3, 0, 3])].tolist() == [[9, -9], [0, 0], [9, -9]]
    assert array[np.array([[1], [2]])].tolist() == [[[1, -1]], [[4, -4]]]
    assert array[np.array([True, False, False, True])].tolist() == [[0, 0], [9, -9]]
    assert array[0:0].shape == (0, 2)
    with pytest.raises(IndexError, match="index 4 is out of bounds"):
        array[4]


def test_file_is_one_that_numpy_reads(squares: Path) -> None:
    assert np.load(squares).tolist() == [[0, 0], [1, -1], [4, -4], [9, -9]]
    assert np.load(squares).dtype == np.int16


def test_many_rows_are_written_at_once_and_none_at_all(tmp_path: Path) -> None:
    with new_array(tmp_path / "pairs.npy", (3, 2), np.int64) as array:
        array[:] = np.array([[1, 2], [3, 4], [5, 6]])
        array[1:] = np.array([[7, 8], [9, 10]])
    assert np.load(tmp_path / "pairs.npy").tolist() == [[1, 2], [7, 8], [9, 10]]
    with new_array(tmp_path / "none.npy", (0, 3), np.int64) as array:
        array[:] = np.empty((0, 3))
    assert np.load(tmp_path / "none.npy").shape == (0, 3)


def test_what_was_read_is_a_copy_and_the_file_may_go(squares: Path) -> None:
    array = ArrayFile(squares)
    array[1][:] = 5
    squares.unlink()
    assert array[1].tolist() == [1, -1]
    with pytest.raises(OSError, match="Bad file descriptor"):  # opened for reading alone
        array[1] = [0, 0]


def test_file_that_is_cut_off_is_refused(squares: Path) -> None:
    squares.write_bytes(squares.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"squares\.npy is cut off: remove it"):
        ArrayFile(squares)


TRAINING = """
import sys
from lenslet.cli import main

assert main(["train", *sys.argv[1:]]) == 0
[line] = [line for line in open("/proc/self/status") if line.startswith("VmHWM:")]
print("peak", line.split()[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the peak memory")
def test_memory_of_training_does_not_grow_with_the_photos(tmp_path: Path) -> None:
    """1,200 photos more, 180 MB of pixels: a memory map of them would be resident in the end."""
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    params["train"]["image_size"] = 224
    params["train"]["backbone"] = {"name": "small_cnn", "weights": "none", "layers_unfrozen": 0}
    params["train"]["fine_tune"] |= {"epochs": 1, "min_steps_per_epoch": 1}
    params["train"]["augmentation"] |= {"flip": "none", "shift": 0, "zoom": 0, "contrast": 0}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    peaks = []
    for count in (400, 1600):
        photos, written = tmp_path / f"photos-{count}", tmp_path / f"model-{count}"
        write_class(photos / "red", count // 2, RED)
        write_class(photos / "blue", count // 2, BLUE, first_seed=count)
        options = ["--data", photos, "--out", written, "--params", tmp_path / "params.yaml"]
        folders = ["--cache", tmp_path / f"cache-{count}", "--runs", tmp_path / "runs"]
        trained = subprocess.run(
            [sys.executable, "-c", TRAINING, *options, *folders], capture_output=True, text=True
        )
        assert trained.returncode == 0, trained.stderr[-2000:]
        peaks.append(int(trained.stdout.split()[-1]) * 1024 / 1e6)
    assert peaks[1] - peaks[0] < 90, peaks

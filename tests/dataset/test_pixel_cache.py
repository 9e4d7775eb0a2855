"""The pixel cache: decoded once, kept by content, never half-written."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

import lenslet.dataset.pixel_cache
from lenslet.dataset.array_file import ArrayFile, CacheFull, cached_values, new_array
from lenslet.dataset.photos import DatasetError
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
    decoded = cached_pixels(read_all(paths), 4, tmp_path / "cache")
    assert decoded.pixels.shape == (3, 4, 4, 3)
    assert decoded.rows.tolist() == [0, -1, 2]
    assert decoded.pixels[0][0, 0].tolist() == [255, 0, 0]
    assert decoded.pixels[2][3, 3].tolist() == [0, 255, 0]
    assert list(decoded.unreadable) == [1]
    assert decoded.unreadable[1].startswith("the data are not an image we read")


def test_second_run_decodes_nothing(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cached_pixels(read_all(paths), 4, tmp_path / "cache")
    monkeypatch.setattr(lenslet.dataset.pixel_cache, "decode", no_decoding)
    second = cached_pixels(read_all(paths), 4, tmp_path / "cache")
    np.testing.assert_array_equal(first.pixels[:], second.pixels[:])
    assert first.unreadable == second.unreadable


def test_copies_are_decoded_once(paths: list[Path], tmp_path: Path) -> None:
    contents = read_all([*paths, paths[2], paths[1], paths[0]])
    decoded = cached_pixels(contents, 4, tmp_path / "cache")
    assert len(decoded.pixels) == 3
    assert decoded.rows.tolist() == [0, -1, 2, 2, -1, 0]
    assert list(decoded.unreadable) == [1, 4]


def test_file_that_cannot_be_read_is_not_remembered(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        paths[0].rename(tmp_path / "away")
        decoded = cached_pixels(read_all(paths), 4, tmp_path / "cache")
        assert decoded.unreadable[0] == "the file cannot be read: no such file or directory"
        assert decoded.rows.tolist() == [-1, -1, 1]
        (tmp_path / "away").rename(paths[0])
        decoded = cached_pixels(read_all(paths), 4, tmp_path / "cache")
        assert decoded.rows.tolist() == [0, -1, 2]
        assert decoded.pixels[0][0, 0].tolist() == [255, 0, 0]


def test_file_without_permission_says_so(paths: list[Path], tmp_path: Path) -> None:
    if os.geteuid() == 0:  # root may read everything: ask as nobody
        for folder in (tmp_path, *tmp_path.parents[:3]):
            folder.chmod(0o755)
    paths[0].chmod(0)
    script = "import os, sys; from pathlib import Path\nfrom lenslet.dataset.pixel_cache import read_all\n"
    script += "os.geteuid() or os.seteuid(65534)\nprint(read_all([Path(sys.argv[1])])[0].error)"
    printed = subprocess.run([sys.executable, "-c", script, paths[0]], capture_output=True, text=True)
    assert printed.stdout == "the file cannot be read: permission denied\n"


def test_photo_that_changes_between_checksum_and_decoding_is_not_cached(
    paths: list[Path], tmp_path: Path
) -> None:
    contents = read_all(paths)
    paths[0].write_bytes(plain(BLUE))
    with pytest.raises(DatasetError, match=r"/a changed while it was being read: run this again"):
        cached_pixels(contents, 4, tmp_path / "cache")
    paths[0].unlink()
    with pytest.raises(DatasetError, match=r"/a cannot be read any more \(no such file or directory\): run"):
        cached_pixels(contents, 4, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def damage_at(place: float) -> Callable[[bytes], bytes]:
    """Flips all bits of one byte."""

    def damage(data: bytes) -> bytes:
        where = int(place * (len(data) - 1))
        return data[:where] + bytes([data[where] ^ 0xFF]) + data[where + 1 :]

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        *map(damage_at, np.linspace(0, 1, 9)),
        lambda data: data[:-1],
        lambda data: data[:200],
        lambda data: b"",
        lambda data: data + b"more",
        lambda data: bytes(len(data)),
        lambda data: b"no array at all",
    ],
)
def test_damaged_cache_is_made_again_with_a_sentence(
    damage: Callable[[bytes], bytes], paths: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = cached_pixels(read_all(paths), 4, tmp_path / "cache")
    expected = good.pixels[:]
    [file] = (tmp_path / "cache").iterdir()
    data = file.read_bytes()
    file.write_bytes(damage(data))
    capsys.readouterr()
    again = cached_pixels(read_all(paths), 4, tmp_path / "cache")
    np.testing.assert_array_equal(again.pixels[:], expected)
    assert again.unreadable == good.unreadable
    said = capsys.readouterr().err
    assert said.startswith(f"note: {file} is damaged (")
    assert said.count("\n") == 1
    assert file.read_bytes() == data
    cached_pixels(read_all(paths), 4, tmp_path / "cache")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["a file", "a file/cache"])
def test_cache_that_cannot_be_written_is_one_sentence(name: str, paths: list[Path], tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(
        CacheFull, match=r"a file.* cannot be written \(.*\): name another folder with --cache"
    ):
        cached_pixels(read_all(paths), 4, tmp_path / name)


ODD_FILES: dict[str, Callable[[Path], object]] = {
    "another array": lambda path: write_values(path.with_name("other.npy"), 9.0).rename(path),
    "a link to nowhere": lambda path: path.symlink_to(path.with_name("nothing")),
    "a link to itself": lambda path: path.symlink_to(path),
    "a pipe": os.mkfifo,
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
}


def write_values(path: Path, value: float) -> Path:
    cached_values(path, lambda: np.full((3, 1), value))
    return path


@pytest.mark.parametrize("kind", ODD_FILES)
def test_what_is_no_array_of_this_name_is_made_again(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "values.npy"
    ODD_FILES[kind](path)
    assert cached_values(path, lambda: np.full((3, 1), 1.0)).tolist() == [[1.0], [1.0], [1.0]]
    assert capsys.readouterr().err.startswith(f"note: {path} is damaged (it is ")
    assert cached_values(path, lambda: np.full((3, 1), 2.0)).tolist() == [[1.0], [1.0], [1.0]]
    assert not (tmp_path / "nothing").exists()


def test_whole_values_are_computed_once_and_again_when_damaged(tmp_path: Path) -> None:
    computed = []

    def compute() -> np.ndarray:
        computed.append(1)
        return np.arange(12).reshape(3, 4)

    path = tmp_path / "cache" / "values.npy"
    for _ in range(2):
        assert cached_values(path, compute).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert len(computed) == 1
    path.write_bytes(damage_at(0.5)(path.read_bytes()))
    assert cached_values(path, compute)[2].tolist() == [8, 9, 10, 11]
    assert len(computed) == 2


def test_changed_photo_and_changed_size_are_decoded_again(paths: list[Path], tmp_path: Path) -> None:
    cached_pixels(read_all(paths), 4, tmp_path / "cache")
    paths[0].write_bytes(plain(BLUE))
    decoded = cached_pixels(read_all(paths), 4, tmp_path / "cache")
    assert decoded.pixels[0][0, 0].tolist() == [0, 0, 255]
    assert cached_pixels(read_all(paths), 6, tmp_path / "cache").pixels.shape == (3, 6, 6, 3)


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
        decoded = cached_pixels(contents, side, Path(sys.argv[1]))
        assert fits and decoded.pixels[0][0, 0].tolist() == [255, 0, 0]
    except CacheFull:
        assert not fits
"""


def test_limit_of_the_system_itself_leaves_no_half_cache(paths: list[Path], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    subprocess.run([sys.executable, "-c", SMALL_DISK, cache, *paths], check=True)
    assert sorted(path.suffix for path in cache.iterdir()) == [".npy"]  # the one that had room


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
    squares.write_bytes(squares.read_bytes()[: 128 + 15])  # of 16 bytes after the header
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

"""Sizes of photos from their headers, upright where the container turns them."""

from pathlib import Path

import pytest

from lenslet.dataset.photo_size import photo_size
from tests.support.heif import avif, heic
from tests.support.photos import flat, png, saved


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (saved(flat(1, "L"), "JPEG"), (24, 16)),
        (heic(flat((1, 2, 3), size=(96, 64))), (96, 64)),
        (heic(flat((1, 2, 3), size=(96, 64)), 6), (64, 96)),
        (avif(flat((1, 2, 3), size=(97, 65))), (97, 65)),
    ],
)
def test_size_is_read(data: bytes, size: tuple[int, int], tmp_path: Path) -> None:
    (tmp_path / "photo").write_bytes(data)
    assert photo_size(tmp_path / "photo") == size


@pytest.mark.parametrize(
    "data", [b"", b"no photo", heic(flat((1, 2, 3)))[:40], png(60_000, 60_000, 8, 2, b"")]
)
def test_what_is_no_photo_is_an_os_error(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "photo").write_bytes(data)
    with pytest.raises(OSError, match=r".+"):
        photo_size(tmp_path / "photo")
    with pytest.raises(FileNotFoundError):
        photo_size(tmp_path / "none")

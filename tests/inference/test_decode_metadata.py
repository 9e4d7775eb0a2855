"""Metadata of pictures: orientation, further frames, profiles and text."""

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lenslet.inference.decode import decode
from lenslet.inference.errors import BrokenImage
from tests.support.photos import RED, all_pixels, chunk, flat, png, quadrants, read_quadrants, saved, tiff

# pytest undoes the filter that `lenslet.inference.decode` sets; that it works is tested in a process of its own.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

WHITE = (255, 255, 255)
PHOTO = quadrants("RGBY")

# EXIF orientation → the corners of stored RGBY as the eye sees them, from the standard's "0th row is …".
TURNED = {1: "RGBY", 2: "GRYB", 3: "YBGR", 4: "BYRG", 5: "RBGY", 6: "BRYG", 7: "YGBR", 8: "GYRB"}
ORIENTED: dict[str, Callable[[Image.Image, Image.Exif], bytes]] = {
    "JPEG": lambda image, exif: saved(image, "JPEG", quality=95, subsampling=0, exif=exif),
    "PNG": lambda image, exif: saved(image, "PNG", exif=exif),
    "WEBP": lambda image, exif: saved(image, "WEBP", lossless=True, exif=exif),
    "TIFF": lambda image, exif: saved(image, "TIFF", exif=exif),
    "TIFF, deflate": lambda image, exif: saved(image, "TIFF", compression="tiff_deflate", exif=exif),
    "MPO": lambda image, exif: saved(
        image, "MPO", quality=95, subsampling=0, exif=exif, save_all=True, append_images=[flat(WHITE)]
    ),
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("name", ORIENTED)
@pytest.mark.parametrize("size", [(96, 64), (640, 960)])
def test_orientation_is_undone_once(name: str, orientation: int, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = ORIENTED[name](quadrants("RGBY", size), exif)
    assert read_quadrants(decode(data, 32)) == TURNED[orientation]


@pytest.mark.parametrize("orientation", [0, 9, 4711])
def test_orientation_out_of_range_means_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert read_quadrants(decode(saved(PHOTO, "PNG", exif=exif), 32)) == "RGBY"


@pytest.mark.parametrize("orientation", [3, 6])
def test_orientation_of_16_bit_grey(orientation: int) -> None:
    # Left half black, right half white; 3 turns it round, 6 a quarter clockwise (black on top).
    row = b"\x00\x00" * 4 + b"\xff\xff" * 4
    pixels = decode(tiff(8, 8, 16, 1, row * 8, t274=orientation), 8)
    assert pixels[0, 0].tolist() == {3: [255, 255, 255], 6: [0, 0, 0]}[orientation]
    assert pixels[0, 7].tolist() == [0, 0, 0]
    assert pixels[7, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif",
    [
        b"this is not a TIFF header",
        b"II*\0",  # cut off
        b"MM\0*\xff\xff\xff\xff broken",  # points outside
        b"II*\0\x08\0\0\0\xff\xff",  # announces 65,535 entries
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x03\0\0\0ab\0\0" + bytes(4),  # orientation is text
    ],
)
def test_broken_exif_is_ignored(exif: bytes, format: str) -> None:
    options: dict[str, Any] = {
        "JPEG": {"quality": 95, "subsampling": 0, "exif": b"Exif\0\0" + exif},
        "PNG": {"exif": exif},
        "WEBP": {"lossless": True, "exif": b"Exif\0\0" + exif},
    }[format]
    assert read_quadrants(decode(saved(PHOTO, format, **options), 32)) == "RGBY"


FRAMES = [quadrants("RGBY"), quadrants("YYYY")]


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("GIF", {}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("MPO", {"quality": 95, "subsampling": 0}),  # two JPEGs in one file, as phones write
    ],
)
def test_first_frame_is_used(format: str, options: dict[str, Any]) -> None:
    data = saved(FRAMES[0], format, save_all=True, append_images=FRAMES[1:], **options)
    assert len(data) > len(saved(FRAMES[0], "JPEG" if format == "MPO" else format, **options))
    assert read_quadrants(decode(data, 32)) == "RGBY"


def test_mpo_whose_second_picture_an_editor_has_cut_off() -> None:
    options: dict[str, Any] = {"quality": 95, "subsampling": 0}
    both = saved(FRAMES[0], "MPO", save_all=True, append_images=FRAMES[1:], **options)
    first = both[: both.rindex(b"\xff\xd8\xff")]
    assert read_quadrants(decode(first, 32)) == "RGBY"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_icc_profile_is_ignored(format: str) -> None:
    # Not even a senseless one: profiles are not applied.
    options = {"lossless": True} if format == "WEBP" else {}
    data = saved(quadrants("RRRR"), format, icc_profile=b"no profile at all" * 5000, **options)
    assert np.abs(decode(data, 8).astype(int) - RED).max() <= 2


def test_long_text_is_ignored() -> None:
    text = chunk(b"tEXt", b"Comment\0" + b"word " * 1_000_000)
    assert all_pixels(png(4, 4, 8, 2, bytes(RED * 4), text)) == [[255, 0, 0]]


def test_compressed_text_is_not_unpacked_without_limit() -> None:
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000), 1))
    with pytest.raises(BrokenImage):
        decode(png(4, 4, 8, 2, bytes(RED * 4), bomb), 8)

"""The pixel contract, on pictures that are built here, byte by byte where it matters."""

import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from inference import decode as decode_module
from inference.decode import decode
from inference.errors import BrokenImage, ImageTooLarge, LensletError, NotAnImage

# pytest undoes the filter that `inference.decode` sets; that it works is tested in a process of its own.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
GREY, BLACK, WHITE = (128, 128, 128), (0, 0, 0), (255, 255, 255)
COLOURS = {"R": RED, "G": GREEN, "B": BLUE, "Y": YELLOW}


# --- pictures by hand


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, depth: int, colour_type: int, row: bytes, *chunks: bytes) -> bytes:
    """A PNG of `height` equal rows; colour type 0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGBA."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress((b"\0" + row) * height, 1))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + pixels + chunk(b"IEND", b"")


def tiff(
    width: int,
    height: int,
    bits: int,
    samples: int,
    data: bytes,
    order: str = "<",
    **tags: int | tuple[int, ...],
) -> bytes:
    """An uncompressed TIFF of one strip; `tags` as t274=6 add to or replace those it needs."""
    content: dict[int, int | tuple[int, ...]] = {
        256: width,
        257: height,
        258: (bits,) * samples,
        259: 1,
        262: 2 if samples >= 3 else 1,
        273: 0,
        277: samples,
        278: height,
        279: len(data),
    }
    content |= {int(name[1:]): value for name, value in tags.items()}
    start = 8 + 2 + 12 * len(content) + 4
    entries, extra = b"", b""
    for tag, value in sorted(content.items()):
        shorts = value if isinstance(value, tuple) else None
        if shorts is not None and len(shorts) > 2:
            entries += struct.pack(f"{order}HHII", tag, 3, len(shorts), start + len(extra))
            extra += struct.pack(f"{order}{len(shorts)}H", *shorts)
        elif shorts is not None:
            packed = struct.pack(f"{order}{len(shorts)}H", *shorts).ljust(4, b"\0")
            entries += struct.pack(f"{order}HHI", tag, 3, len(shorts)) + packed
        else:
            entries += struct.pack(f"{order}HHII", tag, 4, 1, value if tag != 273 else 0)
    place = struct.pack(f"{order}HHII", 273, 4, 1, 0)
    entries = entries.replace(place, struct.pack(f"{order}HHII", 273, 4, 1, start + len(extra)))
    magic = {"<": b"II*\0", ">": b"MM\0*"}[order]
    directory = struct.pack(f"{order}IH", 8, len(content)) + entries + b"\0\0\0\0"
    return magic + directory + extra + data


def bmp(width: int, height: int, row: bytes) -> bytes:
    """A 24-bit BMP of `height` equal rows; bytes stand as blue, green, red."""
    padded = row + bytes(-len(row) % 4)
    size = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + height * len(padded), 0, 0, 54) + size + padded * height


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def flat(colour: tuple[int, ...] | int, mode: str = "RGB", size: tuple[int, int] = (24, 16)) -> Image.Image:
    return Image.new(mode, size, colour)


def quadrants(letters: str, size: tuple[int, int] = (96, 64)) -> Image.Image:
    """Four colours, named from left to right and from top to bottom."""
    corners = Image.new("RGB", (2, 2))
    corners.putdata([COLOURS[letter] for letter in letters])
    return corners.resize(size, Image.Resampling.NEAREST)


def read_quadrants(pixels: NDArray[np.uint8]) -> str:
    near, far = pixels.shape[0] // 4, 3 * pixels.shape[0] // 4
    found = ""
    for y, x in [(near, near), (near, far), (far, near), (far, far)]:
        distance = {
            letter: np.abs(pixels[y, x].astype(int) - colour).sum() for letter, colour in COLOURS.items()
        }
        letter = min(distance, key=lambda each: distance[each])
        assert distance[letter] < 30, f"({y}, {x}) is {pixels[y, x]}"
        found += letter
    return found


def all_pixels(data: bytes, size: int = 8) -> list[list[int]]:
    """The different pixels of a decoded picture; a flat picture has one."""
    return np.unique(decode(data, size).reshape(-1, 3), axis=0).tolist()  # type: ignore[no-any-return]


# --- what comes back

PHOTO = quadrants("RGBY")
FORMATS = {
    "JPEG": saved(PHOTO, "JPEG", quality=95, subsampling=0),
    "progressive JPEG": saved(PHOTO, "JPEG", quality=95, subsampling=0, progressive=True),
    "PNG": saved(PHOTO, "PNG"),
    "WEBP": saved(PHOTO, "WEBP", quality=95),
    "lossless WEBP": saved(PHOTO, "WEBP", lossless=True),
    "GIF": saved(PHOTO, "GIF"),
    "BMP": saved(PHOTO, "BMP"),
    "TIFF": saved(PHOTO, "TIFF"),
    "TIFF, deflate": saved(PHOTO, "TIFF", compression="tiff_deflate"),
    "TIFF, LZW": saved(PHOTO, "TIFF", compression="tiff_lzw"),
    "TIFF, JPEG": saved(PHOTO, "TIFF", compression="jpeg", quality=95),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_by_its_content(name: str) -> None:
    assert read_quadrants(decode(FORMATS[name], 32)) == "RGBY"


@pytest.mark.parametrize("size", [1, 8, 160])
@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_pixels_are_a_square_of_bytes_that_nobody_can_change(name: str, size: int) -> None:
    pixels = decode(FORMATS[name], size)
    assert pixels.shape == (size, size, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        pixels[0, 0] = 7


def test_source_bytes_may_change_afterwards() -> None:
    data = bytearray(bmp(8, 8, bytes([0, 0, 255] * 8)))
    pixels = decode(data, 8)  # type: ignore[arg-type]
    data[54:] = bytes(len(data) - 54)
    assert pixels[0, 0].tolist() == [255, 0, 0]


TRANSPARENT_RED = chunk(b"PLTE", bytes(RED + BLUE)) + chunk(b"tRNS", bytes([0, 255]))
RGBA_ROW = bytes([255, 0, 0, 128]) * 4
# name → (file, the one colour that every decoded pixel has)
GOLDEN: dict[str, tuple[bytes, tuple[int, int, int]]] = {
    "PNG grey, 1 bit, white": (png(8, 4, 1, 0, b"\xff"), WHITE),
    "PNG grey, 2 bits, level 2 of 3": (png(8, 4, 2, 0, b"\xaa\xaa"), (170, 170, 170)),
    "PNG grey, 4 bits, level 8 of 15": (png(8, 4, 4, 0, b"\x88" * 4), (136, 136, 136)),
    "PNG grey, 8 bits": (png(8, 4, 8, 0, bytes([200] * 8)), (200, 200, 200)),
    "PNG grey, 16 bits, black": (png(8, 4, 16, 0, b"\x00\x00" * 8), BLACK),
    "PNG grey, 16 bits, middle": (png(8, 4, 16, 0, b"\x80\x00" * 8), GREY),
    "PNG grey, 16 bits, white": (png(8, 4, 16, 0, b"\xff\xff" * 8), WHITE),
    "PNG grey, 16 bits, dark": (png(8, 4, 16, 0, b"\x10\x10" * 8), (16, 16, 16)),
    "PNG RGB, 8 bits": (png(8, 4, 8, 2, bytes([1, 2, 3] * 8)), (1, 2, 3)),
    "PNG RGB, 16 bits": (png(8, 4, 16, 2, b"\x80\x00\x10\x10\xff\xff" * 8), (128, 16, 255)),
    "PNG palette": (png(8, 4, 8, 3, b"\x01" * 8, chunk(b"PLTE", bytes(RED + BLUE))), BLUE),
    "PNG palette, 1 bit": (png(8, 4, 1, 3, b"\xff", chunk(b"PLTE", bytes(RED + BLUE))), BLUE),
    "PNG palette, transparent entry": (png(8, 4, 8, 3, b"\x00" * 8, TRANSPARENT_RED), WHITE),
    "PNG palette, opaque entry": (png(8, 4, 8, 3, b"\x01" * 8, TRANSPARENT_RED), BLUE),
    # 255 · a + colour · (1 − a), with a = 127/255 of white showing through: 0 becomes 127.
    "PNG RGBA, half": (png(4, 4, 8, 6, RGBA_ROW), (255, 127, 127)),
    "PNG RGBA, none": (png(4, 4, 8, 6, bytes([255, 0, 0, 0] * 4)), WHITE),
    "PNG RGBA, 16 bits, half": (png(4, 4, 16, 6, b"\xff\xff\0\0\0\0\x80\x80" * 4), (255, 127, 127)),
    "PNG grey and alpha, half": (png(4, 4, 8, 4, bytes([0, 128] * 4)), (127, 127, 127)),
    "PNG grey and alpha, 16 bits": (png(4, 4, 16, 4, b"\0\0\x80\x80" * 4), (127, 127, 127)),
    "PNG grey, colour key hit": (png(4, 4, 8, 0, bytes([7] * 4), chunk(b"tRNS", b"\0\x07")), WHITE),
    "PNG grey, colour key missed": (png(4, 4, 8, 0, bytes([8] * 4), chunk(b"tRNS", b"\0\x07")), (8, 8, 8)),
    "PNG RGB, colour key hit": (png(4, 4, 8, 2, bytes(RED * 4), chunk(b"tRNS", b"\0\xff\0\0\0\0")), WHITE),
    "PNG RGB, colour key missed": (png(4, 4, 8, 2, bytes(BLUE * 4), chunk(b"tRNS", b"\0\xff\0\0\0\0")), BLUE),
    "PNG grey, 16 bits, key hit": (png(4, 4, 16, 0, b"\x12\x34" * 4, chunk(b"tRNS", b"\x12\x34")), WHITE),
    "PNG grey, 16 bits, key missed": (
        png(4, 4, 16, 0, b"\x12\x35" * 4, chunk(b"tRNS", b"\x12\x34")),
        (18, 18, 18),
    ),
    "BMP": (bmp(5, 3, bytes([10, 20, 30] * 5)), (30, 20, 10)),
    "TIFF grey": (tiff(4, 4, 8, 1, bytes([77] * 16)), (77, 77, 77)),
    "TIFF grey, white is zero": (tiff(4, 4, 8, 1, bytes([77] * 16), t262=0), (178, 178, 178)),
    "TIFF grey, 16 bits": (tiff(4, 4, 16, 1, b"\x00\x80" * 16), GREY),
    "TIFF grey, 16 bits, big-endian": (tiff(4, 4, 16, 1, b"\x80\x00" * 16, order=">"), GREY),
    "TIFF RGB": (tiff(4, 4, 8, 3, bytes([9, 8, 7] * 16)), (9, 8, 7)),
    "TIFF RGB, 16 bits": (tiff(4, 4, 16, 3, b"\x00\x80\x10\x10\xff\xff" * 16), (128, 16, 255)),
    "TIFF RGBA, half": (tiff(4, 4, 8, 4, RGBA_ROW * 4, t338=2), (255, 127, 127)),
    "GIF": (saved(flat(RED), "GIF"), RED),
    "GIF, transparent": (saved(flat(0, "P"), "GIF", transparency=0), WHITE),
    "WEBP, lossless": (saved(flat((9, 8, 7)), "WEBP", lossless=True), (9, 8, 7)),
    "WEBP, half transparent": (saved(flat((255, 0, 0, 128), "RGBA"), "WEBP", lossless=True), (255, 127, 127)),
    "JPEG grey": (saved(flat(128, "L"), "JPEG"), GREY),
    "JPEG": (saved(flat(WHITE), "JPEG"), WHITE),
    "1 × 1": (png(1, 1, 8, 2, bytes([1, 2, 3])), (1, 2, 3)),
    "1 × 20,000": (png(1, 20_000, 8, 2, bytes([1, 2, 3])), (1, 2, 3)),
    "20,000 × 1": (png(20_000, 1, 8, 2, bytes([1, 2, 3] * 20_000)), (1, 2, 3)),
    "JPEG, 20,000 × 1": (saved(flat(WHITE, size=(20_000, 1)), "JPEG"), WHITE),
    "JPEG, 1 × 20,000": (saved(flat(WHITE, size=(1, 20_000)), "JPEG"), WHITE),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_colours(name: str) -> None:
    data, colour = GOLDEN[name]
    assert all_pixels(data) == [list(colour)]


# Ink 255 is full ink: no cyan, full magenta and yellow, no black is red.
RED_INKS = (0, 255, 255, 0)


def without_adobe_marker(jpeg: bytes) -> bytes:
    start = jpeg.index(b"\xff\xee")
    return jpeg[:start] + jpeg[start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big") :]


def test_cmyk_jpeg_in_adobes_inverted_form() -> None:
    data = saved(flat(RED_INKS, "CMYK"), "JPEG", quality=100)
    assert b"Adobe" in data
    assert np.abs(decode(data, 8).astype(int) - RED).max() <= 3


def test_cmyk_jpeg_without_the_adobe_marker_is_taken_as_adobes_too() -> None:
    data = without_adobe_marker(saved(flat(RED_INKS, "CMYK"), "JPEG", quality=100))
    assert b"Adobe" not in data
    assert np.abs(decode(data, 8).astype(int) - RED).max() <= 3


def test_cmyk_tiff() -> None:
    assert all_pixels(tiff(4, 4, 8, 4, bytes(RED_INKS * 16), t262=5)) == [[255, 0, 0]]


# --- orientation

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
def test_broken_exif_does_not_hinder(exif: bytes, format: str) -> None:
    options: dict[str, Any] = {
        "JPEG": {"quality": 95, "subsampling": 0, "exif": b"Exif\0\0" + exif},
        "PNG": {"exif": exif},
        "WEBP": {"lossless": True, "exif": b"Exif\0\0" + exif},
    }[format]
    assert read_quadrants(decode(saved(PHOTO, format, **options), 32)) == "RGBY"


# --- more than one frame, metadata

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
def test_first_frame_counts(format: str, options: dict[str, Any]) -> None:
    data = saved(FRAMES[0], format, save_all=True, append_images=FRAMES[1:], **options)
    assert len(data) > len(saved(FRAMES[0], "JPEG" if format == "MPO" else format, **options))
    assert read_quadrants(decode(data, 32)) == "RGBY"


def test_mpo_whose_second_picture_an_editor_has_cut_off() -> None:
    options: dict[str, Any] = {"quality": 95, "subsampling": 0}
    both = saved(FRAMES[0], "MPO", save_all=True, append_images=FRAMES[1:], **options)
    first = both[: both.rindex(b"\xff\xd8\xff")]
    assert read_quadrants(decode(first, 32)) == "RGBY"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_icc_profile_does_not_hinder(format: str) -> None:
    # Not even a senseless one: profiles are not applied.
    options = {"lossless": True} if format == "WEBP" else {}
    data = saved(quadrants("RRRR"), format, icc_profile=b"no profile at all" * 5000, **options)
    assert np.abs(decode(data, 8).astype(int) - RED).max() <= 2


def test_long_text_does_not_hinder() -> None:
    text = chunk(b"tEXt", b"Comment\0" + b"word " * 1_000_000)
    assert all_pixels(png(4, 4, 8, 2, bytes(RED * 4), text)) == [[255, 0, 0]]


def test_compressed_text_is_not_unpacked_without_limit() -> None:
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000), 1))
    with pytest.raises(BrokenImage):
        decode(png(4, 4, 8, 2, bytes(RED * 4), bomb), 8)


# --- resizing


def test_antialias_averages_a_checkerboard_of_single_pixels() -> None:
    board = (np.indices((2000, 2000)).sum(axis=0) % 2 * 255).astype(np.uint8)
    for data in (saved(Image.fromarray(board), "BMP"), saved(Image.fromarray(board), "JPEG", quality=95)):
        pixels = decode(data, 50)
        assert pixels.min() >= 122
        assert pixels.max() <= 133


def test_sides_are_squashed_not_cropped() -> None:
    assert read_quadrants(decode(saved(quadrants("RGBY", (400, 20)), "PNG"), 32)) == "RGBY"


def test_bilinear_by_hand() -> None:
    # Four pixels to two, with triangles two pixels wide to each side: weights 3, 3, 1 (of 7) from the left.
    row = bytes([0, 70, 140, 210])
    assert decode(png(4, 4, 8, 0, row), 2)[0, :, 0].tolist() == [50, 160]


def photo_like(width: int, height: int) -> Image.Image:
    """Smooth waves and a sharp edge."""
    y, x = np.mgrid[0:1:150j, 0:1:200j]
    waves = np.stack([128 + 100 * np.sin(x * 20 + phase) * np.cos(y * 15) for phase in (0, 1, 2)], axis=2)
    waves[x > y * 1.5] *= 0.5
    return Image.fromarray(waves.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)


def test_draft_gives_nearly_the_pixels_of_a_whole_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    image = photo_like(4000, 3000)
    jpeg = saved(image, "JPEG", quality=92)
    drafted = decode(jpeg, 160).astype(int)
    assert np.abs(drafted - decode(saved(image, "BMP"), 160)).mean() < 0.7
    monkeypatch.setattr(Image.Image, "draft", lambda *arguments: None)
    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.draft", lambda *arguments: None)
    difference = np.abs(drafted - decode(jpeg, 160))
    assert 0 < difference.max() <= 12
    assert difference.mean() < 0.7


@pytest.mark.parametrize(
    ("stored", "decoded"),
    [
        ((4000, 3000), (500, 375)),  # 1/8: still at least 2 × 160
        ((1400, 1300), (350, 325)),  # 1/4; at 1/8 the sides would be 175 and 163
        ((1000, 700), (500, 350)),  # 1/2
        ((639, 639), (639, 639)),  # 1/2 would be just too small
        ((5000, 300), (5000, 300)),
    ],
)
def test_draft_keeps_twice_the_wanted_size(
    stored: tuple[int, int], decoded: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    resize = Image.Image.resize

    def watched(image: Image.Image, *arguments: Any) -> Image.Image:
        seen.append(image.size)
        return resize(image, *arguments)

    data = saved(flat(RED, size=stored), "JPEG")
    monkeypatch.setattr(Image.Image, "resize", watched)
    decode(data, 160)
    assert seen == [decoded]


# --- what is refused

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8))
WHOLE = {
    "JPEG": saved(NOISE, "JPEG"),
    "progressive JPEG": saved(NOISE, "JPEG", progressive=True),
    "MPO": saved(NOISE, "MPO", save_all=True, append_images=[NOISE]),
    "PNG": saved(NOISE, "PNG"),
    "APNG": saved(NOISE, "PNG", save_all=True, append_images=[FRAMES[0].resize(NOISE.size)]),
    "WEBP": saved(NOISE, "WEBP"),
    "animated WEBP": saved(NOISE, "WEBP", save_all=True, append_images=[FRAMES[0].resize(NOISE.size)]),
    "GIF": saved(NOISE, "GIF"),
    "BMP": saved(NOISE, "BMP"),
    "TIFF": saved(NOISE, "TIFF"),
    "TIFF, deflate": saved(NOISE, "TIFF", compression="tiff_deflate"),
    "TIFF, LZW": saved(NOISE, "TIFF", compression="tiff_lzw"),
}


@pytest.mark.parametrize("share", [0.02, 0.1, 0.45])
@pytest.mark.parametrize("name", WHOLE)
def test_truncated(name: str, share: float) -> None:
    data = WHOLE[name]
    with pytest.raises(BrokenImage, match="truncated"):
        decode(data[: max(12, int(share * len(data)))], 16)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_truncated_inside_the_header(name: str) -> None:
    with pytest.raises(BrokenImage, match="truncated"):
        decode(WHOLE[name][:13], 16)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\xff\xd8",
        b"GIF",
        b"not an image",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"RIFF\x10\0\0\0WAVEfmt ",
        b"P6 1 1 255 \xff\0\0",
        bytes(100),
        saved(PHOTO, "PPM"),
        saved(PHOTO, "ICO"),
        saved(PHOTO, "TGA"),
        b"\0\0\0\x1cftypheic" + bytes(100),
    ],
)
def test_not_an_image(data: bytes) -> None:
    with pytest.raises(NotAnImage, match="not an image we read"):
        decode(data, 16)


@pytest.mark.parametrize(
    "data",
    [
        tiff(4, 4, 32, 1, struct.pack("<16f", *[0.5] * 16), t339=3),
        saved(Image.new("F", (4, 4), 0.5), "TIFF", compression="tiff_deflate"),
        tiff(4, 4, 32, 1, struct.pack("<16I", *[2**31] * 16)),
    ],
    ids=["float", "float, deflate", "32-bit integer"],
)
def test_samples_without_an_8_bit_meaning(data: bytes) -> None:
    with pytest.raises(BrokenImage, match="no 8-bit colours"):
        decode(data, 16)


def resized(data: bytes, **places: tuple[int, str]) -> bytes:
    """`data` with 10,000 written over its width and 6,000 over its height: 60 million pixels."""
    changed = bytearray(data)
    for name, (place, layout) in places.items():
        struct.pack_into(layout, changed, place, {"width": 10_000, "height": 6_000}[name])
    return bytes(changed)


SOF = FORMATS["JPEG"].index(b"\xff\xc0")  # length, precision, then height and width
HUGE = {
    "JPEG": resized(FORMATS["JPEG"], height=(SOF + 5, ">H"), width=(SOF + 7, ">H")),
    "PNG": png(10_000, 6_000, 8, 2, b""),
    "WEBP": resized(FORMATS["WEBP"], width=(26, "<H"), height=(28, "<H")),
    "GIF": resized(FORMATS["GIF"], width=(6, "<H"), height=(8, "<H")),
    "BMP": resized(FORMATS["BMP"], width=(18, "<I"), height=(22, "<I")),
    "TIFF": tiff(10_000, 6_000, 8, 3, b"\0"),
    "TIFF, 6,000 × 10,000 turned": tiff(6_000, 10_000, 8, 3, b"\0", t274=6),
    "TIFF with one tile of 60 million": tiff(
        10, 10, 8, 1, b"\0", t259=8, t322=10_000, t323=6_000, t324=8, t325=1
    ),
}


@pytest.mark.parametrize("name", HUGE)
def test_too_many_pixels(name: str) -> None:
    with pytest.raises(ImageTooLarge, match="has 60,000,000 pixels; the limit is 50,000,000"):
        decode(HUGE[name], 16)


def test_far_too_many_pixels() -> None:
    with pytest.raises(ImageTooLarge, match="far more than 50,000,000 pixels"):
        decode(png(60_000, 60_000, 8, 2, b""), 16)


def test_limit_itself_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_module, "MAX_PIXELS", 100)
    assert all_pixels(png(10, 10, 8, 0, bytes([5] * 10))) == [[5, 5, 5]]
    with pytest.raises(ImageTooLarge, match="has 110 pixels; the limit is 100"):
        decode(png(10, 11, 8, 0, bytes([5] * 10)), 16)


# Decodes a file and prints what came of it and by how many MB the process has grown at its peak.
IN_A_PROCESS = """
import sys
from pathlib import Path
from inference.decode import decode
from inference.errors import LensletError

def peak_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024

data = Path(sys.argv[1]).read_bytes()
before = peak_mb()
try:
    outcome = str(decode(data, 160)[0, 0].tolist())
except LensletError as error:
    outcome = type(error).__name__
print(outcome, peak_mb() - before, sep=" / ")
"""


def in_a_process(path: Path) -> tuple[str, int, str]:
    """Outcome, peak of memory in MB over the start, standard error."""
    command = [sys.executable, "-W", "default", "-c", IN_A_PROCESS, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    outcome, grown = done.stdout.split(" / ")
    return outcome, int(grown), done.stderr


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="peak memory is read from /proc"
)


@needs_proc
def test_pixel_bomb_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(13_300, 13_300, 1, 0, bytes(1663)))
    assert path.stat().st_size < 150_000
    outcome, grown_mb, stderr = in_a_process(path)
    assert outcome == "ImageTooLarge"
    assert grown_mb < 20
    assert stderr == ""


@needs_proc
def test_canvas_bomb_takes_no_memory(tmp_path: Path) -> None:
    # An animated WEBP names its canvas apart from its frames: bytes 24 to 29, width − 1 and height − 1.
    data = bytearray(WHOLE["animated WEBP"])
    assert data[12:16] == b"VP8X"
    data[24:30] = (12_999).to_bytes(3, "little") * 2
    path = tmp_path / "bomb.webp"
    path.write_bytes(data)
    outcome, grown_mb, _ = in_a_process(path)
    assert outcome == "ImageTooLarge"
    assert grown_mb < 20


@needs_proc
@pytest.mark.slow
def test_largest_picture_with_alpha_fits_into_500_mb(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png(7_071, 7_071, 8, 6, bytes([255, 0, 0, 128]) * 7_071))
    outcome, grown_mb, _ = in_a_process(path)
    assert outcome == "[255, 127, 127]"
    assert grown_mb < 500


@needs_proc
def test_pillows_warnings_stay_inside(tmp_path: Path) -> None:
    path = tmp_path / "odd.jpg"
    path.write_bytes(saved(flat(WHITE), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01"))
    outcome, _, stderr = in_a_process(path)
    assert outcome == "[255, 255, 255]"
    assert stderr == ""


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    name=st.sampled_from(sorted(WHOLE)),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=12),
)
def test_damaged_bytes_give_pixels_or_one_of_our_errors(name: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE[name])
    for place, value in changes:
        data[place] = value
    try:
        assert decode(bytes(data), 8).shape == (8, 8, 3)
    except LensletError as error:
        assert error.status in (413, 415, 422)

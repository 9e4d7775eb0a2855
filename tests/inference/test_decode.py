"""Decoding, on pictures that are built here, byte by byte where it matters."""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lenslet.inference.decode import decode
from lenslet.inference.errors import BrokenImage
from lenslet.inference.jpeg_scans import misses_refinement_alone
from tests.support.photos import (
    BLUE,
    RED,
    all_pixels,
    bmp,
    chunk,
    flat,
    png,
    quadrants,
    read_quadrants,
    saved,
    tiff,
)

# pytest undoes the filter that `lenslet.inference.decode` sets; that it works is tested in a process of its own.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

GREY, BLACK, WHITE = (128, 128, 128), (0, 0, 0), (255, 255, 255)

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
def test_pixels_are_a_read_only_square(name: str, size: int) -> None:
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
    "PNG grey, 1 bit, colour key hit": (png(8, 4, 1, 0, b"\x00", chunk(b"tRNS", b"\0\0")), WHITE),
    "PNG grey, 2 bits, key hit": (png(8, 4, 2, 0, b"\x55\x55", chunk(b"tRNS", b"\0\x01")), WHITE),
    "PNG grey, 4 bits, key hit": (png(8, 4, 4, 0, b"\x33" * 4, chunk(b"tRNS", b"\0\x03")), WHITE),
    "PNG grey, 4 bits, key missed": (png(8, 4, 4, 0, b"\x44" * 4, chunk(b"tRNS", b"\0\x03")), (68, 68, 68)),
    "BMP": (bmp(5, 3, bytes([10, 20, 30] * 5)), (30, 20, 10)),
    "TIFF grey": (tiff(4, 4, 8, 1, bytes([77] * 16)), (77, 77, 77)),
    "TIFF grey, white is zero": (tiff(4, 4, 8, 1, bytes([77] * 16), t262=0), (178, 178, 178)),
    "TIFF grey, 16 bits": (tiff(4, 4, 16, 1, b"\x00\x80" * 16), GREY),
    "TIFF grey, 16 bits, big-endian": (tiff(4, 4, 16, 1, b"\x80\x00" * 16, order=">"), GREY),
    # 0x800 of 0xFFF; two samples lie in three bytes.
    "TIFF grey, 12 bits": (tiff(4, 4, 12, 1, b"\x80\x08\x00" * 8), GREY),
    "TIFF grey, 16 bits, white is zero": (tiff(4, 4, 16, 1, b"\x00\x80" * 16, t262=0), (127, 127, 127)),
    "TIFF grey, 16 bits, white is zero, 0": (tiff(4, 4, 16, 1, b"\0\0" * 16, t262=0), WHITE),
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


# --- resizing


def test_antialias_averages_a_checkerboard_of_single_pixels() -> None:
    board = (np.indices((2000, 2000)).sum(axis=0) % 2 * 255).astype(np.uint8)
    for data in (saved(Image.fromarray(board), "BMP"), saved(Image.fromarray(board), "JPEG", quality=95)):
        pixels = decode(data, 50)
        assert pixels.min() >= 122
        assert pixels.max() <= 133


def test_picture_is_squashed_not_cropped() -> None:
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


def test_bands_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (31, 47, 4), np.uint8))
    for orientation in range(1, 9):
        exif[0x0112] = orientation
        data = saved(noise, "PNG", exif=exif)
        whole = decode(data, 16)
        with monkeypatch.context() as patch:
            patch.setattr("lenslet.inference.decode.BAND_PIXELS", 100)
            assert (decode(data, 16) == whole).all()


# Trained models and cached pixels are tied to these: where one changes, RESIZE_RULE must.
KNOWN_PIXELS = {
    "test/buildings/00.jpg": "2e2d5c9fba6ede7b",
    "test/sea/05.jpg": "c4adc67f1ae5438c",
    "train/forest/00.jpg": "bcac78fcbfafe137",
    "train/street/15.jpg": "d3d02fcc497cf29f",
}


@pytest.mark.parametrize("name", KNOWN_PIXELS)
def test_pixels_of_a_known_photo(name: str) -> None:
    pixels = decode((Path("data/sample") / name).read_bytes(), 160)
    assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == KNOWN_PIXELS[name]


def cut_off(share: float, mode: str = "RGB", **options: Any) -> tuple[bytes, bytes]:
    """A JPEG of 320 × 320 random pixels, and what is left of it when this share of its bytes is missing."""
    pixels = np.random.default_rng(0).integers(0, 256, (320, 320, len(mode)), np.uint8).squeeze()
    file = io.BytesIO()
    Image.fromarray(pixels, mode).save(file, "JPEG", **options)
    whole = file.getvalue()
    return whole, whole[: round(len(whole) * (1 - share))]


def test_jpeg_without_its_end_marker_is_whole() -> None:
    whole, _ = cut_off(0)
    assert whole[-2:] == b"\xff\xd9"
    assert decode(whole[:-2], 160).tolist() == decode(whole, 160).tolist()


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"restart_marker_blocks": 5}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_progressive_jpeg_that_is_cut_off_in_its_last_scan(options: dict[str, Any], mode: str) -> None:
    whole, _ = cut_off(0, mode, progressive=True, **options)
    expected = decode(whole, 160)
    assert decode(whole[:-2], 160).tolist() == expected.tolist()
    last_scan = whole.rfind(b"\xff\xda")
    in_the_middle, before = whole[: (last_scan + len(whole)) // 2], whole[:last_scan]
    assert np.abs(decode(in_the_middle, 160).astype(int) - expected).mean() < 2
    with pytest.raises(BrokenImage, match="the image is truncated"):
        decode(before, 160)


def test_progressive_jpeg_whose_last_scan_does_more_than_refine() -> None:
    whole, _ = cut_off(0, progressive=True)
    at = whole.rfind(b"\xff\xda")
    bits = at + 4 + 1 + 2 * whole[at + 4] + 2
    assert whole[bits] == 0x10
    with pytest.raises(BrokenImage, match="the image is truncated"):
        decode(whole[:bits] + b"\x00" + whole[bits + 1 : -2], 160)


def test_segments_of_a_progressive_jpeg_are_not_read_without_end() -> None:
    whole, _ = cut_off(0, progressive=True)
    at = whole.index(b"\xff\xda")
    comment = b"\xff\xfe\x00\x02"
    assert misses_refinement_alone(whole[:at] + comment * 500 + whole[at:-2])
    assert not misses_refinement_alone(whole[:at] + comment * 2000 + whole[at:-2])


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"restart_marker_rows": 1}])
def test_jpeg_that_misses_its_last_rows_is_grey_there(options: dict[str, Any]) -> None:
    whole, rest = cut_off(0.04, **options)
    expected, found = decode(whole, 160), decode(rest, 160)
    assert found[:144].tolist() == expected[:144].tolist()
    assert found[-1, -1].tolist() == [128, 128, 128]


def test_grey_jpeg_that_misses_its_last_rows() -> None:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (320, 320), np.uint8)).save(file, "JPEG")
    assert decode(file.getvalue()[:-400], 160)[-1, -1].tolist() == [128, 128, 128]


@pytest.mark.parametrize(
    ("share", "options", "message"),
    [
        (0.1, {}, "the JPEG is truncated: more than 5% of its pixels are missing"),
        (0.5, {}, "the JPEG is truncated: more than 5%"),
        (0.9, {"progressive": True}, "the image is truncated"),
        (0.999, {}, "the image"),
    ],
)
def test_jpeg_that_misses_more_is_broken(share: float, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BrokenImage, match=message):
        decode(cut_off(share, **options)[1], 160)

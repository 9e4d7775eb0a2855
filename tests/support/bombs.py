"""Decompression bombs, built by code: small files that are large or slow to decode, each in the worst known way.

`BOMBS` names the code with which each is refused, or None where it must be read, within time and memory, as it is
just below a limit.
"""

import struct
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from tests.support.heif import avif, deep_heic, grid, heic
from tests.support.photos import bmp, chunk, flat, png, saved, tiff


class Bomb(NamedTuple):
    build: Callable[[], bytes]
    code: str | None


def repeated_chunk(name: bytes, content: bytes, times: int) -> bytes:
    return png(4, 4, 8, 2, bytes(12), *[chunk(name, content)] * times)


def rationals(count: int) -> bytes:
    """EXIF whose orientation and resolution are `count` fractions each."""
    entries = b"".join(struct.pack("<HHII", tag, 5, count, 50) for tag in (0x0112, 0x011A))
    entries += struct.pack("<HHII", 0x0128, 3, 1, 2)
    head = struct.pack("<4sIH", b"II*\0", 8, 3) + entries + bytes(4)
    return head.ljust(50, b"\0") + struct.pack("<II", 7, 3) * count


def jpeg_with_exif(exif: bytes) -> bytes:
    parts = [exif[place : place + 65_000] for place in range(0, len(exif), 65_000)]
    segments = [b"\xff\xe1" + struct.pack(">H", 8 + len(part)) + b"Exif\0\0" + part for part in parts]
    plain = saved(flat((1, 2, 3)), "JPEG")
    return plain[:2] + b"".join(segments) + plain[20:]  # without the JFIF segment, whose resolution would do


def jpeg_of_many_scans(side: int, times: int) -> bytes:
    """A progressive JPEG whose last scan is repeated many times, without its data."""
    whole = saved(flat(0, "RGB", (side, side)), "JPEG", progressive=True, subsampling=0)
    last = whole.rindex(b"\xff\xda")
    (length,) = struct.unpack_from(">H", whole, last + 2)
    return whole[:-2] + whole[last : last + 2 + length] * times + b"\xff\xd9"


def resized_jpeg(image: Image.Image, width: int, height: int) -> bytes:
    data = bytearray(saved(image, "JPEG", progressive=True))
    struct.pack_into(">HH", data, data.index(b"\xff\xc2") + 5, height, width)
    return bytes(data)


def run_length_bmp(width: int, height: int, rows: bytes) -> bytes:
    palette = bytes(range(255, -1, -1)) * 4
    size = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + len(palette)) + size + palette + rows + b"\0\1"


def resized_gif(width: int, height: int) -> bytes:
    data = bytearray(saved(flat(3, "P"), "GIF"))
    struct.pack_into("<HH", data, 6, width, height)
    return bytes(data)


def many_frames(image_format: str) -> bytes:
    frames = [Image.fromarray(np.full((4, 4, 3), number % 256, np.uint8)) for number in range(3000)]
    options = {"lossless": True, "method": 0, "quality": 0} if image_format == "WEBP" else {}
    return saved(frames[0], image_format, save_all=True, append_images=frames[1:], **options)


def compressed_tiff(side: int, mode: str, compression: str) -> bytes:
    return saved(flat(0, mode, (side, side)), "TIFF", compression=compression, strip_size=2**30)


def lossless_webp(side: int, **options: Any) -> bytes:
    image = flat((1, 2, 3, 4), "RGBA", (side, side))
    return saved(image, "WEBP", lossless=True, quality=0, method=0, **options)


def deflated_tile(width: int, height: int, kind: int) -> bytes:
    """A 10 × 10 TIFF with one tile, whose sides are given as numbers of that type."""
    data = zlib.compress(bytes(width * height // 1000))
    whole = bytearray(tiff(10, 10, 8, 1, data, t259=8, t322=width, t323=height, t324=8, t325=len(data)))
    for tag in (322, 323):
        place = whole.index(struct.pack("<HH", tag, 4))
        struct.pack_into("<HH", whole, place, tag, kind)
    return bytes(whole)


def shared_strips(count: int) -> bytes:
    """A TIFF whose JPEG strips are all declared at the same nine hundred bytes, with 450 scans for each."""
    places: dict[str, Any] = {"t273": (400,) * count, "t278": 1, "t279": (900,) * count}
    return tiff(64, count, 8, 3, b"\xff\xda" * 1000, t259=7, t262=6, **places)


def tiled(write: Callable[..., bytes], rows: int, columns: int, mode: str, **options: Any) -> bytes:
    """A picture of equal tiles of 512 × 512 pixels; the file holds one of them for each."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 4), np.uint8), "RGBA")
    tile = write(noise.resize((512, 512), Image.Resampling.BICUBIC).convert(mode), **options)
    return grid([tile] * (rows * columns), columns, (512 * columns, 512 * rows))


def deep_tile(image: Image.Image, **options: Any) -> bytes:
    return deep_heic(np.asarray(image).astype(np.uint16) * np.uint16(257), mode=f"{image.mode};16", **options)


EMOJI = zlib.compress(("\U0001f600" * 250_000).encode(), 9)
MEGABYTE = zlib.compress(bytes(1_000_000), 9)
# Every type-3 entry says 4.
DIRECTORY = struct.pack("<4sIH", b"II*\0", 8, 65_535) + struct.pack("<HHII", 700, 3, 1, 4) * 65_535 + bytes(4)

BOMBS: dict[str, Bomb] = {
    # Pixels: just allowed, then more.
    "PNG, 50 million pixels of grey": Bomb(lambda: png(7071, 7071, 8, 0, b"\7" * 7071), None),
    "PNG, 50 million pixels of one bit": Bomb(lambda: png(7071, 7071, 1, 0, b"\7" * 884), None),
    "PNG, 38 million pixels with alpha": Bomb(lambda: png(6150, 6150, 8, 6, b"\1\2\3\4" * 6150), None),
    # The most bytes that a link may deliver, beside the most pixels.
    "PNG, 38 million pixels with alpha, 19 MB of a private chunk": Bomb(
        lambda: png(6150, 6150, 8, 6, b"\1\2\3\4" * 6150, chunk(b"abCd", bytes(19_000_000))), None
    ),
    "WEBP, 18 million pixels, 19 MB of EXIF": Bomb(lambda: lossless_webp(4240, exif=bytes(19_000_000)), None),
    "PNG, 50 million pixels with alpha": Bomb(lambda: png(7071, 7071, 8, 6, b""), "image_too_large"),
    "PNG, 41 million pixels of 16 bits with a colour key": Bomb(
        lambda: png(6400, 6400, 16, 0, b"\x12\x34" * 6400, chunk(b"tRNS", b"\x12\x34")), None
    ),
    "PNG, 3,000,000 rows of one pixel": Bomb(lambda: png(1, 3_000_000, 8, 0, b"\1"), "image_too_large"),
    "PNG, 40,000,000 pixels in one row": Bomb(
        lambda: png(40_000_000, 1, 8, 0, bytes(40_000_000)), "image_too_large"
    ),
    "PNG, 180 million pixels": Bomb(lambda: png(13_300, 13_300, 1, 0, bytes(1663)), "image_too_large"),
    "JPEG, progressive, 49 million pixels": Bomb(
        lambda: saved(flat(0, "RGB", (7000, 7000)), "JPEG", progressive=True, subsampling=0), None
    ),
    # Too few rows to be decoded at a smaller scale, and decoded twice.
    "JPEG, 26 million pixels, without its end marker": Bomb(
        lambda: saved(flat(0, "RGB", (40_000, 639)), "JPEG", subsampling=0)[:-2], None
    ),
    "JPEG, 26 million pixels, cut off": Bomb(
        lambda: saved(flat(0, "RGB", (40_000, 639)), "JPEG", subsampling=0)[:-200_000], "broken_image"
    ),
    "JPEG, progressive, four colours": Bomb(
        lambda: resized_jpeg(flat(0, "CMYK"), 7000, 7000), "image_too_large"
    ),
    "JPEG, 230 scans of 4 million pixels": Bomb(lambda: jpeg_of_many_scans(2000, 230), None),
    "JPEG, 5,000 scans": Bomb(lambda: jpeg_of_many_scans(2000, 5000), "image_too_large"),
    "WEBP, 18 million pixels": Bomb(lambda: lossless_webp(4240), None),
    "WEBP, 25 million pixels": Bomb(lambda: lossless_webp(5000), "image_too_large"),
    "GIF, a canvas of 49 million pixels": Bomb(lambda: resized_gif(7000, 7000), None),
    "GIF, a canvas of 4 billion pixels": Bomb(lambda: resized_gif(65_535, 65_535), "image_too_large"),
    "BMP, run lengths, 49 million pixels": Bomb(
        lambda: run_length_bmp(7000, 7000, b"\1\7\0\0" * 7000), "image_too_large"
    ),
    "BMP, run lengths, 4 million pixels": Bomb(lambda: run_length_bmp(2000, 2000, b"\1\7\0\0" * 2000), None),
    "BMP, 600,000 run lengths": Bomb(
        lambda: run_length_bmp(2000, 2000, b"\1\7" * 600_000), "image_too_large"
    ),
    "BMP, 24 bits, cut off": Bomb(lambda: bmp(6000, 6000, bytes(18_000))[:1000], "broken_image"),
    "TIFF, one strip of 44 million pixels": Bomb(lambda: compressed_tiff(6600, "L", "tiff_deflate"), None),
    "TIFF, one strip of 49 million CMYK pixels": Bomb(
        lambda: tiff(7000, 7000, 8, 4, bytes(9), t259=5, t262=5), "image_too_large"
    ),
    "TIFF, one strip of 20 million JPEG pixels": Bomb(lambda: compressed_tiff(4500, "RGB", "jpeg"), None),
    "TIFF, compressed with zstd": Bomb(lambda: compressed_tiff(4000, "L", "zstd"), "broken_image"),
    "TIFF, one tile of 400 million pixels": Bomb(lambda: deflated_tile(20_000, 20_000, 4), "image_too_large"),
    "TIFF, the same, in a type that Pillow skips and libtiff reads": Bomb(
        lambda: deflated_tile(20_000, 20_000, 17), "broken_image"
    ),
    "TIFF, strips that lie in one another": Bomb(lambda: shared_strips(500), "broken_image"),
    "HEIC, 49 million pixels in tiles": Bomb(lambda: tiled(heic, 11, 17, "RGB", quality=50), None),
    "HEIC, 42 million pixels in tiles, 19 MB": Bomb(lambda: tiled(heic, 9, 18, "RGB"), "image_too_large"),
    "HEIC, 10 bits, 4:4:4, with alpha, 8 million pixels in tiles": Bomb(
        lambda: tiled(deep_tile, 4, 8, "RGBA", chroma=444), None
    ),
    "HEIC, 10 bits, 4:4:4, with alpha, 16 million pixels in tiles": Bomb(
        lambda: tiled(deep_tile, 8, 8, "RGBA", chroma=444), "image_too_large"
    ),
    "AVIF, 27 million pixels in tiles": Bomb(lambda: tiled(avif, 4, 26, "RGB"), None),
    "AVIF, 4:4:4, with alpha, 21 million pixels in tiles": Bomb(
        lambda: tiled(avif, 8, 10, "RGBA", subsampling="4:4:4"), None
    ),
    "AVIF, 47 million pixels in tiles": Bomb(lambda: tiled(avif, 12, 15, "RGB"), "image_too_large"),
    # Metadata.
    "PNG, 4,000 profiles of a megabyte": Bomb(
        lambda: repeated_chunk(b"iCCP", b"a\0\0" + MEGABYTE, 4000), "image_too_large"
    ),
    "PNG, 64 MB of emoji": Bomb(
        lambda: png(4, 4, 8, 2, bytes(12), *[chunk(b"iTXt", b"%d\0\1\0\0\0" % n + EMOJI) for n in range(64)]),
        "broken_image",
    ),
    "PNG, 350,000 empty chunks": Bomb(lambda: repeated_chunk(b"abCd", b"", 350_000), "image_too_large"),
    "PNG, EXIF of 500,000 fractions": Bomb(lambda: saved(flat(1, "L"), "PNG", exif=rationals(500_000)), None),
    "WEBP, EXIF of 500,000 fractions": Bomb(
        lambda: saved(flat((1, 2, 3)), "WEBP", exif=rationals(500_000)), None
    ),
    "JPEG, EXIF of 500,000 fractions": Bomb(lambda: jpeg_with_exif(rationals(500_000)), "image_too_large"),
    "JPEG, EXIF of 100,000 fractions": Bomb(lambda: jpeg_with_exif(rationals(100_000)), None),
    "JPEG, 4,000,000 fill bytes": Bomb(
        lambda: b"\xff\xd8" + b"\xff" * 4_000_000 + saved(flat(1, "L"), "JPEG")[2:], "image_too_large"
    ),
    "TIFF, 65,535 tags": Bomb(lambda: DIRECTORY, "broken_image"),
    "TIFF, one tag of a million numbers": Bomb(
        lambda: tiff(4, 4, 8, 1, bytes(16), t50000=1).replace(
            struct.pack("<HHII", 50_000, 4, 1, 1), struct.pack("<HHII", 50_000, 4, 1_000_000, 0)
        ),
        "image_too_large",
    ),
    # Frames.
    "GIF, 3,000 frames": Bomb(lambda: many_frames("GIF"), None),
    "WEBP, 3,000 frames": Bomb(lambda: many_frames("WEBP"), None),
}

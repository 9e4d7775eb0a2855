"""Tiny pictures and folders of them, drawn for the tests, some byte by byte."""

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenslet.inference.decode import decode

RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
COLOURS = {"R": RED, "G": GREEN, "B": BLUE, "Y": YELLOW}


def plain(colour: tuple[int, int, int], image_format: str = "PNG", side: int = 8) -> bytes:
    """A picture of one colour, encoded."""
    file = BytesIO()
    Image.new("RGB", (side, side), colour).save(file, image_format)
    return file.getvalue()


def noisy(seed: int, colour: tuple[int, int, int], side: int = 24) -> bytes:
    """A PNG of one colour under noise: every seed another photo, every colour another class."""
    noise = np.random.default_rng(seed).integers(-40, 41, (side, side, 3))
    file = BytesIO()
    Image.fromarray(np.clip(np.array(colour) * 0.6 + 50 + noise, 0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def write_class(folder: Path, count: int, colour: tuple[int, int, int], first_seed: int = 0) -> None:
    """`count` different pictures of one class."""
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number:02}.png").write_bytes(noisy(first_seed + number, colour))


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

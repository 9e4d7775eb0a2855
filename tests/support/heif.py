"""HEIC and AVIF files for the tests: encoded by x265 and libaom, and grids of them, which neither writes."""

import struct
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image

from lenslet.inference.heif_container import CodedPicture, Still, read_still, rewritten


def heic(image: Image.Image, orientation: int = 1, **options: Any) -> bytes:
    """`orientation`, as in EXIF, is written as `irot` and `imir`, and into the EXIF data, as phones do."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = BytesIO()
    written = pillow_heif.from_pillow(image)
    written.save(file, **{"quality": 95, "exif": exif.tobytes(), **options})
    return file.getvalue()


def deep_heic(pixels: NDArray[np.uint16], bits: int = 10, mode: str = "RGB;16", **options: Any) -> bytes:
    """`pixels`, 0…65535, of shape (height, width, channels), in 10 or 12 bits."""
    file = BytesIO()
    pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
    size = (pixels.shape[1], pixels.shape[0])
    pillow_heif.encode(mode, size, pixels.tobytes(), file, quality=95, **options)
    return file.getvalue()


def avif(image: Image.Image, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, "AVIF", **{"quality": 95, "speed": 10, **options})
    return file.getvalue()


def grid(tiles: list[bytes], columns: int, size: tuple[int, int]) -> bytes:
    """A picture of equal tiles, as phones write photos of HEIC; with alpha if the tiles have it."""
    parts = [read_still(tile) for tile in tiles]
    rows = len(parts) // columns
    alphas = tuple(part.alpha for part in parts if part.alpha)

    def whole(pictures: tuple[CodedPicture, ...]) -> CodedPicture:
        ispe = ((b"ispe", struct.pack(">III", 0, *size)), False)
        shared = tuple(each for each in pictures[0].properties if each[0][0] in (b"pixi", b"colr", b"auxC"))
        descriptor = struct.pack(">BBBBII", 0, 1, rows - 1, columns - 1, *size)
        return CodedPicture(b"grid", descriptor, (ispe, *shared), pictures)

    colour = whole(tuple(part.picture for part in parts))
    return rewritten(Still(colour, whole(alphas) if alphas else None, False, None, 1))


def boxes_of(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each box with its header, those inside of `meta`, `iprp`, `ipco` and `iref` too."""
    place, end = start, len(data) if end is None else end
    while place + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, place)
        yield kind, place, place + size
        inside = {b"meta": 12, b"iref": 12, b"iprp": 8, b"ipco": 8}.get(kind)
        if inside:
            yield from boxes_of(data, place + inside, place + size)
        place += size


def with_property(data: bytes, kind: bytes, content: bytes) -> bytes:
    """The file with the content of its first property of that kind replaced by one of the same length."""
    start, end = next((start, end) for name, start, end in boxes_of(data) if name == kind)
    assert len(content) == end - start - 8
    return data[: start + 8] + content + data[end:]

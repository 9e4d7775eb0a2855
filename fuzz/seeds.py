"""Seeds of the fuzzer: tiny drawn pictures of every format and mode."""

from collections.abc import Collection
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image

from lenslet.inference.decode import format_of

SIDE = 12
# Format, its modes, and the options with which each of them is saved.
VARIANTS: tuple[tuple[str, tuple[str, ...], tuple[dict[str, Any], ...]], ...] = (
    ("JPEG", ("L", "RGB", "CMYK"), ({}, {"progressive": True}, {"subsampling": 2, "restart_marker_rows": 1})),
    ("PNG", ("L", "LA", "RGB", "RGBA", "I;16"), ({},)),
    ("PNG", ("1", "P"), ({}, {"transparency": 1}, {"bits": 2})),
    ("WEBP", ("RGB", "RGBA"), ({}, {"lossless": True})),
    ("GIF", ("L", "P", "RGB"), ({}, {"transparency": 1, "disposal": 2, "interlace": False})),
    ("BMP", ("1", "L", "P", "RGB", "RGBA"), ({},)),
    ("AVIF", ("L", "RGB", "RGBA"), ({}, {"subsampling": "4:4:4"})),
    ("HEIF", ("L", "RGB", "RGBA"), ({"quality": 50}, {"quality": 50, "chroma": 444})),
    (
        "TIFF",
        ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "YCbCr"),
        ({}, *({"compression": name} for name in ("tiff_lzw", "tiff_deflate", "packbits"))),
    ),
    ("TIFF", ("L", "RGB", "CMYK", "YCbCr"), ({"compression": "jpeg"},)),
    ("TIFF", ("1",), ({"compression": "group4"}, {"compression": "group3"})),
)
ANIMATED = ("GIF", "PNG", "WEBP", "TIFF", "MPO", "AVIF", "HEIF")


def write_seeds(folder: Path, formats: Collection[str]) -> int:
    """Write those of `pictures()` that have one of the formats, one a file. Returns their number."""
    chosen = [picture for picture in pictures() if format_of(picture) in formats]
    for number, picture in enumerate(chosen):
        (folder / f"seed_{number:03}").write_bytes(picture)
    return len(chosen)


@cache
def pictures() -> tuple[bytes, ...]:
    """Every combination that Pillow can write, a run-length BMP, which it can only read, and JPEGs that are cut off."""
    return (*_plain(), *_with_metadata(), *_animated(), _run_length_bmp(), *_cut_off())


def _plain() -> list[bytes]:
    return [
        _saved(_drawn(mode), image_format, **options)
        for image_format, modes, variants in VARIANTS
        for mode in modes
        for options in variants
    ]


def _cut_off() -> list[bytes]:
    """JPEGs without their end marker, which are completed."""
    return [
        _saved(_drawn(mode), "JPEG", progressive=is_progressive)[:-2]
        for mode in ("L", "RGB", "CMYK")
        for is_progressive in (True, False)
    ]


def _with_metadata() -> list[bytes]:
    pictures = []
    for image_format in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"):
        for orientation in (3, 6):
            exif = Image.Exif()
            exif[0x0112] = orientation
            exif.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
            pictures.append(
                _saved(_drawn("RGB"), image_format, exif=exif, icc_profile=bytes(40), dpi=(72, 72))
            )
    return pictures


def _animated() -> list[bytes]:
    # Drawn again for each, because an image keeps settings of the format in which it was last saved.
    return [
        _saved(_drawn("RGB"), each, save_all=True, append_images=[_drawn("RGB").rotate(90)])
        for each in ANIMATED
    ]


def _run_length_bmp() -> bytes:
    """8 bits, 4 × 2, two runs a row: Pillow reads such files and does not write them."""
    runs = bytes([2, 7, 2, 9, 0, 0, 0, 4, 1, 2, 3, 4, 0, 1])
    plain = bytearray(_saved(_drawn("P").resize((4, 2)), "BMP"))
    plain[30:34] = (1).to_bytes(4, "little")
    return bytes(plain[: int.from_bytes(plain[10:14], "little")]) + runs


def _drawn(mode: str) -> Image.Image:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8))
    if mode == "I;16":
        return Image.fromarray(np.asarray(noise.convert("L")).astype(np.uint16) * 257)
    return noise.convert(mode)


def _saved(image: Image.Image, image_format: str, **options: Any) -> bytes:
    file = BytesIO()
    if image_format == "HEIF":
        # Not by Pillow's registry: the plugin would also read, and stand in for the decoder under test.
        written = pillow_heif.from_pillow(image)
        for each in options.pop("append_images", ()):
            written.add_from_pillow(each)
        if "exif" in options:
            options["exif"] = options["exif"].tobytes()
        for name in ("icc_profile", "dpi"):
            options.pop(name, None)
        written.save(file, **options)
        return file.getvalue()
    image.save(file, image_format, **options)
    return file.getvalue()

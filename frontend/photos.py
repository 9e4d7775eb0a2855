"""A photo brought to what the endpoint takes, and what the page shows of it: a small copy, a map of colours."""

import base64
import struct
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

# The limits of openapi.yaml, `info.description`: 6 MiB for a body in base64, what the gateway wraps around it included.
MAX_BYTES = 4_400_000
# 50 million pixels, "fewer in formats that take more memory": README.md, "Limits", for WEBP, the costliest.
MAX_PIXELS = {"JPEG": 50_000_000}
MAX_OTHER_PIXELS = 18_000_000
# The model looks at a few hundred pixels a side; this leaves it many times as many.
SCALED_SIDE = 2048
QUALITY = 90
# A picture this page decodes itself, after JPEG's own scaling: 240 MB in RGBA.
MAX_DECODED_PIXELS = 60_000_000
PREVIEW_SIDE = 720
PREVIEW_QUALITY = 80
MAP_SIDE = 192

ORIENTATION = 0x0112

# From Pillow, where a file is damaged, cut off, endless or no picture at all.
UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    struct.error,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    AssertionError,
    Image.DecompressionBombError,
)

# Anchors of matplotlib's inferno (van der Walt and Smith, CC0), whose lightness rises evenly: it is read rightly in
# grey and by the colour-blind. Its near-black lower end is left out: there the map is transparent.
HEAT = np.array(
    [
        (87, 16, 110),
        (136, 34, 106),
        (187, 55, 84),
        (227, 89, 51),
        (249, 140, 10),
        (249, 201, 50),
        (252, 255, 164),
    ],
    dtype=float,
)


class PhotoError(Exception):
    """The photo cannot be sent; the message is a sentence for people."""


@dataclass(frozen=True)
class Prepared:
    """A photo's bytes as they are sent, and what the page did to it, in words; "" for nothing."""

    data: bytes
    note: str = ""


def prepare(data: bytes) -> Prepared:
    """The photo as it is if the endpoint takes it, else scaled down, upright, as JPEG.

    What is no picture goes as it is too: to say so is the endpoint's part. Raises PhotoError if the file is empty, or
    too large to send and no picture that can be made smaller.
    """
    if not data:
        raise PhotoError("The file is empty: choose another one.")
    try:
        image = Image.open(BytesIO(data))
        pixels = image.width * image.height
        most = MAX_PIXELS.get(image.format or "", MAX_OTHER_PIXELS)
        if pixels <= most and len(data) <= MAX_BYTES:
            return Prepared(data)
        upright = _upright_size(image)
        small, scaled = _small_enough(image)
    except UNREADABLE:
        if len(data) <= MAX_BYTES:
            return Prepared(data)
        raise PhotoError(
            f"The file has {megabytes(len(data))}; the endpoint takes {megabytes(MAX_BYTES)}, and this page cannot "
            "scale it down: make it smaller, or save it as JPEG."
        ) from None
    limit = f"{most // 1_000_000} megapixels of {image.format}" if pixels > most else megabytes(MAX_BYTES)
    change = f"Scaled down from {_by(upright)} to {_by(small.size)} pixels"
    if small.size == upright:
        change = "Saved anew as JPEG"
    return Prepared(scaled, f"{change} before sending: the endpoint takes at most {limit}.")


def preview(data: bytes) -> bytes | None:
    """A small upright JPEG to show, or None if Pillow cannot read the photo."""
    try:
        return saved(_scaled(Image.open(BytesIO(data)), PREVIEW_SIDE), PREVIEW_QUALITY)
    except UNREADABLE:
        return None


def heat_map(grid: tuple[tuple[float, ...], ...]) -> bytes:
    """An activation map as a PNG to lay over the photo: yellow where most speaks for the label, clear where least."""
    values = Image.fromarray(np.array(grid, dtype=np.float32)).resize(
        (MAP_SIDE, MAP_SIDE), Image.Resampling.BICUBIC
    )
    strength = np.clip(np.asarray(values), 0, 1)
    rgba = np.dstack([colours(strength), np.rint(255 * strength).astype(np.uint8)])
    return saved(Image.fromarray(rgba), None)


def colours(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Values 0…1 of any shape as uint8 RGB, shape (…, 3), lighter with each step."""
    places = np.linspace(0, 1, len(HEAT))
    channels = [np.rint(np.interp(values, places, HEAT[:, channel])) for channel in range(3)]
    rgb: NDArray[np.uint8] = np.stack(channels, axis=-1).astype(np.uint8)
    return rgb


def data_url(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def saved(image: Image.Image, quality: int | None) -> bytes:
    """As JPEG of that quality, or as PNG for None."""
    file = BytesIO()
    if quality is None:
        image.save(file, "PNG")
    else:
        image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def megabytes(count: int) -> str:
    return f"{count / 1_000_000:.1f} MB"


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]:,} × {size[1]:,}"


def _upright_size(image: Image.Image) -> tuple[int, int]:
    is_turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)  # EXIF 2.32, section 4.6.4
    return (image.height, image.width) if is_turned else image.size


def _small_enough(image: Image.Image) -> tuple[Image.Image, bytes]:
    """The photo scaled down, and its JPEG, which the endpoint takes."""
    small, side = _scaled(image, SCALED_SIDE), SCALED_SIDE
    encoded = saved(small, QUALITY)
    while len(encoded) > MAX_BYTES:  # noise, of which JPEG makes several bytes a pixel
        side = side * 3 // 4
        small.thumbnail((side, side))
        encoded = saved(small, QUALITY)
    return small, encoded


def _scaled(image: Image.Image, side: int) -> Image.Image:
    """The first frame, upright, in RGB with alpha over white, no side longer than `side`."""
    image.draft("RGB", (2 * side, 2 * side))  # JPEG only: decoded at a half, quarter or eighth
    if image.width * image.height > MAX_DECODED_PIXELS:
        raise ValueError("too many pixels to decode here")
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I;16"):  # Pillow would clip it to white
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        image = Image.new("RGB", with_alpha.size, "white")
        image.paste(with_alpha, mask=with_alpha.getchannel("A"))
    image = image.convert("RGB")
    image.thumbnail((side, side), reducing_gap=2.0)
    return image

"""Photos scaled down to what the endpoint accepts, their previews, and explanations as colours."""

import base64
import struct
from dataclasses import dataclass
from io import BytesIO
from threading import Lock
from typing import Any

import numpy as np
import pi_heif
from numpy.typing import NDArray
from PIL import Image, ImageOps

# Limit of openapi.yaml (`info.description`): 6 MiB for a base64 body with the event that the gateway wraps around it.
MAX_BYTES = 4_400_000
# By format: the most pixels that are sent unchanged, and the most that this page scales down. The endpoint accepts 50
# million, and fewer in formats that take more memory (docs/api.md, "Limits"). Pillow decodes JPEG at a fraction of its
# size; WEBP and some TIFF take up to 17 bytes a pixel, other formats 4. Measured: at most 490 MB for a photo.
MAX_PIXELS = {
    "JPEG": (50_000_000, 110_000_000),
    "MPO": (50_000_000, 110_000_000),
    "WEBP": (18_000_000, 30_000_000),
    "TIFF": (18_000_000, 30_000_000),
    "AVIF": (18_000_000, 28_000_000),
    # 4:2:0 of 8 bits, as phones write it, takes 9 bytes a pixel here, 4:4:4 of 10 bits with alpha 25.
    "HEIF, 8 bits, 4:2:0": (50_000_000, 50_000_000),
    "HEIF": (10_000_000, 18_000_000),
}
MAX_OTHER_PIXELS = (36_000_000, 60_000_000)
# Many times the model's input, which has a few hundred pixels a side.
SCALED_SIDE = 2048
QUALITY = 90
BAND_PIXELS = 1_000_000
PREVIEW_SIDE = 720
PREVIEW_QUALITY = 80
MAP_SIDE = 192

ORIENTATION = 0x0112

# Errors that Pillow raises for files that are damaged, truncated, endless or not pictures.
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
    RuntimeError,
    Image.DecompressionBombError,
)

# Anchors of matplotlib's inferno (van der Walt and Smith, CC0): perceptually uniform, so that it also reads well
# in grey and with colour blindness. Its near-black lower end is left out: there the map is transparent.
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


# For HEIC. Of files with several pictures only the primary one is decoded; it is upright then.
pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)


class PhotoError(Exception):
    """The photo cannot be sent; the message is one sentence with the remedy."""


@dataclass(frozen=True)
class Prepared:
    """A photo's bytes as they are sent, a note about what was changed, and a small upright JPEG to show.

    `note` is "" if nothing was changed, `preview` None if this page cannot read the photo.
    """

    data: bytes
    note: str = ""
    preview: bytes | None = None


# Process-wide: decoding is memory-hungry, so one photo at a time.
decoding = Lock()


def prepare(data: bytes) -> Prepared:
    """The photo unchanged if the endpoint accepts it, else scaled down, upright, as JPEG.

    Files that are not pictures are sent unchanged too: the endpoint reports them. Raises PhotoError if the file is
    empty, or too large to send and not a picture that can be scaled down.
    """
    with decoding:
        return _prepare(data)


def _prepare(data: bytes) -> Prepared:
    if not data:
        raise PhotoError("The file is empty: choose another one.")
    try:
        image = Image.open(BytesIO(data))
        pixels = image.width * image.height
        most, _ = _max_pixels(image)
        if pixels <= most and len(data) <= MAX_BYTES:
            return Prepared(data, preview=_preview(_scaled(image, PREVIEW_SIDE)))
        upright = _upright_size(image)
        small, scaled = _small_enough(image)
    except UNREADABLE:
        if len(data) <= MAX_BYTES:
            return Prepared(data)
        raise PhotoError(
            f"The file is larger than the {megabytes(MAX_BYTES)} that the endpoint accepts, and this page cannot scale "
            "it down: make it smaller, or save it as JPEG."
        ) from None
    # "may": of grey PNG, for instance, the endpoint accepts more.
    limit = f"may not accept more than {most // 1_000_000} megapixels of {image.format}"
    if pixels <= most:
        limit = f"accepts at most {megabytes(MAX_BYTES)}"
    change = f"Scaled down from {_by(upright)} to {_by(small.size)} pixels"
    if small.size == upright:
        change = "Saved again as JPEG"
    return Prepared(scaled, f"{change} before sending: the endpoint {limit}.", _preview(small))


def heat_map(grid: tuple[tuple[float, ...], ...]) -> bytes:
    """The map of an explanation as a PNG over the photo: yellow where it is strongest, transparent where weakest."""
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


def _max_pixels(image: Image.Image) -> tuple[int, int]:
    is_plain = image.info.get("bit_depth") == 8 and image.info.get("chroma") == 420 and image.mode == "RGB"
    kind = "HEIF, 8 bits, 4:2:0" if image.format == "HEIF" and is_plain else image.format or ""
    return MAX_PIXELS.get(kind, MAX_OTHER_PIXELS)


def _small_enough(image: Image.Image) -> tuple[Image.Image, bytes]:
    """The photo scaled down, and its JPEG of at most MAX_BYTES."""
    small, side = _scaled(image, SCALED_SIDE), SCALED_SIDE
    encoded = saved(small, QUALITY)
    while len(encoded) > MAX_BYTES:  # noise takes several bytes a pixel as JPEG
        side = side * 3 // 4
        small.thumbnail((side, side))
        encoded = saved(small, QUALITY)
    return small, encoded


def _preview(image: Image.Image) -> bytes:
    small = image.copy()
    small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    return saved(small, PREVIEW_QUALITY)


def _scaled(image: Image.Image, side: int) -> Image.Image:
    """The first frame, upright, in RGB with alpha over white, no side longer than `side`.

    Reduced in bands, to keep only one full-size copy in memory. Raises ValueError if the picture is too large for that.
    """
    _, most = _max_pixels(image)
    if (
        "progressive" in image.info
    ):  # JPEG: up to 6 bytes a pixel of the full size, whatever the decoding scale
        _, most = MAX_OTHER_PIXELS
    if image.width * image.height > most:
        raise ValueError("too many pixels to decode here")
    orientation = image.getexif().get(ORIENTATION, 1)
    image.draft("RGB", (2 * side, 2 * side))  # JPEG only: decoded at a half, quarter or eighth
    factor = max(1, max(image.size) // side)
    rows = factor * max(1, BAND_PIXELS // (factor * image.width))
    small = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    for top in range(0, image.height, rows):
        band = _rgb(image.crop((0, top, image.width, min(top + rows, image.height))))
        small.paste(band.reduce(factor), (0, top // factor))
    small.thumbnail((side, side))
    small.getexif()[ORIENTATION] = orientation
    return ImageOps.exif_transpose(small)


def _rgb(band: Image.Image) -> Image.Image:
    if band.mode.startswith("I;16"):  # Pillow would clip it to white
        band = Image.fromarray((np.asarray(band) >> 8).astype(np.uint8))
    if band.has_transparency_data:
        with_alpha = band.convert("RGBA")
        band = Image.new("RGB", band.size, "white")
        band.paste(with_alpha, mask=with_alpha.getchannel("A"))
    return band.convert("RGB")

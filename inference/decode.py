"""Image bytes to the pixels the model sees: the one place that decides how a photo is read."""

import re
import struct
import warnings
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

# The two plugins that Pillow does not load by itself: left to it, the first WEBP would import all forty.
from PIL import Image, TiffImagePlugin, WebPImagePlugin  # noqa: F401

from inference.errors import BrokenImage, ImageTooLarge, NotAnImage

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
SIGNATURES = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP|GIF8[79]a|BM|II[*+]\0|MM\0[*+]", re.DOTALL
)
MAX_PIXELS = 50_000_000

# The name of this procedure in model.json. Change it whenever the pixels that `decode` returns change:
# cached pixels and trained models are tied to it.
RESIZE_RULE = "squash-bilinear-antialias"

EXIF_ORIENTATION = 0x0112
# EXIF 2.32, section 4.6.4: how the stored picture must be turned to stand upright.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# What Pillow's plugins raise on damaged files, beside OSError.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    struct.error,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
)

# Pillow warns of odd metadata, which does not matter here, and of many pixels, which are refused below.
# Said once, at import: `warnings.catch_warnings` is not safe among threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


def decode(data: bytes, size: int) -> NDArray[np.uint8]:
    """Read a picture in any of `FORMATS`, whatever its file was called, as the square that the model sees.

    The first frame is turned upright, brought to 8-bit RGB (16-bit by scale, alpha over white) and squashed
    to `size` × `size` pixels with an antialiased bilinear filter.

    Returns: uint8 RGB, shape (size, size, 3), range 0…255; read-only.
    Raises: NotAnImage (unknown format), ImageTooLarge (more than `MAX_PIXELS`, refused before decoding),
        BrokenImage (truncated, damaged, or samples that are signed, wider than 16 bits, or floating-point).
    """
    image = _open(data)
    try:
        # libjpeg can decode at 1/2, 1/4 or 1/8; twice the wanted size leaves the filter enough to average.
        image.draft(None, (2 * size, 2 * size))
        image.load()
        rgb = _rgb(_upright(image))
    except DAMAGE as error:
        raise BrokenImage("the image is truncated, damaged, or has no 8-bit colours") from error
    return np.asarray(rgb.resize((size, size), Image.Resampling.BILINEAR))


def _open(data: bytes) -> Image.Image:
    """Sniff the format and read the header; no pixel is decoded yet."""
    if not SIGNATURES.match(data):
        raise NotAnImage(f"the data are not an image we read ({', '.join(FORMATS)})")
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
        pixels = max(image.width * image.height, _tile_pixels(image))
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(f"the image has far more than {MAX_PIXELS:,} pixels, the limit") from error
    except DAMAGE as error:
        raise BrokenImage("the image's header is truncated or damaged") from error
    if pixels > MAX_PIXELS:
        raise ImageTooLarge(f"the image has {pixels:,} pixels; the limit is {MAX_PIXELS:,}")
    return image


def _tile_pixels(image: Image.Image) -> int:
    """TIFF decodes tile by tile, whole, and a small picture may announce tiles of a gigabyte."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 0
    width = image.tag_v2.get(TiffImagePlugin.TILEWIDTH, 0)
    return int(width) * int(image.tag_v2.get(TiffImagePlugin.TILELENGTH, 0))


def _upright(image: Image.Image) -> Image.Image:
    """Undo the camera's rotation. Damaged EXIF is no reason to refuse a photo that decodes."""
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    except DAMAGE:
        return image
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _rgb(image: Image.Image) -> Image.Image:
    """Any of Pillow's modes to RGB: alpha over white, 16 bits by scale."""
    if image.mode in ("I", "F"):
        raise ValueError("signed, 32-bit and floating-point samples have no defined white")
    if image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        # Converting to the mode that it has would copy it: 200 MB for the largest picture.
        with_alpha = image if image.mode == "RGBA" else image.convert("RGBA")
        image = Image.new("RGB", image.size, "white")
        image.paste(with_alpha, mask=with_alpha.getchannel("A"))
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey to 8-bit by its upper byte, as Pillow does with 16-bit colours (its grey it would clip).

    The one grey that a PNG may declare transparent becomes white.
    """
    samples = np.asarray(image)
    if "transparency" in image.info:
        samples = np.where(samples == image.info["transparency"], 0xFFFF, samples)
    return Image.fromarray((samples >> 8).astype(np.uint8))

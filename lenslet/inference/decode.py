"""Image bytes to the pixels of the model's input; training, evaluation and serving all decode with it."""

import re
import struct
import warnings
import zlib
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

# The two plugins that Pillow does not preload: without these imports, the first WEBP would import all forty.
from PIL import Image, ImageFile, JpegImagePlugin, TiffImagePlugin, TiffTags, WebPImagePlugin  # noqa: F401

from lenslet.inference.budget import MAX_EXIF_BYTES, MAX_PIXELS, CountedReader, check, check_directory
from lenslet.inference.errors import BrokenImage, ImageTooLarge, NotAnImage
from lenslet.inference.heif import DAMAGED, not_read, open_still
from lenslet.inference.jpeg_scans import END_OF_IMAGE, START_OF_SCAN, misses_refinement_alone

# Format → how its files begin. Of the last two: the size of the first box, `ftyp` and the major brand (ISO 14496-12,
# section 4.3). HEIC and AVIF share the brands mif1, mif2 and msf1; which it is, the codec of the picture tells.
SIGNATURES = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "WEBP": rb"RIFF....WEBP",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM",
    "TIFF": rb"II\*\0|MM\0\*",
    "AVIF": rb"....ftyp(?:avi[fs]|(?:mi|ms)f[12]....(?:....){0,8}avi[fs])",
    "HEIC": rb"....ftyp(?:hei[cmsx]|hev[cmsx]|mif[12]|msf1)",
}
FORMATS = tuple(SIGNATURES)
HEIF_FORMATS = ("AVIF", "HEIC")
SIGNATURE = re.compile(
    b"|".join(b"(?P<%s>%s)" % (name.encode(), each) for name, each in SIGNATURES.items()), re.DOTALL
)
# Large pictures are turned and brought to 8-bit RGB in bands of this size.
BAND_PIXELS = 1_000_000

# The name of this procedure in model.json. Change it whenever the pixels that `decode` returns change, because cached
# pixels and trained models depend on it.
RESIZE_RULE = "squash-bilinear-antialias"

# Of a JPEG that is cut off: the share of its pixels that may be missing. Browsers show any; one that misses more than
# a few rows was interrupted, and would be classified by a grey area.
MAX_MISSING_SHARE = 0.05
NO_SAMPLE = 128  # what libjpeg gives where data are missing
MAX_BLOCK_ROWS = 32  # four rows of 8 × 8 blocks with the strongest subsampling

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

COLUMNS_BECOME_ROWS = (5, 6, 7, 8)
FAR_END_COMES_FIRST = (3, 4, 7, 8)

# Pillow scales 2-bit and 4-bit grey to 8 bits, but not the level that is declared transparent.
GREY_STEPS = {"L;2": 85, "L;4": 17}

# Exceptions that Pillow's plugins raise on damaged files.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    struct.error,
    zlib.error,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    AssertionError,
)

# Pillow warns of malformed metadata, which does not matter here, and of many pixels, which are refused below.
# Filtered once, at import, because `warnings.catch_warnings` is not thread-safe.
warnings.filterwarnings("ignore", module=r"PIL\.")


def decode(data: bytes, size: int, formats: Collection[str] = FORMATS) -> NDArray[np.uint8]:
    """Decode a picture in any of `formats`, detected from the bytes, to the square input of a model.

    The first frame, or the primary picture of a HEIC or AVIF file, is turned upright, converted to 8-bit RGB (10, 12
    and 16 bits by scale, alpha over white) and resized to `size` × `size` pixels, whatever its aspect ratio, with an
    antialiased bilinear filter.

    A baseline JPEG without its end marker, or which misses at most `MAX_MISSING_SHARE` of its pixels at the end, is
    decoded as browsers do: what is missing is grey. So is a progressive one that is cut off in its last scan, if that
    only refines. Others that are cut off are broken.

    Returns: uint8 RGB, shape (size, size, 3), range 0…255; read-only.
    Raises: NotAnImage (another format), ImageTooLarge (takes more than `lenslet.inference.budget` allows,
        refused before decoding), BrokenImage (truncated, damaged, a kind of TIFF that is not
        read, or samples that are signed, wider than 16 bits, or floating-point).
    """
    try:
        name = format_of(data, formats)
        if name in HEIF_FORMATS:
            image, orientation = open_still(data, size, formats)
        else:
            # In a statement of its own: a traceback would keep the first picture in memory beside the second.
            image = _loaded(data, size, name) or _completed(data, size)
            orientation = _orientation(image)
        rgb = _upright_rgb(image, orientation)
        return np.asarray(rgb.resize((size, size), Image.Resampling.BILINEAR))
    except DAMAGE as error:
        raise BrokenImage(DAMAGED) from error


def format_of(data: bytes, formats: Collection[str] = FORMATS) -> str:
    """Which of `formats` the data are, by their first bytes. Raises: NotAnImage, which names another known format."""
    match = SIGNATURE.match(data)
    if match is None:
        raise NotAnImage(f"the data are not an image we read ({', '.join(formats)})")
    name = str(match.lastgroup)
    if name not in formats:
        raise NotAnImage(not_read(name, formats))
    return name


def _loaded(data: bytes, size: int, name: str) -> ImageFile.ImageFile | None:
    """The picture, or None if it is a JPEG that is cut off and may be completed."""
    image = _open(data, size, name)
    if image.info.get("progressive") and misses_refinement_alone(data):
        return None
    # libjpeg can decode at 1/2, 1/4 or 1/8; twice the wanted size leaves the filter enough to average.
    image.draft(None, (2 * size, 2 * size))
    try:
        image.load()
    except OSError as error:
        if not _may_be_completed(image, data, error):
            raise
        return None
    return image


def _may_be_completed(image: ImageFile.ImageFile, data: bytes, error: OSError) -> bool:
    """Whether a JPEG is cut off in its only scan, so that pixels are either complete or missing."""
    scan = data.rfind(START_OF_SCAN)
    return (
        isinstance(image, JpegImagePlugin.JpegImageFile)
        and "truncated" in str(error)
        and not image.info.get("progressive")
        and data[scan + 4 : scan + 5] == bytes([image.layers])  # components in the scan
    )


def _completed(data: bytes, size: int) -> ImageFile.ImageFile:
    """A JPEG that is cut off, decoded with an end marker. Raises BrokenImage if too much of it is missing."""
    image = _loaded(data + END_OF_IMAGE, size, "JPEG")
    if image is None or (not image.info.get("progressive") and _missing_share(image) > MAX_MISSING_SHARE):
        raise BrokenImage(
            f"the JPEG is truncated: more than {MAX_MISSING_SHARE:.0%} of its pixels are missing"
        )
    return image


def _missing_share(image: Image.Image) -> float:
    """Share of the pixels that are grey, from the end of each of the last rows; at most a little above the limit."""
    # Blocks have up to 32 rows, the last of them may be there in part; more rows would take memory for nothing.
    rows = min(image.height, int(MAX_MISSING_SHARE * image.height) + 1 + MAX_BLOCK_ROWS)
    last = np.asarray(image.crop((0, image.height - rows, *image.size))).reshape(rows, image.width, -1)
    is_grey = (last == NO_SAMPLE).all(axis=2)
    at_end = np.logical_and.accumulate(is_grey[::-1, ::-1], axis=1).sum(axis=1)
    missing = int(at_end[np.logical_and.accumulate(at_end > 0)].sum())
    return missing / (image.width * image.height)


def _open(data: bytes, size: int, name: str) -> ImageFile.ImageFile:
    """Read the header and check what decoding costs; no pixel is decoded yet."""
    try:
        if data.startswith((b"II", b"MM")):
            check_directory(data)
        reader = CountedReader(data)
        image = Image.open(reader, formats=[name])
        check(image, reader, size)
        _mend_header(image)
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(f"the image has far more than {MAX_PIXELS:,} pixels, the limit") from error
    except DAMAGE as error:
        raise BrokenImage("the image's header is truncated or damaged") from error
    return image


def _mend_header(image: ImageFile.ImageFile) -> None:
    """Correct header fields that Pillow misreads, and remove those that it would spend long on without need."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        exif = image.getexif()
        # Pillow makes an object for every number in a page's EXIF and GPS tags.
        for tag in TiffTags.TAGS_V2_GROUPS:
            if tag in exif:
                del exif[tag]
        if 2 in image.tag_v2.get(TiffImagePlugin.SAMPLEFORMAT, ()):
            raise BrokenImage("the TIFF has signed samples: they have no 8-bit colours")
    elif image.format == "PNG" and "transparency" in image.info and image.tile:
        arguments = image.tile[0].args
        step = GREY_STEPS.get(arguments if isinstance(arguments, str) else "")
        if step:
            image.info["transparency"] = image.info["transparency"] % (255 // step + 1) * step


def _orientation(image: Image.Image) -> int:
    """EXIF orientation. A photo that decodes is not refused for damaged or very long EXIF data."""
    if len(image.info.get("exif", b"")) > MAX_EXIF_BYTES:
        return 1
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    except DAMAGE:
        return 1
    return orientation if isinstance(orientation, int) and orientation in UPRIGHT else 1


def _upright_rgb(image: Image.Image, orientation: int) -> Image.Image:
    """The picture turned upright, in 8-bit RGB; in bands, so that there are never more than two large copies."""
    if image.mode == "RGB" and orientation == 1 and not image.has_transparency_data:
        return image
    across, down = image.size[::-1] if orientation in COLUMNS_BECOME_ROWS else image.size
    rows = max(1, BAND_PIXELS // across)
    upright = Image.new("RGB", (across, down))
    for top in range(0, down, rows):
        bottom = min(top + rows, down)
        first, last = (down - bottom, down - top) if orientation in FAR_END_COMES_FIRST else (top, bottom)
        box = (first, 0, last, across) if orientation in COLUMNS_BECOME_ROWS else (0, first, across, last)
        band = image.crop(box)
        upright.paste(
            _rgb(band.transpose(UPRIGHT[orientation]) if orientation > 1 else band, image), (0, top)
        )
    return upright


def _rgb(band: Image.Image, image: Image.Image) -> Image.Image:
    """A band of `image`, in any of Pillow's modes, to RGB: alpha over white, 16 bits by scale."""
    if band.mode in ("I", "F"):
        raise ValueError("signed, 32-bit and floating-point samples have no defined white")
    if band.mode.startswith("I;16"):
        band = _eight_bits(band, image)
    if band.has_transparency_data:
        with_alpha = band.convert("RGBA")
        band = Image.new("RGB", band.size, "white")
        band.paste(with_alpha, mask=with_alpha.getchannel("A"))
    return band if band.mode == "RGB" else band.convert("RGB")


def _eight_bits(band: Image.Image, image: Image.Image) -> Image.Image:
    """16-bit grey to 8-bit by its upper byte, as Pillow does with 16-bit colours (its grey it would clip).

    The one grey that a PNG may declare transparent becomes white. Pillow neither scales the 12 bits of a TIFF nor
    heeds that 0 may be white in one.
    """
    samples = np.asarray(band)
    if "transparency" in image.info:
        samples = np.where(samples == image.info["transparency"], 0xFFFF, samples)
    shift = 8
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        shift = max(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (16,))) - 8
        if image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 0) == 0:
            samples = 0xFFFF - samples
    return Image.fromarray((samples >> shift).astype(np.uint8))

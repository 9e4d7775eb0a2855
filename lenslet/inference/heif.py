"""HEIC and AVIF pictures: what they cost to decode, then their pixels, by libheif and libavif.

Both libraries are loaded by the first such picture: together they would take 35 ms of every cold start.
"""

from collections.abc import Collection, Sequence
from io import BytesIO

from PIL import Image

from lenslet.inference.budget import MAX_DECODING_BYTES, MAX_PIXELS
from lenslet.inference.coded_size import CodedSize, coded_size
from lenslet.inference.errors import BrokenImage, NotAnImage
from lenslet.inference.heif_boxes import check_limit
from lenslet.inference.heif_container import Still, read_still, rewritten

BAND_ROWS = 512
DAMAGED = "the image is truncated, damaged, or has no 8-bit colours"
# Estimated processor time of all coded pictures together, tiles, transparency and frames that are never shown included.
# A batch of photos may begin one at the end of its three seconds, and has five.
MAX_MILLISECONDS = 2000
NANOSECONDS_PER_BYTE = 70  # of coded data
NANOSECONDS_PER_SAMPLE = {"HEIC": 20, "AVIF": 10}  # and byte of it: 4:2:0 of 8 bits has 1.5 for each pixel
# Measured peaks, in bytes a pixel, P being the bytes of its planes. libheif: 4.8 for 4:2:0 and grey of 8 bits (of them
# the planes, and RGB), 8.6 for 4:2:2, 9.5 for 4:4:4, 15.5 of 10 bits, 20.8 with alpha. libavif: 9.4 for 4:2:0, 13.5 for
# 4:4:4 with alpha, of which Pillow's two pictures, as decoded and upright, take the most.
HEIC_PLAIN_BYTES, PLAIN_PLANES = 5.0, 1.5
HEIC_PLANES, HEIC_RGB_BYTES = 2.0, 5.0
AVIF_RGB_BYTES = 9.5


def upright_size(data: bytes) -> tuple[int, int]:
    """Width and height as the picture is shown; no pixel is decoded. Raises: BrokenImage, ImageTooLarge."""
    still = read_still(data)
    left, top, right, bottom = still.crop or (0, 0, *still.picture.size)
    across, down = right - left, bottom - top
    return (down, across) if still.orientation > 4 else (across, down)


def open_still(data: bytes, size: int, formats: Collection[str]) -> tuple[Image.Image, int]:
    """The pixels of a file's primary picture, cut as it asks, and the EXIF orientation that turns it upright.

    Pictures of HEIC are brought to the smallest whole fraction of their size that is at least 2 × `size`, as JPEGs are:
    at most one eighth.

    Raises: NotAnImage (its format is not in `formats`), ImageTooLarge, BrokenImage.
    """
    still = read_still(data)
    if still.format not in formats:
        raise NotAnImage(not_read(still.format, formats))
    _check_cost(still, size)
    read = {"HEIC": _read_heic, "AVIF": _read_avif}[still.format]
    return read(rewritten(still), still.crop, size), still.orientation


def not_read(kind: str, formats: Collection[str]) -> str:
    return f"the data are {kind}, which is not read here; convert it to one that is ({', '.join(formats)})"


def _check_cost(still: Still, size: int) -> None:
    sizes = [coded_size(each) for each in still.coded]
    width, height = still.picture.size
    pixels = max(width * height, *(each.pixels for each in sizes))
    check_limit("pixels", pixels, MAX_PIXELS)
    check_limit("milliseconds to decode", _milliseconds(still, sizes), MAX_MILLISECONDS)
    planes = max(each.bytes_per_pixel for each in sizes[: len(still.picture.coded)])
    if still.alpha:
        planes += max(each.bytes_per_pixel for each in sizes[len(still.picture.coded) :])
    if still.format == "AVIF":
        per_pixel = planes + AVIF_RGB_BYTES
    elif planes <= PLAIN_PLANES:
        per_pixel = HEIC_PLAIN_BYTES
    else:
        per_pixel = HEIC_PLANES * planes + HEIC_RGB_BYTES
    line = max(width, height) * (4 * size + 24)  # as in lenslet.inference.budget
    check_limit("bytes to unpack", int(pixels * per_pixel) + line, MAX_DECODING_BYTES)


def _milliseconds(still: Still, sizes: Sequence[CodedSize]) -> int:
    samples = sum(each.pixels * each.bytes_per_pixel * each.frames for each in sizes)
    coded_bytes = sum(len(each.data) for each in still.coded)
    return (
        int(NANOSECONDS_PER_SAMPLE[still.format] * samples + NANOSECONDS_PER_BYTE * coded_bytes) // 1_000_000
    )


def _read_avif(data: bytes, crop: tuple[int, int, int, int] | None, size: int) -> Image.Image:
    from PIL import AvifImagePlugin

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each has buffers of its own; photos are decoded side by side
    try:
        image = Image.open(BytesIO(data), formats=["AVIF"])
        image.load()
    except RuntimeError as error:
        raise BrokenImage(DAMAGED) from error
    return image.crop(crop) if crop else image


def _read_heic(data: bytes, crop: tuple[int, int, int, int] | None, size: int) -> Image.Image:
    """In bands, so that Pillow's picture of 4 bytes a pixel never stands beside that of libheif."""
    import pi_heif

    pi_heif.options.DECODE_THREADS = 1
    try:
        # It scales 10 and 12 bits to 8.
        picture = pi_heif.open_heif(BytesIO(data), remove_stride=False)[0]
        pixels = memoryview(picture.data)
    except (RuntimeError, IndexError, AttributeError) as error:
        raise BrokenImage(DAMAGED) from error
    left, top, right, bottom = crop or (0, 0, *picture.size)
    across, down = right - left, bottom - top
    factor = next((each for each in (8, 4, 2) if min(across, down) >= 2 * size * each), 1)
    whole = Image.new(picture.mode, (-(-across // factor), -(-down // factor)))
    for first in range(top, bottom, BAND_ROWS):
        rows = min(BAND_ROWS, bottom - first)
        lines = bytes(pixels[first * picture.stride : (first + rows) * picture.stride])
        band = Image.frombuffer(
            picture.mode, (picture.size[0], rows), lines, "raw", picture.mode, picture.stride, 1
        )
        whole.paste(band.crop((left, 0, right, rows)).reduce(factor), (0, (first - top) // factor))
    return whole

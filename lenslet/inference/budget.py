"""Limits of memory and time for decoding a picture, checked before it is decoded.

Together with the limits of links (`lenslet.serving.links.fetcher`) and of batches (`lenslet.serving.answer`) they keep
a process that starts with 110 MB and answers one request at a time below 512 MB, and each request below 5 seconds
of processor time.
"""

import ctypes
import struct
from contextlib import suppress
from io import BytesIO

from PIL import BmpImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from lenslet.inference.errors import BrokenImage, ImageTooLarge

KEPT_BYTES = 16 * 1024 * 1024  # of freed memory, in each process
MAX_PIXELS = 50_000_000
MAX_DECODING_BYTES = 310_000_000
# Pillow reads headers, chunks and tags in Python, one by one, at about a microsecond each.
MAX_PIECES = 250_000
MAX_EXIF_SEGMENTS = 16  # JPEG: of 64 KB; a camera writes one
MAX_EXIF_BYTES = MAX_EXIF_SEGMENTS * 64 * 1024  # longer EXIF data of a PNG or WEBP is ignored
MAX_COMPRESSED_CHUNKS = 64  # PNG: each may unpack to a megabyte
# TIFF: the numbers of a tag become Python objects. The offsets of 65,535 strips fit, one for each row.
MAX_TAG_BYTES = 512 * 1024
# JPEG: every scan passes over the whole picture, 2 ms a megapixel, and may be ten bytes long.
# Progressive files have 10 to 18.
MAX_SCANNED_PIXELS = 1_000_000_000
# Run-length BMP is decoded in Python, partly pixel by pixel.
MAX_RUN_LENGTH_PIXELS, MAX_RUN_LENGTH_PIECES = 4_000_000, 1_000_000

# Compressions by their names in Pillow. The others are rare, and libtiff's decoders for them little tested.
TIFF_COMPRESSIONS = (
    "raw", "tiff_ccitt", "group3", "group4", "tiff_lzw", "jpeg", "tiff_adobe_deflate", "tiff_deflate", "packbits",
)  # fmt: skip
COMPRESSED_CHUNKS = (b"zTXt", b"iTXt", b"iCCP")
START_OF_SCAN = b"\xff\xda"
# By mode of Pillow; the others take 4.
BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
WEBP_BYTES_PER_PIXEL = 17  # two canvases, the frame, the picture

# All text of one PNG; Pillow's own limit is 64 MB, which become 256 where the text has one emoji.
PngImagePlugin.MAX_TEXT_MEMORY = 8 * 1024 * 1024

# TIFF 6.0, section 2: tag types whose values are one string of bytes, and the sizes of some others.
BYTE_TYPES, SHORT, LONG = (1, 2, 6, 7), 3, 4
TYPE_BYTES = {SHORT: 2, LONG: 4, 8: 2, 9: 4, 11: 4, 13: 4}  # rationals and the rest have 8
# Width, length, samples, rows per strip, planes, tile width and length: Pillow and libtiff each read them.
SIZE_TAGS = (256, 257, 277, 278, 284, 322, 323)


def bound_freed_memory() -> None:
    """Let glibc keep up to `KEPT_BYTES` of freed memory, and no block of half of that or more. No effect without glibc.

    By default glibc returns every freed megabyte to the system and requests it again: 5 ms of page faults while a body
    of 3 MB arrives. Once it has freed a large block it keeps such blocks, up to 620 MB after many costly pictures.
    Each thread keeps its own: those that fetch the links of a batch would keep 100 MB together.
    """
    trim_threshold, mmap_threshold, most_arenas = -1, -3, -8  # malloc.h
    with suppress(AttributeError, OSError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(trim_threshold, KEPT_BYTES)
        libc.mallopt(mmap_threshold, KEPT_BYTES // 2)
        libc.mallopt(most_arenas, 1)


class CountedReader(BytesIO):
    """A file that Pillow may read in a limited number of pieces, so that no format floods its parser.

    They are counted as they are read: searching megabytes for them would cost milliseconds for every photo.
    Raises: ImageTooLarge.
    """

    pieces_left = MAX_PIECES
    exif_segments = compressed_chunks = 0
    last = b""

    def read(self, size: int | None = -1, /) -> bytes:
        self.pieces_left -= 1
        if self.pieces_left < 0:
            raise ImageTooLarge("the image's file consists of too many pieces to be read in time")
        self.last = super().read(size)
        if self.last.startswith(b"Exif\0\0"):
            self.exif_segments += 1
            _limit("EXIF segments", self.exif_segments, MAX_EXIF_SEGMENTS)
        elif len(self.last) == 8 and self.last.endswith(COMPRESSED_CHUNKS):
            self.compressed_chunks += 1
            _limit("compressed chunks", self.compressed_chunks, MAX_COMPRESSED_CHUNKS)
        return self.last


def check_directory(data: bytes) -> None:
    """Refuse a TIFF whose tags Pillow would read for seconds, or which libtiff would read differently.

    Raises: ImageTooLarge; BrokenImage or struct.error if the tags are malformed.
    """
    order = "<" if data.startswith(b"II") else ">"
    (place,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, place)
    for index in range(count):
        tag, kind, values = struct.unpack_from(f"{order}HHI", data, place + 2 + 12 * index)
        if kind not in BYTE_TYPES:
            _limit(f"bytes in tag {tag}", values * TYPE_BYTES.get(kind, 8), MAX_TAG_BYTES)
        if tag in SIZE_TAGS and (values != 1 or kind not in (SHORT, LONG)):
            raise BrokenImage(f"the TIFF is damaged: its tag {tag} is not one whole number")


def check(image: ImageFile.ImageFile, reader: CountedReader, size: int) -> None:
    """Refuse a picture, opened by Pillow from `reader`, that is too costly to decode and to resize to `size` pixels.

    Raises: ImageTooLarge; BrokenImage, if the compression of a TIFF is not in `TIFF_COMPRESSIONS`.
    """
    pixels = image.width * image.height
    _limit("pixels", max(pixels, _strip_pixels(image)), MAX_PIXELS)
    if isinstance(image, BmpImagePlugin.BmpImageFile) and image.tile[0].codec_name == "bmp_rle":
        _limit("pixels in run lengths", pixels, MAX_RUN_LENGTH_PIXELS)
        reader.pieces_left = MAX_RUN_LENGTH_PIECES  # two for each run
    if isinstance(image, TiffImagePlugin.TiffImageFile) and _compression(image) not in TIFF_COMPRESSIONS:
        raise BrokenImage(f"the TIFF is compressed in a way that is not read: {_compression(image)}")
    scans = _scans(image, reader) if isinstance(image, JpegImagePlugin.JpegImageFile) else 1
    scanned = _strip_scans(image, reader.getvalue()) * _strip_pixels(image) or scans * pixels
    _limit("pixels in all scans", scanned, MAX_SCANNED_PIXELS)
    # A line may be ten million pixels long: Pillow's pointers and weights, and the picture resized in one direction.
    line = max(image.size) * (4 * size + 24)
    _limit("bytes to unpack", _decoding_bytes(image, scans, size) + line, MAX_DECODING_BYTES)


def _limit(what: str, found: int, limit: int) -> None:
    if found > limit:
        raise ImageTooLarge(f"the image has {found:,} {what}; the limit is {limit:,}")


def _compression(image: TiffImagePlugin.TiffImageFile) -> str:
    return str(image.info["compression"])


def _strip_pixels(image: ImageFile.ImageFile) -> int:
    """Pixels of one strip or tile, which TIFF decodes as a whole and a small picture may declare huge; others: 0."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 0
    tags = image.tag_v2
    if TiffImagePlugin.TILEWIDTH in tags:
        return int(tags[TiffImagePlugin.TILEWIDTH]) * int(tags.get(TiffImagePlugin.TILELENGTH, 1))
    width, height = tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH]
    return int(width) * int(min(tags.get(TiffImagePlugin.ROWSPERSTRIP, height), height))


def _scans(image: JpegImagePlugin.JpegImageFile, reader: CountedReader) -> int:
    """How many times the decoder passes over a JPEG; each embedded preview may count as one more."""
    # Pillow stops at the header of the first scan, which begins with the number of its components. If it has all of
    # them and is not progressive, the decoder stops after this scan.
    is_whole = reader.last[:1] == bytes([image.layers]) and "progressive" not in image.info
    return 1 if is_whole else reader.getvalue().count(START_OF_SCAN)


def _strip_scans(image: ImageFile.ImageFile, data: bytes) -> int:
    """The same for all JPEG strips of a TIFF together; other pictures: 0."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or _compression(image) != "jpeg":
        return 0
    # Each strip is a JPEG of its own, and may be declared at the offset of another.
    tags = image.tag_v2
    starts = tags.get(TiffImagePlugin.STRIPOFFSETS) or tags.get(TiffImagePlugin.TILEOFFSETS, ())
    lengths = tags.get(TiffImagePlugin.STRIPBYTECOUNTS) or tags.get(TiffImagePlugin.TILEBYTECOUNTS, ())
    if len(starts) != len(lengths) or min(lengths, default=0) < 1 or sum(lengths) > len(data):
        raise BrokenImage("the TIFF is damaged: its strips do not lie side by side")
    return sum(
        data.count(START_OF_SCAN, start, start + length)
        for start, length in zip(starts, lengths, strict=True)
    )


def _decoding_bytes(image: ImageFile.ImageFile, scans: int, size: int) -> int:
    """Peak memory of Pillow, its decoders and `decode`, without the file itself."""
    pixels, per_pixel = image.width * image.height, BYTES_PER_PIXEL.get(image.mode, 4)
    if image.format == "WEBP":
        return pixels * WEBP_BYTES_PER_PIXEL
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return max(pixels * (per_pixel + 4), pixels * per_pixel + _strip_bytes(image))
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return pixels * (per_pixel + 4)  # as stored, and as RGB
    coefficients = 0
    if scans > 1:  # all are kept, of 2 bytes each
        samples = [across * down for _, across, down, _ in image.layer]
        coefficients = 2 * pixels * sum(samples) // max(1, *samples)
    scale = next((scale for scale in (8, 4, 2) if min(image.size) >= 2 * size * scale), 1)  # as `draft` does
    drafted = pixels // scale**2
    return max(drafted * (per_pixel + 4), drafted * per_pixel + coefficients)


def _strip_bytes(image: TiffImagePlugin.TiffImageFile) -> int:
    """Memory of libtiff for a compressed TIFF: one strip or tile as it is stored."""
    tags, compression = image.tag_v2, _compression(image)
    if compression == "raw":
        return 0
    sample_bits = tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 3) * max(
        tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
    )
    # JPEG keeps its coefficients; libtiff itself converts YCbCr to RGBA.
    is_ycbcr = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 6
    extra_bytes = 8 if compression == "jpeg" else 4 if is_ycbcr else 0
    return int(_strip_pixels(image) * (sample_bits + 8 * extra_bytes) // 8)

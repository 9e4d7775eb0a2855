"""Sizes that HEVC and AV1 bitstreams declare, which decoders allocate by, whatever the container says.

ITU-T H.265 (2021), 7.3.2.2; AV1 Bitstream & Decoding Process Specification, 5.5. Only the headers are read.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from lenslet.inference.errors import BrokenImage, ImageTooLarge
from lenslet.inference.heif_container import CodedPicture

HEVC_SPS, HEVC_LAST_SLICE = 33, 21
AV1_SEQUENCE, AV1_FRAMES = 1, (3, 6)
SPS_BYTES = 400
MAX_UNITS = 100_000  # slices, tiles and other parts of one picture
# Bytes of a pixel in all planes, by chroma format: grey, 4:2:0, 4:2:2, 4:4:4.
PLANES = (1.0, 1.5, 2.0, 3.0)


@dataclass(frozen=True)
class CodedSize:
    """Size and layout of a coded picture after decoding."""

    width: int
    height: int
    bytes_per_pixel: float
    frames: int  # pictures in the bitstream, those that are never shown among them

    @property
    def pixels(self) -> int:
        return self.width * self.height


class _Bits:
    """Bits of a header, from the first. Raises: BrokenImage at its end."""

    def __init__(self, data: bytes) -> None:
        self.value, self.left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        self.left -= count
        if self.left < 0:
            raise BrokenImage("the image's header is truncated or damaged")
        return self.value >> self.left & ((1 << count) - 1)

    def golomb(self) -> int:
        """An unsigned Exp-Golomb number, up to 32 bits."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 32:
                raise BrokenImage("the image's header is truncated or damaged")
        return (1 << zeros) - 1 + self.take(zeros)


def coded_size(picture: CodedPicture) -> CodedSize:
    """Raises: BrokenImage, ImageTooLarge."""
    try:
        return (_hevc_size if picture.kind == b"hvc1" else _av1_size)(picture)
    except (struct.error, IndexError) as error:
        raise BrokenImage("the image's header is truncated or damaged") from error


def _largest(sizes: list[tuple[int, int, float]], frames: int) -> CodedSize:
    if not sizes or not frames:
        raise BrokenImage("the image is damaged: there is no picture in it")
    widths, heights, planes = zip(*sizes, strict=True)
    return CodedSize(max(widths), max(heights), max(planes), frames)


def _hevc_size(picture: CodedPicture) -> CodedSize:
    config = picture.content_of(b"hvcC")
    length_bytes = (config[21] & 3) + 1
    units = [*_configured_units(config), *_units(picture.data, length_bytes)]
    # The base layer alone: the decoder skips others, such as the second view of a spatial photo.
    base = [unit for unit in units if len(unit) > 2 and not (unit[0] & 1 or unit[1] >> 3)]
    kinds = [unit[0] >> 1 & 63 for unit in base]
    sizes = [_sps_size(unit) for unit, kind in zip(base, kinds, strict=True) if kind == HEVC_SPS]
    # The first slice of a picture says so in its first bit.
    first = sum(kind <= HEVC_LAST_SLICE and unit[2] >> 7 for unit, kind in zip(base, kinds, strict=True))
    return _largest(sizes, first)


def _configured_units(config: bytes) -> Iterator[bytes]:
    """Parameter sets in an `hvcC` box."""
    place = 23
    for _ in range(config[22]):
        (count,) = struct.unpack_from(">H", config, place + 1)
        place += 3
        for _ in range(count):
            (length,) = struct.unpack_from(">H", config, place)
            yield config[place + 2 : place + 2 + min(length, SPS_BYTES)]
            place += 2 + length


def _units(data: bytes, length_bytes: int) -> Iterator[bytes]:
    """The beginning of each NAL unit."""
    place = number = 0
    while place + length_bytes <= len(data):
        length = int.from_bytes(data[place : place + length_bytes], "big")
        place += length_bytes
        yield data[place : place + min(length, SPS_BYTES)]
        place += length
        number += 1
        if number > MAX_UNITS:
            raise ImageTooLarge(f"the image has more than {MAX_UNITS:,} parts, the limit")


def _sps_size(unit: bytes) -> tuple[int, int, float]:
    """Width, height and bytes of a pixel that a sequence parameter set declares."""
    bits = _Bits(unit[2:].replace(b"\0\0\3", b"\0\0"))  # without emulation prevention
    bits.take(4)
    sub_layers = bits.take(3)
    bits.take(1 + 88 + 8)
    present = [(bits.take(1), bits.take(1)) for _ in range(sub_layers)]
    if sub_layers:
        bits.take(2 * (8 - sub_layers))
    for has_profile, has_level in present:
        bits.take(88 * has_profile + 8 * has_level)
    bits.golomb()
    chroma = bits.golomb()
    if chroma == 3:
        bits.take(1)
    width, height = bits.golomb(), bits.golomb()
    if bits.take(1):
        for _ in range(4):
            bits.golomb()
    depth = 8 + max(bits.golomb(), bits.golomb())
    return width, height, PLANES[min(chroma, 3)] * (2 if depth > 8 else 1)


def _av1_size(picture: CodedPicture) -> CodedSize:
    units = [*_obus(picture.content_of(b"av1C")[4:]), *_obus(picture.data)]
    sizes = [_sequence_size(content) for kind, content in units if kind == AV1_SEQUENCE]
    return _largest(sizes, sum(kind in AV1_FRAMES for kind, _ in units))


def _obus(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and beginning of each open bitstream unit."""
    place = number = 0
    while place < len(data):
        head = data[place]
        place += 2 if head & 4 else 1
        length, shift = len(data) - place, 0
        if head & 2:
            length = 0
            for shift in range(0, 56, 7):
                length |= (data[place] & 127) << shift
                place += 1
                if data[place - 1] < 128:
                    break
        yield head >> 3 & 15, data[place : place + min(length, SPS_BYTES)]
        place += length
        number += 1
        if number > MAX_UNITS:
            raise ImageTooLarge(f"the image has more than {MAX_UNITS:,} parts, the limit")


def _sequence_size(content: bytes) -> tuple[int, int, float]:
    """Width, height and bytes of a pixel that a sequence header declares."""
    bits = _Bits(content)
    profile = bits.take(3)
    bits.take(1)
    if is_reduced := bits.take(1):
        bits.take(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    width, height = bits.take(width_bits) + 1, bits.take(height_bits) + 1
    if not is_reduced and bits.take(1):
        bits.take(7)
    bits.take(3)
    if not is_reduced:
        _skip_inter_tools(bits)
    bits.take(3)
    is_deep = bits.take(1)
    return width, height, PLANES[1 if profile == 0 else 3] * (2 if is_deep else 1)


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):
            bits.golomb()
        if bits.take(1):  # decoder model
            delay_bits = bits.take(5) + 1
            bits.take(42)
    has_display_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if has_display_delay and bits.take(1):
            bits.take(4)


def _skip_inter_tools(bits: _Bits) -> None:
    bits.take(4)
    has_order_hint = bits.take(1)
    if has_order_hint:
        bits.take(2)
    forces_screen_content = 2 if bits.take(1) else bits.take(1)
    if forces_screen_content and not bits.take(1):
        bits.take(1)
    if has_order_hint:
        bits.take(3)

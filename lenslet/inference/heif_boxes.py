"""The boxes of a HEIF file (ISO/IEC 14496-12, ISO/IEC 23008-12): which items it has, and where their bytes lie."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from lenslet.inference.errors import BrokenImage, ImageTooLarge

MAX_META_BYTES = 1 << 20
MAX_ITEMS, MAX_EXTENTS = (
    4096,
    8192,
)  # a 48-megapixel photo of a phone has 192 tiles, and as many of its gain map
MAX_CODED_BYTES = 24 * 1024 * 1024
Box = tuple[bytes, bytes]  # kind, content


@dataclass
class Meta:
    """The parsed `meta` box."""

    primary: int = 0
    kinds: dict[int, bytes] = field(default_factory=dict)
    references: list[tuple[bytes, int, tuple[int, ...]]] = field(default_factory=list)
    properties: list[Box] = field(default_factory=list)
    associations: dict[int, list[tuple[int, bool]]] = field(default_factory=dict)
    extents: dict[int, tuple[int, list[tuple[int, int]]]] = field(default_factory=dict)
    idat: bytes = b""


def boxes(data: bytes, place: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the content of each box between `place` and `end`. Raises: BrokenImage."""
    while place + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, place)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, place + 8)
            head = 16
        size = size or end - place
        if size < head or place + size > end:
            raise BrokenImage("the image is truncated or damaged: a part of it leads beyond its end")
        yield kind, place + head, place + size
        place += size


def read_meta(data: bytes) -> Meta:
    found = next(((start, end) for kind, start, end in _top_boxes(data) if kind == b"meta"), None)
    if found is None:
        raise BrokenImage("the image is truncated, damaged, or a sequence without a cover picture")
    start, end = found
    check_limit("bytes of descriptions", end - start, MAX_META_BYTES)
    meta = Meta()
    readers = {b"pitm": _read_primary, b"iinf": _read_kinds, b"iref": _read_references, b"iloc": _read_places}
    for kind, inner, stop in boxes(data, start + 4, end):
        if kind in readers:
            readers[kind](meta, data[inner:stop])
        elif kind == b"iprp":
            _read_properties(meta, data, inner, stop)
        elif kind == b"idat":
            meta.idat = data[inner:stop]
    return meta


def _top_boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """As `boxes`; a last box that is cut off does not hide those before it."""
    place = 0
    while place + 8 <= len(data):
        kind, start, end = next(boxes(data, place, max(len(data), place + _size_of(data, place))))
        yield kind, start, min(end, len(data))
        place = end


def _size_of(data: bytes, place: int) -> int:
    (size,) = struct.unpack_from(">I", data, place)
    return int(struct.unpack_from(">Q", data, place + 8)[0]) if size == 1 else int(size)


def _read_primary(meta: Meta, box: bytes) -> None:
    (meta.primary,) = struct.unpack_from(">I" if box[0] else ">H", box, 4)


def _read_kinds(meta: Meta, box: bytes) -> None:
    wide = box[0] > 0
    for kind, start, _ in boxes(box, 8 if wide else 6, len(box)):
        if kind == b"infe" and box[start] >= 2:
            number, _, item_kind = struct.unpack_from(">IH4s" if box[start] > 2 else ">HH4s", box, start + 4)
            meta.kinds[number] = item_kind
            check_limit("items", len(meta.kinds), MAX_ITEMS)


def _read_references(meta: Meta, box: bytes) -> None:
    letter, width = ("I", 4) if box[0] else ("H", 2)
    for kind, start, end in boxes(box, 4, len(box)):
        source, count = struct.unpack_from(f">{letter}H", box, start)
        targets = struct.unpack_from(f">{count}{letter}", box[:end], start + width + 2)
        meta.references.append((kind, source, targets))


def _read_properties(meta: Meta, data: bytes, start: int, end: int) -> None:
    for kind, inner, stop in boxes(data, start, end):
        if kind == b"ipco":
            meta.properties += [(name, data[one:two]) for name, one, two in boxes(data, inner, stop)]
        elif kind == b"ipma":
            _read_associations(meta, data[inner:stop])


def _read_associations(meta: Meta, box: bytes) -> None:
    version, is_wide = box[0], box[3] & 1
    (entries,) = struct.unpack_from(">I", box, 4)
    place = 8
    for _ in range(entries):
        item, count = struct.unpack_from(">IB" if version else ">HB", box, place)
        place += 5 if version else 3
        values = struct.unpack_from(f">{count}{'H' if is_wide else 'B'}", box, place)
        place += count * (2 if is_wide else 1)
        essential = 0x8000 if is_wide else 0x80
        found = meta.associations.setdefault(item, [])
        found += [(value & (essential - 1), bool(value & essential)) for value in values]


def _read_places(meta: Meta, box: bytes) -> None:
    """Where the bytes of each item lie. `iloc` has numbers of 0, 4 or 8 bytes, and three versions."""
    version, sizes = box[0], (box[4] >> 4, box[4] & 15, box[5] >> 4, box[5] & 15 if box[0] else 0)
    if not set(sizes) <= {0, 4, 8}:
        raise BrokenImage("the image's header is truncated or damaged")
    place = 6

    def number(size: int) -> int:
        nonlocal place
        if place + size > len(box):
            raise IndexError(place)
        value = int.from_bytes(box[place : place + size], "big")
        place += size
        return value

    offset_size, length_size, base_size, index_size = sizes
    wide = 4 if version > 1 else 2
    extents = 0
    for _ in range(number(wide)):
        item = number(wide)
        method = number(2) & 15 if version else 0
        number(2)  # the file that holds the bytes: this one
        base, count = number(base_size), number(2)
        extents += count
        check_limit("parts", extents, MAX_EXTENTS)
        found = []
        for _ in range(count):
            number(index_size)
            offset = base + number(offset_size)
            found.append((offset, number(length_size)))
        meta.extents[item] = (method, found)


def properties_of(meta: Meta, item: int) -> Iterator[tuple[Box, bool]]:
    for index, is_essential in meta.associations.get(item, ()):
        if 0 < index <= len(meta.properties):
            yield meta.properties[index - 1], is_essential


def bytes_of(meta: Meta, data: bytes, item: int) -> bytes:
    method, extents = meta.extents.get(item, (0, []))
    source = {0: data, 1: meta.idat}.get(method)
    if source is None or not extents:
        raise BrokenImage("the image is damaged: there are no data of its picture")
    ends = [offset + length if length else len(source) for offset, length in extents]
    if max(ends) > len(source):
        raise BrokenImage("the image is truncated: a part of its picture is missing")
    check_limit(
        "coded bytes",
        sum(end - offset for (offset, _), end in zip(extents, ends, strict=True)),
        MAX_CODED_BYTES,
    )
    return b"".join(source[offset:end] for (offset, _), end in zip(extents, ends, strict=True))


def check_limit(what: str, found: int, limit: int) -> None:
    if found > limit:
        raise ImageTooLarge(f"the image has {found:,} {what}; the limit is {limit:,}")

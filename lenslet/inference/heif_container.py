"""The container of HEIC and AVIF files: find the picture that is shown, and write it again with nothing else.

ISO/IEC 23008-12 (HEIF), ISO/IEC 14496-12 (boxes) and AV1 Image File Format 1.2. The decoders are given only what
`rewritten` returns, so that thumbnails, other pictures, tracks, metadata and malformed boxes never reach them, and no
decoder turns or cuts a picture: `lenslet.inference.decode` does both, once, for all formats.
"""

import struct
from dataclasses import dataclass

from lenslet.inference.errors import BrokenImage
from lenslet.inference.heif_boxes import (
    MAX_CODED_BYTES,
    MAX_ITEMS,
    Box,
    Meta,
    bytes_of,
    check_limit,
    properties_of,
    read_meta,
)

CODECS = {b"hvc1": "HEIC", b"av01": "AVIF"}
# What decoding needs: size, codec configuration, bits, colour matrix, kind of auxiliary picture, layers.
KEPT_PROPERTIES = (b"ispe", b"hvcC", b"av1C", b"pixi", b"colr", b"auxC", b"a1op", b"a1lx", b"lsel")
ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
# EXIF orientation by where the corners of a picture come to lie, from left to right and from top to bottom.
ORIENTATIONS = {
    (0, 1, 2, 3): 1, (1, 0, 3, 2): 2, (3, 2, 1, 0): 3, (2, 3, 0, 1): 4,
    (0, 2, 1, 3): 5, (2, 0, 3, 1): 6, (3, 1, 2, 0): 7, (1, 3, 0, 2): 8,
}  # fmt: skip


@dataclass(frozen=True)
class CodedPicture:
    """A coded picture, or a grid of them, which are its tiles."""

    kind: bytes  # hvc1, av01 or grid
    data: bytes
    properties: tuple[
        tuple[Box, bool], ...
    ]  # those of KEPT_PROPERTIES; whether the reader must understand it
    tiles: tuple["CodedPicture", ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height. Raises: BrokenImage."""
        if self.kind == b"grid":
            return _grid(self.data)[1]
        width, height = struct.unpack_from(">II", self.content_of(b"ispe"), 4)
        return width, height

    def content_of(self, kind: bytes) -> bytes:
        found = next((content for (name, content), _ in self.properties if name == kind), None)
        if found is None:
            raise BrokenImage(f"the image is damaged: it has no {kind.decode('ascii')}")
        return found

    @property
    def coded(self) -> tuple["CodedPicture", ...]:
        """The pictures that a codec decodes: the tiles, or the picture itself."""
        return self.tiles or (self,)


@dataclass(frozen=True)
class Still:
    """The picture that a file shows, with its transparency, and how it is cut and turned, in this order."""

    picture: CodedPicture
    alpha: CodedPicture | None
    is_premultiplied: bool
    crop: tuple[int, int, int, int] | None  # left, top, right, bottom, of the stored picture
    orientation: int  # as in EXIF

    @property
    def format(self) -> str:
        return CODECS[self.picture.coded[0].kind]

    @property
    def coded(self) -> tuple[CodedPicture, ...]:
        return self.picture.coded + (self.alpha.coded if self.alpha else ())


def read_still(data: bytes) -> Still:
    """The primary picture of a file; of a sequence its cover, which most have.

    Raises: BrokenImage (damaged, a sequence without a cover, or coded in another way than HEVC or AV1), ImageTooLarge.
    """
    try:
        meta = read_meta(data)
        picture = _picture(meta, data, meta.primary)
        alphas = [
            source
            for kind, source, targets in meta.references
            if kind == b"auxl" and meta.primary in targets and _is_alpha(meta, source)
        ]
        alpha = _picture(meta, data, alphas[0]) if alphas else None
        is_premultiplied = any(kind == b"prem" and one == meta.primary for kind, one, _ in meta.references)
        crop, orientation = _transformations(meta, picture.size)
    except (struct.error, IndexError, ZeroDivisionError) as error:
        raise BrokenImage("the image's header is truncated or damaged") from error
    still = Still(picture, alpha, is_premultiplied, crop, orientation)
    if len({each.kind for each in still.coded}) > 1:
        raise BrokenImage("the image is damaged: its parts are coded in different ways")
    return still


def rewritten(still: Still) -> bytes:
    """A file of this picture alone, without crop and orientation."""
    items: list[CodedPicture] = []
    references = []
    for picture in (still.picture, still.alpha):
        if picture:
            items.append(picture)
            number = len(items)
            items += picture.tiles
            if picture.tiles:
                references.append((b"dimg", number, tuple(range(number + 1, len(items) + 1))))
    if still.alpha:
        alpha = 1 + items.index(still.alpha, 1)
        references.append((b"auxl", alpha, (1,)))
        if still.is_premultiplied:
            references.append((b"prem", 1, (alpha,)))
    brand = {"HEIC": b"heic", "AVIF": b"avif"}[still.format]
    head = _box(b"ftyp", brand + bytes(4) + b"mif1" + brand + b"miaf")
    start = len(head) + len(_meta_box(items, references, 0)) + 8
    return head + _meta_box(items, references, start) + _box(b"mdat", b"".join(each.data for each in items))


def _picture(meta: Meta, data: bytes, item: int) -> CodedPicture:
    kind = meta.kinds.get(item, b"")
    kept = tuple(
        (box, is_essential)
        for box, is_essential in properties_of(meta, item)
        if box[0] in KEPT_PROPERTIES and (box[0] != b"colr" or box[1].startswith(b"nclx"))
    )
    if kind in CODECS:
        return CodedPicture(kind, bytes_of(meta, data, item), kept)
    if kind != b"grid":
        raise BrokenImage(
            f"the image is coded in a way that is not read: {kind.decode('ascii', 'replace') or 'no picture'}"
        )
    descriptor = bytes_of(meta, data, item)
    count, _ = _grid(descriptor)
    parts = next((to for how, source, to in meta.references if how == b"dimg" and source == item), ())
    check_limit("tiles", count, MAX_ITEMS)
    if len(parts) != count or any(meta.kinds.get(part) not in CODECS for part in parts):
        raise BrokenImage("the image is damaged: some of its tiles are missing")
    tiles = tuple(_picture(meta, data, part) for part in parts)
    check_limit("coded bytes", sum(len(tile.data) for tile in tiles), MAX_CODED_BYTES)
    return CodedPicture(kind, descriptor, kept, tiles)


def _is_alpha(meta: Meta, item: int) -> bool:
    contents = [content for (kind, content), _ in properties_of(meta, item) if kind == b"auxC"]
    return any(content[4:].split(b"\0")[0] in ALPHA for content in contents)


def _transformations(meta: Meta, size: tuple[int, int]) -> tuple[tuple[int, int, int, int] | None, int]:
    """Crop and orientation of the primary picture. EXIF only repeats what `irot` and `imir` say."""
    crop, corners = None, (0, 1, 2, 3)
    for (kind, content), _ in properties_of(meta, meta.primary):
        if kind == b"clap":
            if corners != (0, 1, 2, 3):
                raise BrokenImage("the image is cut after it is turned, which is not read")
            crop = _aperture(content, size)
        elif kind == b"irot":
            for _ in range(content[0] & 3):  # a quarter, anticlockwise
                corners = (corners[1], corners[3], corners[0], corners[2])
        elif kind == b"imir":
            one, two, three, four = corners
            corners = (two, one, four, three) if content[0] & 1 else (three, four, one, two)
    return crop, ORIENTATIONS[corners]


def _aperture(content: bytes, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a clean aperture: sides and distances of the centres, all as fractions."""
    width, width_of, height, height_of, x, x_of, y, y_of = struct.unpack(">8i", content[:32])
    across, down = width // width_of, height // height_of
    left = round((size[0] - across) / 2 + x / x_of)
    top = round((size[1] - down) / 2 + y / y_of)
    if not (0 <= left < left + across <= size[0] and 0 <= top < top + down <= size[1]):
        raise BrokenImage("the image is damaged: it is cut outside of itself")
    return left, top, left + across, top + down


def _grid(descriptor: bytes) -> tuple[int, tuple[int, int]]:
    """Number of tiles; width and height of the whole."""
    _, flags, rows, columns = struct.unpack_from(">BBBB", descriptor)
    width, height = struct.unpack_from(">II" if flags & 1 else ">HH", descriptor, 4)
    return (rows + 1) * (columns + 1), (width, height)


def _box(kind: bytes, *contents: bytes) -> bytes:
    return struct.pack(">I4s", 8 + sum(map(len, contents)), kind) + b"".join(contents)


def _meta_box(
    items: list[CodedPicture], references: list[tuple[bytes, int, tuple[int, ...]]], start: int
) -> bytes:
    """`start`: where the bytes of the first item lie in the file."""
    entries, places, associations = b"", b"", b""
    numbers: dict[Box, int] = {}
    tiles = {target for kind, _, targets in references if kind == b"dimg" for target in targets}
    for number, item in enumerate(items, start=1):
        entries += _box(b"infe", struct.pack(">IHH4sB", 2 << 24 | (number in tiles), number, 0, item.kind, 0))
        places += struct.pack(">HHHII", number, 0, 1, start, len(item.data))
        start += len(item.data)
        indices = [
            numbers.setdefault(box, len(numbers) + 1) | (0x8000 if essential else 0)
            for box, essential in item.properties
        ]
        associations += struct.pack(f">HB{len(indices)}H", number, len(indices), *indices)
    count = struct.pack(">H", len(items))
    links = [
        _box(kind, struct.pack(f">HH{len(to)}H", source, len(to), *to)) for kind, source, to in references
    ]
    properties = _box(b"ipco", *(_box(kind, content) for kind, content in numbers))
    return _box(
        b"meta",
        bytes(4),
        _box(b"hdlr", bytes(8), b"pict", bytes(13)),
        _box(b"pitm", bytes(4), b"\0\1"),
        _box(b"iloc", bytes(4), b"\x44\0", count, places),
        _box(b"iinf", bytes(4), count, entries),
        *([_box(b"iref", bytes(4), *links)] if links else []),
        _box(b"iprp", properties, _box(b"ipma", b"\0\0\0\1", struct.pack(">I", len(items)), associations)),
    )

"""Bounds-checked reading of FlatBuffers: https://flatbuffers.dev/internals.

The TFLite runtime reads a model file without checking its offsets, and ends in SIGSEGV where one is wrong.
"""

import struct
from collections.abc import Mapping
from typing import Any

# A field's type is a letter of `struct` for a number, TEXT, NUMBERS + a letter for a vector of numbers, the name of a
# table, VECTOR + the name of a table for a vector of tables, or UNION for a table whose name other fields tell: it
# comes as its place.
TEXT, NUMBERS, VECTOR, UNION = "text", "numbers ", "vector of ", "union"
MAX_TABLES = 100_000  # offsets may point to the same table again and again

Schema = Mapping[str, Mapping[int, tuple[str, str]]]  # table → field's number → (name, type)


class Malformed(Exception):
    """The bytes are not a FlatBuffer of the schema; the message says what is wrong."""


class FlatBuffer:
    """One file. All numbers are little-endian."""

    def __init__(self, data: bytes, schema: Schema) -> None:
        self._data = data
        self._schema = schema
        self._tables = 0

    def read(self, name: str, place: int | None = None) -> dict[str, Any]:
        """The table at `place`, by default the root, as a dictionary: field's name → value.

        Fields that are not in the file are left out; vectors of bytes come as their (start, length).
        Raises: Malformed.
        """
        try:
            return self._table(self._offset(0) if place is None else place, name)
        except struct.error:
            raise Malformed("an offset points behind its end") from None

    def _offset(self, place: int) -> int:
        """The place that the unsigned 32-bit offset at `place` points to."""
        (distance,) = struct.unpack_from("<I", self._data, place)
        if distance == 0 or place + distance > len(self._data) - 4:
            raise Malformed("an offset points outside of it")
        return place + int(distance)

    def _table(self, place: int, name: str) -> dict[str, Any]:
        self._tables += 1
        if self._tables > MAX_TABLES:
            raise Malformed(f"it has more than {MAX_TABLES:,} tables")
        (back,) = struct.unpack_from("<i", self._data, place)
        vtable = place - back
        if not 0 <= vtable <= len(self._data) - 4 or vtable % 2 or place % 4:
            raise Malformed(f"the layout of a {name} lies outside of it")
        size, inline = struct.unpack_from("<HH", self._data, vtable)
        if size < 4 or size % 2 or vtable + size > len(self._data) or place + inline > len(self._data):
            raise Malformed(f"a {name} reaches beyond its end")
        fields = self._schema[name]
        found: dict[str, Any] = {}
        if not fields:  # of a kind that is not known here
            return found
        for number, (start,) in enumerate(struct.iter_unpack("<H", self._data[vtable + 4 : vtable + size])):
            if not start:
                continue
            if number not in fields:
                raise Malformed(f"a {name} has an unknown field {number}")
            key, kind = fields[number]
            width = struct.calcsize(kind) if len(kind) == 1 else 4
            if start < 4 or start + width > inline or (place + start) % width:
                raise Malformed(f"{key} of a {name} lies outside of it")
            found[key] = self._value(place + start, kind)
        return found

    def _value(self, place: int, kind: str) -> Any:
        if len(kind) == 1:
            return struct.unpack_from(f"<{kind}", self._data, place)[0]
        start = self._offset(place)
        if kind == UNION:
            return start
        if kind == TEXT:
            return self._text(start)
        if kind.startswith(NUMBERS):
            return self._numbers(start, kind.removeprefix(NUMBERS))
        if kind.startswith(VECTOR):
            first, count = self._vector(start, 4)
            kind = kind.removeprefix(VECTOR)
            return [self._table(self._offset(first + 4 * index), kind) for index in range(count)]
        return self._table(start, kind)

    def _vector(self, place: int, width: int) -> tuple[int, int]:
        """(start, number of elements) of a vector."""
        (count,) = struct.unpack_from("<I", self._data, place)
        start = place + 4
        if start + count * width > len(self._data) or place % 4 or (count and start % width):
            raise Malformed("a vector reaches beyond its end")
        return start, int(count)

    def _text(self, place: int) -> str:
        start, count = self._vector(place, 1)
        if self._data[start + count : start + count + 1] != b"\0":
            raise Malformed("a text has no end")
        try:
            return self._data[start : start + count].decode()
        except UnicodeDecodeError:
            raise Malformed("a text is not UTF-8") from None

    def _numbers(self, place: int, letter: str) -> tuple[Any, ...]:
        start, count = self._vector(place, struct.calcsize(letter))
        if letter == "B":  # weights: megabytes, which are not copied
            return start, count
        return struct.unpack_from(f"<{count}{letter}", self._data, start)

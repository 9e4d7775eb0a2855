"""Arrays on disk, read and written row by row, with checksums: what is damaged is never taken for what was written.

A file is that of `numpy.save`, followed by a trailer: JSON with the checksum of each block of the file and with facts
about the array, then its length, checksum and a mark. Readers of .npy files ignore what follows the array.
"""

import errno
import json
import os
import struct
import sys
import weakref
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from math import ceil, prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from lenslet.inference.atomic import replacing
from lenslet.inference.errors import InputError
from lenslet.inference.json_text import parse_json
from lenslet.inference.processors import processors

BLOCK_BYTES = 16 << 20
TRAILER_END = struct.Struct("<QI8s")  # length and CRC-32 of the JSON, mark
MARK = b"lenslet1"
NOT_TO_BE_WRITTEN = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.EISDIR)


class CacheFull(InputError):
    """An array has no room in the cache, or it cannot be written; the message is one sentence with the remedy."""


class ArrayFile:
    """The array of a .npy file, read and written by rows: an index picks along the first axis, the rest comes whole.

    The index is what numpy takes for one axis: a number, a slice, an array of numbers or of booleans. What is read
    is a copy. Unlike a memory map, whose pages count as resident once they are touched, it needs no memory of
    its own, so that training's does not grow with the number of photos. Threads may share it.
    """

    def __init__(self, path: Path, is_writable: bool = False) -> None:
        """Raises: ValueError if the file is no array or is cut off."""
        self.facts: dict[str, Any] = {}  # JSON that is kept with the array
        with path.open("rb") as file:
            npy.read_magic(file)  # type: ignore[no-untyped-call]
            self.shape, _, self.dtype = npy.read_array_header_1_0(file)  # type: ignore[no-untyped-call]
            self._start = file.tell()
            self._row_bytes = prod(self.shape[1:]) * self.dtype.itemsize
            if file.seek(0, os.SEEK_END) < self._start + self.shape[0] * self._row_bytes:
                raise ValueError(f"{path} is cut off: remove it, and it will be made again")
        # Kept open: the file may be replaced or removed while it is read.
        self._descriptor = os.open(path, os.O_RDWR if is_writable else os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        wanted = np.arange(len(self))[rows]
        found = np.empty((*wanted.shape, *self.shape[1:]), self.dtype)
        for row, place in zip(wanted.flat, found.reshape(wanted.size, *self.shape[1:]), strict=True):
            os.preadv(self._descriptor, [place], self._start + int(row) * self._row_bytes)
        return found

    def __setitem__(self, rows: Any, values: NDArray[Any]) -> None:
        wanted = np.arange(len(self))[rows]
        given = np.broadcast_to(np.asarray(values, self.dtype), (*wanted.shape, *self.shape[1:]))
        for row, value in zip(wanted.flat, given.reshape(wanted.size, *self.shape[1:]), strict=True):
            os.pwrite(self._descriptor, value.tobytes(), self._start + int(row) * self._row_bytes)

    def flush(self) -> None:
        os.fsync(self._descriptor)


@contextmanager
def new_array(path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> Iterator[ArrayFile]:
    """An array of zeros to be filled; it becomes the file `path`, with its `facts`, if the block succeeds.

    Raises: CacheFull.
    """
    try:
        with replacing(path) as temporary:
            with temporary.open("wb") as file:
                header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
                npy.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]
                size = file.tell() + prod(shape) * np.dtype(dtype).itemsize
                file.truncate(size)
                # A disk without room is to be told of now, not after half of the photos.
                if sys.platform != "darwin":
                    os.posix_fallocate(file.fileno(), 0, size)
            array = ArrayFile(temporary, is_writable=True)
            yield array
            array.flush()
            _add_trailer(temporary, array.facts, path.name)
    except OSError as error:
        if error.errno in NOT_TO_BE_WRITTEN:
            raise CacheFull(
                f"{path.parent} cannot be written ({error.strerror}): name another folder with --cache"
            ) from error
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        megabytes = ceil(prod(shape) * np.dtype(dtype).itemsize / 1e6)
        raise CacheFull(
            f"{path.parent} has no room for {megabytes:,} MB of cached photos ({error.strerror}): "
            "make room, or name another folder with --cache"
        ) from error


def cached_array(
    path: Path, shape: tuple[int, ...], dtype: DTypeLike, fill: Callable[[ArrayFile], None]
) -> ArrayFile:
    """The array of the file `path`; made by `fill` if there is none, or if it is damaged, which is said on stderr.

    Raises: CacheFull.
    """
    if (found := _verified(path)) is not None:
        return found
    with new_array(path, shape, dtype) as array:
        fill(array)
    return _with_facts(path, array.facts)


def cached_values(path: Path, compute: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """The same for a whole array that fits into memory."""
    if (found := _verified(path)) is not None:
        return found[:]
    values = compute()
    with new_array(path, values.shape, values.dtype) as array:
        array[:] = values
    return values


def _verified(path: Path) -> ArrayFile | None:
    """The array if all its bytes are those that were written; None if there is none, or it is damaged."""
    if not os.path.lexists(path):
        return None
    try:
        if not path.is_file():  # a pipe would be waited for, a link that leads nowhere be written through
            raise ValueError("it is no regular file")
        with path.open("rb") as file:
            content, end = _read_trailer(file)
            if content.get("name") != path.name:
                raise ValueError("it is another array")
            if _checksums(file.fileno(), end) != content["crc32"]:
                raise ValueError("its checksum is wrong")
        return _with_facts(path, content["facts"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        print(f"note: {path} is damaged ({error}) and is made again", file=sys.stderr)
        if not path.is_file():
            path.unlink()
        return None


def _with_facts(path: Path, facts: dict[str, Any]) -> ArrayFile:
    array = ArrayFile(path)
    array.facts = facts
    return array


def _add_trailer(path: Path, facts: dict[str, Any], name: str) -> None:
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        content = json.dumps({"crc32": _checksums(file.fileno(), end), "facts": facts, "name": name}).encode()
        file.write(content + TRAILER_END.pack(len(content), zlib.crc32(content), MARK))
        file.flush()
        os.fsync(file.fileno())


def _read_trailer(file: IO[bytes]) -> tuple[dict[str, Any], int]:
    """Content of the trailer, and where it begins. Raises: ValueError."""
    size = file.seek(0, os.SEEK_END)
    if size < TRAILER_END.size:
        raise ValueError("it is cut off")
    file.seek(size - TRAILER_END.size)
    length, checksum, mark = TRAILER_END.unpack(file.read())
    start = size - TRAILER_END.size - length
    if mark != MARK or start < 0:
        raise ValueError("it has no checksums, or is cut off")
    file.seek(start)
    content = file.read(length)
    if zlib.crc32(content) != checksum:
        raise ValueError("its checksum is wrong")
    return parse_json(content), start


def _checksums(descriptor: int, end: int) -> list[int]:
    """CRC-32 of each block up to `end`. It is to find damage, not malice: a program that writes here may write both."""

    def checksum(start: int) -> int:
        return zlib.crc32(os.pread(descriptor, min(BLOCK_BYTES, end - start), start))

    with ThreadPoolExecutor(processors()) as pool:  # zlib lets go of the interpreter lock
        return list(pool.map(checksum, range(0, end, BLOCK_BYTES)))

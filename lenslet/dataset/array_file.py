"""Arrays on disk that are read and written row by row, so that memory does not grow with their length."""

import errno
import os
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from lenslet.inference.atomic import replacing
from lenslet.inference.errors import InputError


class CacheFull(InputError):
    """An array has no room in the cache; the message is one sentence that says how much it needs."""


class ArrayFile:
    """The array of a .npy file, read and written by rows: an index picks along the first axis, the rest comes whole.

    The index is what numpy takes for one axis: a number, a slice, an array of numbers or of booleans. What is read
    is a copy. Unlike a memory map, whose pages count as resident once they are touched, it needs no memory of
    its own, so that training's does not grow with the number of photos. Threads may share it.
    """

    def __init__(self, path: Path, is_writable: bool = False) -> None:
        """Raises: ValueError if the file is no array or is cut off."""
        with path.open("rb") as file:
            npy.read_magic(file)  # type: ignore[no-untyped-call]
            self.shape, _, self.dtype = npy.read_array_header_1_0(file)  # type: ignore[no-untyped-call]
            self._start = file.tell()
            self._row_bytes = prod(self.shape[1:]) * self.dtype.itemsize
            if file.seek(0, os.SEEK_END) < self._start + self.shape[0] * self._row_bytes:
                raise ValueError(f"{path} is cut off: remove it, and it will be made anew")
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
    """An array of zeros to be filled; it becomes the .npy file `path` if the block succeeds.

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
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        megabytes = ceil(prod(shape) * np.dtype(dtype).itemsize / 1e6)
        raise CacheFull(
            f"{path.parent} has no room for {megabytes:,} MB of cached photos ({error.strerror}): "
            "make room, or name another folder with --cache"
        ) from error

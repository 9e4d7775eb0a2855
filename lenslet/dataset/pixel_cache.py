"""Photos decoded once into one uint8 array on disk, keyed by content."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import PIL
from numpy.typing import NDArray
from tqdm import tqdm

from lenslet.dataset.array_file import ArrayFile, cached_array
from lenslet.dataset.photos import DatasetError
from lenslet.inference.artifact import sha256_of
from lenslet.inference.decode import RESIZE_RULE, decode
from lenslet.inference.errors import LensletError
from lenslet.inference.printable import printable
from lenslet.inference.processors import processors

# What often lies where a photo should, by its first bytes.
NO_PHOTOS = {
    b"version https://git-lfs": "it is a pointer of Git LFS: fetch the photo itself with `git lfs pull`",
    b"<!doctype html": "it is a web page, as a download that needs a login leaves",
    b"<html": "it is a web page, as a download that needs a login leaves",
}
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Content:
    """A file's place and the checksum of its bytes, or why these cannot be read."""

    path: Path
    sha256: str
    error: str = ""


@dataclass(frozen=True)
class DecodedPhotos:
    """Pixels of files. Copies of a file share a row."""

    pixels: ArrayFile  # uint8 RGB, shape (rows, size, size, 3)
    rows: NDArray[np.int64]  # shape (files,): the row of each; -1 if it is unreadable
    unreadable: dict[int, str]  # position of a file → reason


def read_all(paths: Sequence[Path]) -> list[Content]:
    """Checksum every file. One that cannot be read has an error, which no cache remembers."""
    return list(_in_parallel(_content_of, paths, "reading"))


def cached_pixels(contents: Sequence[Content], size: int, cache: Path) -> DecodedPhotos:
    """The decoded pixels of `contents`, from `cache` if the same bytes were decoded before.

    Raises: CacheFull; DatasetError if a file is not what it was when `read_all` read it.
    """
    first: dict[str, Content] = {}
    for content in contents:
        if not content.error:
            first.setdefault(content.sha256, content)
    # Pillow's version counts: its decoders may round differently from one release to the next.
    recipe = f"{RESIZE_RULE} {size} {PIL.__version__} " + " ".join(first)
    path = cache / f"pixels-{sha256_of(recipe.encode())[:16]}.npy"

    def fill(array: ArrayFile) -> None:
        array.facts["unreadable"] = _decode_into(array, list(first.values()), size)

    pixels = cached_array(path, (len(first), size, size, 3), np.uint8, fill)
    reasons = {int(row): reason for row, reason in pixels.facts["unreadable"].items()}
    row_of = {digest: row for row, digest in enumerate(first)}
    rows = np.full(len(contents), -1, np.int64)
    unreadable = {}
    for position, content in enumerate(contents):
        row = row_of.get(content.sha256, -1)
        if reason := content.error or reasons.get(row, ""):
            unreadable[position] = reason
        else:
            rows[position] = row
    return DecodedPhotos(pixels, rows, unreadable)


def _content_of(path: Path) -> Content:
    try:
        return Content(path, sha256_of(path.read_bytes()))
    except OSError as error:
        return Content(path, "", f"the file cannot be read: {(error.strerror or str(error)).lower()}")


def _decode_into(array: ArrayFile, contents: Sequence[Content], size: int) -> dict[str, str]:
    """Row → reason, of the files that are no photos; their rows stay zero."""

    def decode_row(row: int) -> str | None:
        data = _same_bytes(contents[row])
        try:
            array[row] = decode(data, size)
        except LensletError as error:
            start = data[:40].lower()
            return next((what for begin, what in NO_PHOTOS.items() if start.startswith(begin)), str(error))
        return None

    reasons = _in_parallel(decode_row, range(len(contents)), "decoding")
    return {str(row): reason for row, reason in enumerate(reasons) if reason is not None}


def _same_bytes(content: Content) -> bytes:
    """The bytes that were checksummed: others would be cached as the pixels of these."""
    try:
        data = content.path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DatasetError(
            f"{printable(content.path)} cannot be read any more ({reason}): run this again"
        ) from error
    if sha256_of(data) != content.sha256:
        raise DatasetError(
            f"{printable(content.path)} changed while it was being read: run this again when nothing writes to it"
        )
    return data


def _in_parallel(work: Callable[[Item], Result], items: Sequence[Item], title: str) -> Iterable[Result]:
    # Threads suffice: Pillow and hashlib let go of the interpreter lock while they work.
    with ThreadPoolExecutor(processors()) as pool:
        done = pool.map(work, items)
        yield from tqdm(done, title, total=len(items), unit=" photos", leave=False, disable=None)

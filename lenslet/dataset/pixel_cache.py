"""Photos decoded once into one uint8 array on disk, keyed by content."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import PIL
from tqdm import tqdm

from lenslet.dataset.array_file import ArrayFile, new_array
from lenslet.inference.artifact import sha256_of
from lenslet.inference.atomic import write_text
from lenslet.inference.decode import RESIZE_RULE, decode
from lenslet.inference.errors import LensletError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Content:
    """A file's place and the checksum of its bytes."""

    path: Path
    sha256: str


def read_all(paths: Sequence[Path]) -> list[Content]:
    """Checksum every file; an unreadable one counts as empty, and `cached_pixels` will name it."""
    return list(_in_parallel(lambda path: Content(path, sha256_of(_bytes_of(path))), paths, "reading"))


def cached_pixels(contents: Sequence[Content], size: int, cache: Path) -> tuple[ArrayFile, dict[int, str]]:
    """The decoded pixels of `contents`, from `cache` if the same bytes were decoded before.

    Returns: uint8 RGB, shape (files, size, size, 3), and row → reason for each file that could not be read (its
        row is zero).
    Raises: CacheFull.
    """
    # Pillow's version counts: its decoders may round differently from one release to the next.
    recipe = f"{RESIZE_RULE} {size} {PIL.__version__} " + " ".join(content.sha256 for content in contents)
    key = sha256_of(recipe.encode())[:16]
    array_path, reasons_path = cache / f"pixels-{key}.npy", cache / f"pixels-{key}.json"
    if not array_path.exists():
        with new_array(array_path, (len(contents), size, size, 3), np.uint8) as array:
            unreadable = _decode_into(array, contents, size)
            write_text(reasons_path, json.dumps(unreadable))
    reasons = {
        int(row): reason for row, reason in json.loads(reasons_path.read_text(encoding="utf-8")).items()
    }
    return ArrayFile(array_path), reasons


def _decode_into(array: ArrayFile, contents: Sequence[Content], size: int) -> dict[int, str]:
    def decode_row(row: int) -> str | None:
        try:
            array[row] = decode(_bytes_of(contents[row].path), size)
        except LensletError as error:
            return str(error)
        return None

    reasons = _in_parallel(decode_row, range(len(contents)), "decoding")
    return {row: reason for row, reason in enumerate(reasons) if reason is not None}


def _in_parallel(work: Callable[[Item], Result], items: Sequence[Item], title: str) -> Iterable[Result]:
    # Threads suffice: Pillow and hashlib let go of the interpreter lock while they work.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from tqdm(
            pool.map(work, items), title, total=len(items), unit=" photos", leave=False, disable=None
        )


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""

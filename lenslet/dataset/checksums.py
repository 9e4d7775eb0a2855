"""CRC-32 of files in the cache: they are believed only if they are what was put there."""

import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from lenslet.inference.processors import processors

PIECE = 1 << 20


def checksum_of(path: Path) -> int:
    """It finds damage, not malice. Raises: OSError; ValueError if it is no regular file, as a pipe is waited for."""
    if not path.is_file():
        raise ValueError(f"{path.name} is no regular file")
    with path.open("rb") as file:
        return checksum_of_stream(file)


def checksum_of_stream(stream: IO[bytes]) -> int:
    checksum = 0
    while piece := stream.read(PIECE):
        checksum = zlib.crc32(piece, checksum)
    return checksum


def checksums_below(folder: Path) -> dict[str, int]:
    """Path relative to the folder → checksum, of all files below it. Raises: OSError, ValueError."""
    paths = [Path(above, name) for above, _, names in os.walk(folder) for name in names]
    with ThreadPoolExecutor(processors()) as pool:
        checksums = pool.map(checksum_of, paths)
        return dict(zip((path.relative_to(folder).as_posix() for path in paths), checksums, strict=True))

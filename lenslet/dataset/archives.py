"""Zip and tar archives of photos, unpacked into the cache once; no entry can be written outside of its folder."""

import json
import lzma
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import IO, Any

from lenslet.dataset.photos import DatasetError, LeftOut
from lenslet.inference.atomic import write_text
from lenslet.inference.json_text import parse_json

MAX_FILES = 2_000_000
# Photos are compressed already: an archive that unpacks to far more than its size is a bomb.
MAX_RATIO, MIN_LIMIT_BYTES = 20, 1 << 30
PIECE = 1 << 20
UTF8_NAME = 0x800  # zip: the flag of an entry whose name is UTF-8
DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True)
class Member:
    name: str
    data: IO[bytes] | None  # None: it cannot be unpacked,
    reason: str = ""  # for this reason


def is_archive(path: Path) -> bool:
    """Whether the bytes of the file are those of a zip or tar archive, whatever its name ends in."""
    return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))


def unpack(path: Path, cache: Path) -> tuple[Path, tuple[LeftOut, ...]]:
    """The folder in `cache` that holds the archive's files, and the entries that were not unpacked.

    Raises: DatasetError if the archive is damaged, encrypted or unpacks to too much.
    """
    folder = cache / f"unpacked-{_checksum(path)[:16]}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=cache, prefix=".unpacked-", suffix=".partial"))
        try:
            skipped = _unpack_into(temporary / "photos", path)
            write_text(temporary / "left_out.json", json.dumps(skipped))
            temporary.rename(folder)
        except DAMAGE as error:
            raise DatasetError(f"{path} cannot be unpacked: {' '.join(str(error).split())}") from error
        except OSError as error:
            if not folder.exists():  # else another process was faster
                raise DatasetError(
                    f"{path} cannot be unpacked into {cache}: {error.strerror or error}; "
                    "name another folder with --cache"
                ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    try:
        skipped = parse_json((folder / "left_out.json").read_text(encoding="utf-8"))
        left_out = tuple(
            LeftOut(folder / "photos" / name.lstrip("/"), "archive", reason) for name, reason in skipped
        )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DatasetError(f"{folder} is damaged: delete it, and {path} will be unpacked again") from error
    return folder / "photos", left_out


def _unpack_into(folder: Path, path: Path) -> list[tuple[str, str]]:
    """Write the files of the archive below `folder`. Returns: name and reason of each entry that is left out."""
    folder.mkdir(parents=True)
    room = max(MIN_LIMIT_BYTES, MAX_RATIO * path.stat().st_size)
    skipped = []
    for number, member in enumerate(_members(path)):
        if number >= MAX_FILES:
            raise ValueError(f"it has more than {MAX_FILES:,} entries")
        place = _place_of(member.name)
        if member.data is None or place is None:
            skipped.append((member.name, member.reason or "its path leads out of the archive"))
        elif (folder / place).exists():
            skipped.append((member.name, "another entry has the same path"))
        else:
            room -= _write(member.data, folder / place, room)
    return skipped


def _write(data: IO[bytes], path: Path, room: int) -> int:
    """Copy at most `room` bytes into a new file; how many there were."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        while piece := data.read(PIECE):
            if file.tell() + len(piece) > room:
                raise ValueError(f"it unpacks to more than {MAX_RATIO} times its size")
            file.write(piece)
        return file.tell()


def _place_of(name: str) -> PurePosixPath | None:
    """The path of an entry within the archive; None if it is absolute or leads out of it."""
    name = name.replace("\\", "/")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    is_inside = parts and ".." not in parts and not name.startswith("/") and ":" not in parts[0]
    return PurePosixPath(*parts) if is_inside and "\0" not in name else None


def _members(path: Path) -> Iterator[Member]:
    yield from _zip_members(path) if zipfile.is_zipfile(path) else _tar_members(path)


def _zip_members(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            name = _zip_name(entry)
            kind = entry.external_attr >> 28  # of Unix: 8 is a regular file, 10 a symbolic link
            if entry.is_dir():
                continue
            if kind not in (0, 8):
                yield Member(name, None, "it is a link, or no regular file")
                continue
            with archive.open(entry) as data:
                yield Member(name, data)


def _zip_name(entry: zipfile.ZipInfo) -> str:
    """The name as its bytes were meant: many archives have UTF-8 without saying so, others no UTF-8 at all."""
    if entry.flag_bits & UTF8_NAME:
        return entry.filename
    return os.fsdecode(entry.filename.encode("cp437"))


def _tar_members(path: Path) -> Iterator[Member]:
    with tarfile.open(path, errors="surrogateescape") as archive:
        for entry in archive:
            if entry.isdir():
                continue
            data, reason = _tar_data(archive, entry)
            yield Member(entry.name, data, reason)


def _tar_data(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> tuple[Any, str]:
    if not (entry.isfile() or entry.islnk() or entry.issym()):
        return None, "it is no regular file"
    try:
        return archive.extractfile(entry), ""  # of a link: what it leads to within the archive
    except (KeyError, RecursionError):
        return None, "it is a link to something that the archive does not hold"


def _checksum(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()

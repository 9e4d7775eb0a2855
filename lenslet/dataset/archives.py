"""Zip and tar archives of photos, unpacked into the cache once; no entry can be written outside of its folder."""

import json
import lzma
import os
import shutil
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, Any, Self

from lenslet.dataset.checksums import checksums_below
from lenslet.dataset.photos import DatasetError, LeftOut
from lenslet.inference.atomic import LEFTOVER_AGE_S, write_text
from lenslet.inference.json_text import parse_json

PHOTOS, CONTENTS = "photos", "contents.json"
PREFIX, SUFFIX = ".unpacked-", ".partial"  # of folders that are being unpacked
MAX_FILES, MAX_LINKED = 2_000_000, 200_000
# Photos are compressed already: an archive that unpacks to far more than its size is a bomb.
MAX_RATIO, MIN_LIMIT_BYTES = 20, 1 << 30
PIECE = 1 << 20
MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_LINK_BYTES = 255, 4000, 4096  # of file systems
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
# Not among the names that the stubs know.
DAMAGED_HEADERS: tuple[type[Exception], ...] = (
    tarfile.InvalidHeaderError,  # type: ignore[attr-defined]
    tarfile.TruncatedHeaderError,  # type: ignore[attr-defined]
)


class _StrictTarInfo(tarfile.TarInfo):
    """Raises: ValueError for a damaged header, which `tarfile` takes for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except DAMAGED_HEADERS as error:
            if tarfile.offset == 0:
                raise
            raise ValueError(f"the header of an entry is damaged ({error})") from error


@dataclass(frozen=True)
class Member:
    name: str
    data: IO[bytes] | None  # None: it cannot be unpacked,
    reason: str = ""  # for this reason
    link: str = ""  # what a symbolic link leads to


def is_archive(path: Path) -> bool:
    """Whether the bytes of the file are those of a zip or tar archive, whatever its name ends in."""
    return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))


def unpack(path: Path, cache: Path) -> tuple[Path, tuple[LeftOut, ...]]:
    """The folder in `cache` that holds the archive's files, and the entries that were not unpacked.

    Raises: DatasetError if the archive is damaged, encrypted or unpacks to too much.
    """
    folder = cache / f"unpacked-{_checksum(path)[:16]}"
    try:
        left_out = _verified(folder)
        if left_out is None:
            _make(folder, path)
            left_out = _verified(folder)
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be unpacked into {cache}: {error.strerror or error}; "
            "name another folder with --cache"
        ) from error
    if left_out is None:
        raise DatasetError(f"{folder} changes while it is used: name another folder with --cache")
    return folder / PHOTOS, left_out


def _verified(folder: Path) -> tuple[LeftOut, ...] | None:
    """What was not unpacked; None if there is no folder, or its files are not those that were. Raises: OSError."""
    if not os.path.lexists(folder):
        return None
    found = os.lstat(folder)
    try:
        contents = parse_json((folder / CONTENTS).read_text(encoding="utf-8"))
        if checksums_below(folder / PHOTOS) != contents["crc32"]:
            raise ValueError("a file in it is not what was unpacked")
        return tuple(
            LeftOut(folder / PHOTOS / name.lstrip("/"), "archive", reason)
            for name, reason in contents["left_out"]
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        if not os.path.lexists(folder) or not os.path.samestat(found, os.lstat(folder)):
            return _verified(folder)  # another process makes it again, too
        print(f"note: {folder} is damaged ({error}) and is made again", file=sys.stderr)
    former = Path(tempfile.mkdtemp(dir=folder.parent, prefix=PREFIX, suffix=SUFFIX))
    folder.rename(former / folder.name)
    shutil.rmtree(former, ignore_errors=True)
    return None


def _make(folder: Path, path: Path) -> None:
    """Raises: DatasetError; OSError if the cache cannot be written."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder.parent)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=PREFIX, suffix=SUFFIX))
    try:
        left_out = _unpack_into(temporary / PHOTOS, path)
        contents = {"left_out": left_out, "crc32": checksums_below(temporary / PHOTOS)}
        write_text(temporary / CONTENTS, json.dumps(contents))
        temporary.rename(folder)
    except DAMAGE as error:
        raise DatasetError(f"{path} cannot be unpacked: {' '.join(str(error).split())}") from error
    except OSError as error:
        if error.errno is None:  # of gzip and bz2: what they read, not what is written
            raise DatasetError(f"{path} cannot be unpacked: {error}") from error
        if not folder.exists():  # else another process was faster
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove_leftovers(cache: Path) -> None:
    """Of processes that were killed while they unpacked, a day ago or longer."""
    for entry in os.scandir(cache):
        if entry.name.startswith(PREFIX) and entry.name.endswith(SUFFIX):
            with suppress(OSError):  # another process was faster
                if (
                    entry.is_dir(follow_symlinks=False)
                    and entry.stat().st_mtime < time.time() - LEFTOVER_AGE_S
                ):
                    shutil.rmtree(entry)


def _unpack_into(folder: Path, path: Path) -> list[tuple[str, str]]:
    """Write the files of the archive below `folder`. Returns: name and reason of each entry that is left out."""
    folder.mkdir(parents=True)
    room = max(MIN_LIMIT_BYTES, MAX_RATIO * path.stat().st_size)
    skipped: list[tuple[str, str]] = []
    links: dict[str, tuple[PurePosixPath, PurePosixPath]] = {}
    for number, member in enumerate(_members(path)):
        if number >= MAX_FILES:
            raise ValueError(f"it has more than {MAX_FILES:,} entries")
        place = _place_of(member.name)
        reason = why_no_path(folder, place) if place else "its path leads out of the archive"
        target = _target_of(place, member.link) if place and member.link else None
        if reason or place is None:
            skipped.append((member.name, reason))
        elif target:
            links[member.name] = (place, target)
        elif member.data is None:
            skipped.append((member.name, member.reason or "it leads out of the archive"))
        else:
            room -= _write(member.data, folder / place, room)
    return skipped + _follow_links(folder, links)


def why_no_path(folder: Path, place: PurePath) -> str:
    """Why no file can be written at this path in `folder`; empty if one can."""
    if os.path.lexists(folder / place):
        return "another entry has the same path"
    longest = max(len(os.fsencode(part)) for part in place.parts)
    if longest > MAX_NAME_BYTES or len(os.fsencode(folder / place)) > MAX_PATH_BYTES:
        return "its name is too long"
    above = [parent for parent in (folder / place).parents if parent.is_relative_to(folder)]
    return "another entry is a file where it needs a folder" if any(map(os.path.isfile, above)) else ""


def _follow_links(
    folder: Path, links: dict[str, tuple[PurePosixPath, PurePosixPath]]
) -> list[tuple[str, str]]:
    """Put what each link leads to in its place, as files of its own. Returns: those that lead nowhere, and why."""
    found, room = True, MAX_LINKED
    while links and found:  # a link may lead to another
        found = False
        for name, (place, target) in list(links.items()):
            source = folder / target
            if source.is_file() and not why_no_path(folder, place):
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                os.link(source, folder / place)
            elif source.is_dir() and not place.is_relative_to(target) and not why_no_path(folder, place):
                room -= sum(1 for _ in source.rglob("*"))
                if room < 0:
                    raise ValueError(f"its links lead to more than {MAX_LINKED:,} files")
                shutil.copytree(source, folder / place, copy_function=os.link)
            else:
                continue
            del links[name]
            found = True
    return [(name, "it is a link to something that the archive does not hold") for name in links]


def _target_of(place: PurePosixPath, link: str) -> PurePosixPath | None:
    """Where a link at `place` leads within the archive; None if it leads out of it."""
    parts = [
        part for part in os.path.normpath(place.parent / link.replace("\\", "/")).split("/") if part != "."
    ]
    return None if link.startswith("/") or ".." in parts else PurePosixPath(*parts)


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
            if kind == 10 and entry.file_size <= MAX_LINK_BYTES:
                yield Member(name, None, link=os.fsdecode(archive.read(entry)))
            elif kind not in (0, 8):
                yield Member(name, None, "it is no regular file")
            else:
                with archive.open(entry) as data:
                    yield Member(name, data)


def _zip_name(entry: zipfile.ZipInfo) -> str:
    """The name as its bytes were meant: many archives have UTF-8 without saying so, others no UTF-8 at all."""
    if entry.flag_bits & UTF8_NAME:
        return entry.filename
    return os.fsdecode(entry.filename.encode("cp437"))


def _tar_members(path: Path) -> Iterator[Member]:
    with tarfile.open(path, tarinfo=_StrictTarInfo, errors="surrogateescape") as archive:
        for entry in archive:
            if entry.isdir():
                continue
            if entry.issym():
                yield Member(entry.name, None, link=entry.linkname)
            elif entry.isfile() or entry.islnk():
                yield Member(entry.name, *_tar_data(archive, entry))
            else:
                yield Member(entry.name, None, "it is no regular file")
        rest = archive.fileobj
        while rest and rest.read(
            PIECE
        ):  # a compressed file has its checksum at its end, behind the last entry
            pass


def _tar_data(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> tuple[Any, str]:
    try:
        return archive.extractfile(entry), ""  # of a hard link: what it leads to within the archive
    except (KeyError, RecursionError):
        return None, "it is a link to something that the archive does not hold"


def _checksum(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()

"""Atomic replacement of files: a reader sees the old content or the new one, never a part."""

import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

from lenslet.inference.errors import InputError

Result = TypeVar("Result")

# Of `_new_file`; with a process id instead of random digits until version 0.1.0.
LEFTOVER = re.compile(r"\..*\.(?:[0-9a-f]{16}|\d+)\.partial(?:\..*)?")
PROBE_BYTES = 4096
LEFTOVER_AGE_S = 24 * 60 * 60  # no writer of ours is silent for so long
MAX_STEM = (
    40  # characters of the final name in the temporary one, which must not become too long for a file system
)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file of the same folder and suffix; rename it to `path` if the block succeeds.

    If the block fails, the temporary file is removed and whatever `path` held before stays as it was. A link is
    followed, and a device or pipe (/dev/null, /dev/stdout) is written into: a rename would put a file in its place.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder, path.name)
            yield temporary
            with _named(path), temporary.open("rb") as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
        return
    path = path.resolve() if path.is_symlink() else path
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers_once(path.parent)
    temporary = _new_file(path)
    try:
        with _named(path):
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of the block name the file."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename is None:
            error.filename = str(path)
        raise


def write_text(path: Path, text: str) -> None:
    """Replace the file's content by `text` (UTF-8) atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_leftovers(folder: Path, age_s: float = LEFTOVER_AGE_S, stem: str = "") -> None:
    """Delete the temporary files in `folder` whose writers died a day ago or longer, or `age_s`.

    `stem`: only those of files that are called so, without suffix.
    """
    oldest, begin = time.time() - age_s, f".{stem[:MAX_STEM]}." if stem else ""
    for entry in os.scandir(folder):
        if LEFTOVER.fullmatch(entry.name) and entry.name.startswith(begin):
            with suppress(OSError):  # another process was faster, or may and this one may not
                if entry.is_file(follow_symlinks=False) and entry.stat().st_mtime < oldest:
                    Path(entry).unlink()


_remove_leftovers_once = cache(
    remove_leftovers
)  # looking through a folder for each of its files would take long


def _new_file(path: Path) -> Path:
    """An empty file that did not exist before. A process id is no unique name: in containers, it is often 1."""
    while True:
        name = f".{path.stem[:MAX_STEM]}.{secrets.token_hex(8)}.partial{path.suffix}"
        temporary = path.with_name(name)
        with suppress(FileExistsError):
            # The mode of a file that `open` makes; that of `mkstemp` would keep other users out.
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            return temporary


def probe_folder(folder: Path, option: str) -> None:
    """Try to write into `folder`, or where it would be made, before work begins whose result belongs there.

    Raises: InputError, naming the option.
    """
    nearest = folder.resolve()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest) as probe:
            probe.write(bytes(PROBE_BYTES))
    except OSError as error:
        raise InputError(
            f"nothing can be written into {option} {folder} ({error.strerror}): give another folder"
        ) from error


def probe_file(path: Path, option: str) -> None:
    """The same for a file. What is there and is no file is written into: /dev/stdout, a pipe. Raises: InputError."""
    if path.is_dir():
        raise InputError(f"{option} {path} is a folder: give the name of a file")
    if path.is_file() or not path.exists():
        probe_folder(path.resolve().parent, f"{option} {path.name} in")


def write_or_keep(write: Callable[[Path], Result], folder: Path) -> Result:
    """`write(folder)`; if it cannot be written any more, into a new folder elsewhere, which the error names.

    Raises: InputError.
    """
    try:
        return write(folder)
    except OSError as error:
        reason = error.strerror or error
        for place in _other_places():
            with suppress(OSError):
                kept = Path(tempfile.mkdtemp(prefix="lenslet-", dir=place))
                if _is_written(write, kept):
                    raise InputError(
                        f"{folder} could not be written ({reason}): what belongs there is in {kept}; "
                        "make room and copy it"
                    ) from error
        raise InputError(
            f"{folder} could not be written ({reason}), nor could any of {', '.join(map(str, _other_places()))}: "
            "make room, and run this again"
        ) from error


def _other_places() -> list[Path]:
    """Folders that may lie on other disks, the most usual first."""
    return list(dict.fromkeys((Path(tempfile.gettempdir()), Path.cwd(), Path.home())))


def _is_written(write: Callable[[Path], object], folder: Path) -> bool:
    try:
        write(folder)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        return False
    return True

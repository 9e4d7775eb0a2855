"""A lock on a folder that one command writes: a second command says who holds it, instead of mixing its files in."""

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from lenslet.inference.errors import InputError

try:
    import fcntl
except ImportError:  # Windows: there is no lock, and the folders' owner has to take care
    fcntl = None  # type: ignore[assignment]

# In the folder and not beside it: containers may share the one, and have each its own of the other.
LOCK_NAME = ".lenslet.lock"
MAX_HOLDER_BYTES = 300


@contextmanager
def folder_lock(folder: Path, holder: str) -> Iterator[None]:
    """Hold the lock of `folder` for the block; it ends with the process, however that ends.

    A folder that does not exist is made; it is removed if nothing was written into it. `holder`: the command, for the
    sentence that another one prints. Raises: InputError if another process holds the lock; OSError.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.resolve() / LOCK_NAME
    descriptor = _acquire(path, folder, holder)
    try:
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):  # another user's: it stays, and locks nothing
                path.unlink(missing_ok=True)  # while it is held: nobody else's is deleted
            os.close(descriptor)
        if is_new:
            with suppress(OSError):  # there is something in it
                folder.rmdir()


def is_locked(folder: Path) -> bool:
    """Whether a process holds the lock of `folder`. Where there are no locks: False."""
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDONLY)
    except OSError:
        return False
    try:
        if fcntl:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


def is_held_by(folder: Path, process_id: int) -> bool:
    """Whether this process says that it holds the lock of `folder`."""
    try:
        return f"(process {process_id} on " in (folder / LOCK_NAME).read_text(errors="replace")
    except OSError:
        return False


def description_of(holder: str) -> str:
    """A process, as another one is told of it."""
    return f"{holder} (process {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC)"


def _acquire(path: Path, folder: Path, holder: str) -> int | None:
    """The descriptor that holds the lock; None where there are no locks."""
    if not fcntl:
        return None
    while True:
        descriptor = _opened(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = _holder(descriptor)
            os.close(descriptor)
            raise InputError(
                f"{folder} is being written by {other or 'another process'}: wait for it, or give another folder"
            ) from None
        except OSError as error:  # some network file systems
            os.close(descriptor)
            print(
                f"note: {folder} cannot be locked ({error.strerror}): let nothing else write into it",
                file=sys.stderr,
            )
            return None
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            with suppress(OSError):  # another user's, or a full disk: it holds without the name
                os.truncate(descriptor, 0)
                os.pwrite(descriptor, description_of(holder).encode(), 0)
            return descriptor
        os.close(descriptor)  # its holder ended, and deleted it, meanwhile


def _holder(descriptor: int) -> str:
    """What the process that holds the lock wrote; it writes that in the instant after it got the lock."""
    for pause_s in (0.0, 0.05, 0.2):
        time.sleep(pause_s)
        if found := os.pread(descriptor, MAX_HOLDER_BYTES, 0).decode(errors="replace").strip():
            return found
    return ""


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:  # left by a killed process of another user: locked without being written
        return os.open(path, os.O_RDONLY)

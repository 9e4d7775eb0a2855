"""A lock on a folder that one command writes: a second command says who holds it, instead of mixing its files in."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lenslet.inference.errors import InputError

try:
    import fcntl
except ImportError:  # Windows: there is no lock, and the folders' owner has to take care
    fcntl = None  # type: ignore[assignment]


@contextmanager
def folder_lock(folder: Path, holder: str) -> Iterator[None]:
    """Hold the lock of `folder` (which need not exist) for the block; it ends with the process, however that ends.

    `holder`: the command, for the sentence that another one prints. Raises: InputError if another process holds it.
    """
    path = folder.resolve()
    lock = _acquire(path.with_name(f".{path.name}.lock"), folder, holder)
    try:
        yield
    finally:
        if lock:
            Path(lock.name).unlink(missing_ok=True)  # while it is held: nobody else's is deleted
            lock.close()


def _acquire(path: Path, folder: Path, holder: str) -> IO[str] | None:
    if not fcntl:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        lock = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            other = lock.read(200).strip() or "another process"
            lock.close()
            raise InputError(
                f"{folder} is being written by {other}: wait for it, or give another folder"
            ) from None
        if path.exists() and os.path.samestat(os.fstat(lock.fileno()), path.stat()):
            lock.truncate(0)
            lock.write(f"{holder} (process {os.getpid()})\n")
            lock.flush()
            return lock
        lock.close()  # its holder ended, and deleted it, meanwhile

"""What a candidate's process may do instead of answering: targets of `lenslet.serving.shadow.Shadow`."""

import os
import time
from multiprocessing.connection import Connection
from pathlib import Path


def crash(folder: Path, size: int, pipe: Connection) -> None:
    pipe.send("")
    pipe.recv()
    os.abort()


def hang(folder: Path, size: int, pipe: Connection) -> None:
    pipe.send("")
    time.sleep(3600)


def echo(folder: Path, size: int, pipe: Connection) -> None:
    """Answer with what has arrived."""
    pipe.send("")
    while True:
        is_pixels, data = pipe.recv()
        pipe.send((f"{'pixels' if is_pixels else 'file'} of {len(data)} bytes", 0.5, 1.0))

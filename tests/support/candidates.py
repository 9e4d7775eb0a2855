"""What a candidate's process may do instead of answering: targets of `lenslet.serving.shadow.Shadow`."""

import os
import socket
import time
from pathlib import Path


def crash(folder: Path, size: int, channel: socket.socket) -> None:
    channel.recv(1 << 20)
    os.abort()


def hang(folder: Path, size: int, channel: socket.socket) -> None:
    time.sleep(3600)


def echo(folder: Path, size: int, channel: socket.socket) -> None:
    """Print what has arrived: what is said about a photo, and how many bytes its pixels have."""
    while message := channel.recv(1 << 20):
        about, _, pixels = message.partition(b"\n")
        print(f"{about.decode()} {len(pixels)}", flush=True)

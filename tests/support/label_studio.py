"""Label Studio itself, from .venv-label-studio, on a new database and the loopback."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

ROOT = Path(__file__).parents[2]
TOKEN = "0123456789abcdef0123456789abcdef01234567"
START_S = 300  # a new database takes half a minute on a quiet machine


@contextmanager
def running(folder: Path, photos: Path) -> Iterator[str]:
    """Start it with its data in `folder`, allowed to show `photos`; give its address once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "LABEL_STUDIO_USERNAME": "reviewer@example.org",
        "LABEL_STUDIO_PASSWORD": "password-for-tests",
        "LABEL_STUDIO_USER_TOKEN": TOKEN,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
    }
    command = ["make", "--silent", "--assume-old", ".venv-label-studio/installed", "label-studio"]
    command += [f"STUDIO_PORT={port}", f"PHOTOS={photos}", f"STUDIO_FOLDER={folder / 'data'}"]
    with (folder / "label-studio.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | settings, stdout=log, stderr=log, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address, process, folder / "label-studio.log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder / "data", ignore_errors=True)


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(START_S):
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        try:
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(1)
    raise AssertionError(f"Label Studio did not start within {START_S} s: {log.read_text()[-2000:]}")

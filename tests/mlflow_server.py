"""A real MLflow server for tests, started by `make mlflow`: one for all that have this module in `pytest_plugins`."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest
import requests

ROOT = Path(__file__).parent.parent
WAIT_S = 120


class Server(NamedTuple):
    address: str
    folder: Path  # where it keeps everything


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("mlflow")
    with running(folder) as address:
        yield Server(address, folder)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Start a server that keeps everything in `folder`; gives the address that it prints, once it answers."""
    variables = f"MLFLOW_PORT={free_port()}", f"MLFLOW_FOLDER={folder}"
    # The environment is there, or this test would not run: make must not build it anew.
    command = ["make", "--silent", "--assume-old", ".venv/installed", "mlflow", *variables]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
    try:
        line = process.stdout.readline()
        assert line.startswith("export MLFLOW_TRACKING_URI=http://127.0.0.1:"), line
        # Its log must be read, else it fills the pipe and the server waits for ever.
        Thread(target=process.stdout.read, daemon=True).start()
        address = line.strip().removeprefix("export MLFLOW_TRACKING_URI=")
        _wait(address, process)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # make, the server, and its worker
        process.wait()


def _wait(address: str, process: subprocess.Popen[str]) -> None:
    for _ in range(WAIT_S * 4):
        assert process.poll() is None, "the server ended"
        try:
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.25)
    raise AssertionError(f"the server did not answer within {WAIT_S} seconds")

"""AWS's own Runtime Interface Emulator around a function's folder, on 127.0.0.1: the Runtime API, limits included.

The binary comes with the package aws-sam-cli (Apache-2.0, statically linked), in the environment .venv-infra.
https://github.com/aws/aws-lambda-runtime-interface-emulator
"""

import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).parents[2]
BINARIES = {"x86_64": "aws-lambda-rie-x86_64", "aarch64": "aws-lambda-rie-arm64"}
INVOCATIONS = "/2015-03-31/functions/function/invocations"
START_LIMIT_S = 20


@dataclass(frozen=True)
class Emulator:
    """A running emulator. It takes one request at a time; two at once end it."""

    address: str
    log: Path

    def invoke(self, event: bytes) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False  # use no proxy
            return session.post(f"{self.address}{INVOCATIONS}", data=event, timeout=60)


def find_emulator() -> Path:
    """Path of the emulator. Skips the test where it is not installed; in CI this is a failure."""
    name = BINARIES.get(platform.machine(), "none")
    found = sorted(ROOT.glob(f".venv-infra/lib/python*/site-packages/samcli/local/rapid/{name}"))
    if sys.platform == "linux" and found:
        return found[0]
    sentence = "AWS's emulator needs Linux on x86-64 or arm64, and .venv-infra, which `make test` builds"
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)


@contextmanager
def emulating(folder: Path, command: Sequence[str], log: Path, **environment: str) -> Iterator[Emulator]:
    """Run the function of `folder` by `command`, with nothing else in its environment; its log goes into `log`."""
    emulator, runtime = free_port(), free_port()
    # Without these two it would listen on all of the machine's addresses.
    places = ["--runtime-interface-emulator-address", emulator, "--runtime-api-address", runtime]
    binary = find_emulator()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(binary), "--log-level", "error", *places, *command],
            cwd=folder, env=environment, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        wait_for(emulator, process, log)
        yield Emulator(f"http://{emulator}", log)
    finally:
        process.terminate()  # it ends the function's process, too, which a kill would leave behind
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    host, _, port = address.partition(":")
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        try:
            socket.create_connection((host, int(port)), 1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the emulator did not start; exit code {process.poll()}\n{log.read_text()}")
            time.sleep(0.02)

"""A real `lenslet serve` process for tests."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

ROOT = Path(__file__).parents[2]
NOTICE = ("INFO: ", "Created TensorFlow Lite XNNPACK delegate for CPU.")  # the runtime's, as it loads a model


def said(errors: str) -> list[str]:
    """The lines of a process's standard error that are not the runtime's.

    It writes its notice in pieces, and those of several processes come in any order.
    """
    for piece in NOTICE:
        errors = errors.replace(piece, "")
    return [line for line in errors.splitlines() if line]


@contextmanager
def running(*arguments: str, cwd: Path = ROOT) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start lenslet serve on a free port; give its address, once it has printed it, and the process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lenslet", "serve", "--port", "0", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        line = process.stdout.readline()
        address = re.search(r"http://[^ ]+", line)
        assert address, f"lenslet serve did not start; it printed {line!r}"
        # Its log must be read, else it fills the pipe and the server blocks.
        Thread(target=process.stdout.read, daemon=True).start()
        yield address.group(), process
    finally:
        process.kill()
        process.wait()

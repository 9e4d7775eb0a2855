"""serve.py in a process that takes 127.0.0.1 for the internet, so that links can be measured and tested without one.

    python -m bench.loopback lenslet.serving.links.fetcher.TIMEOUT_S=1 -- --port 0

Numbers before the `--` replace those of the modules, for tests that cannot wait; `links_keep_workers=1` lets a link
that stalls keep a worker busy, as a slow model does. Production has no such switches: this program replaces
`lenslet.serving.links.address.is_public` from outside, as no request and no setting can.
"""

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from threading import Thread
from typing import IO

ROOT = Path(__file__).parents[1]


def main(argv: Sequence[str]) -> int:
    from lenslet.commands import serve

    numbers, options = list(argv[: argv.index("--")]), list(argv[argv.index("--") + 1 :])
    return serve.main(options, prepare=partial(pretend, numbers))


def pretend(numbers: Sequence[str]) -> None:
    """In each process of the server."""
    from lenslet.serving.http import bridge
    from lenslet.serving.links import address

    address.is_public = lambda address: address == "127.0.0.1"
    for name, value in (each.split("=") for each in numbers):
        if name == "links_keep_workers":
            setattr(bridge, "pausing", lambda pause: nullcontext())  # noqa: B010
            continue
        module, _, constant = name.rpartition(".")
        assert hasattr(importlib.import_module(module), constant), name
        setattr(importlib.import_module(module), constant, float(value))


@contextmanager
def running(
    *options: str, numbers: Sequence[str] = (), log: IO[bytes] | int = subprocess.DEVNULL, **environment: str
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start it on a free port; give its address, once it has printed it, and the process.

    Its log goes nowhere, its errors to `log`. Raises RuntimeError if it does not start.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.loopback", *numbers, "--", "--port", "0", *options],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    assert process.stdout
    try:
        address = re.search(r"http://[^ ]+", process.stdout.readline())
        if not address:
            raise RuntimeError("serve.py did not start")
        # Its log must be read, else it fills the pipe and the server blocks.
        Thread(target=process.stdout.read, daemon=True).start()
        yield address.group(), process
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

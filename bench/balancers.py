"""Ways to spread connections over processes, under the same photos: whether our own code for that is worth keeping.

    pip install granian==2.8.9
    python -m bench.balancers --json report/balancers.json

1. `lenslet serve`: one process accepts, and passes connections to the others in turn
   (lenslet/serving/http/processes.py).
2. Plain uvicorn in as many processes, each with a listening socket of its own on the same port (SO_REUSEPORT): the
   system assigns a connection by a hash of its addresses.
3. Granian's workers around the same application, where it is installed.

Each round measures every way, one after the other, for `--seconds` at 4 and at 16 clients that keep their connections.
Expect, after about two minutes, photos a second, the 95th percentile, and the ratio to the first. Lost or wrong
answers are counted.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench.console import at_least_one, bench_parser, progress
from bench.floor import PROCESSORS
from bench.goals import write_report
from bench.load import timed
from bench.load_pattern import LARGE, SMALL, draw_photos, load_pattern, requests_by_kind
from bench.loopback import running
from lenslet.inference.classifier import Classifier
from lenslet.serving.http.admission import AdmissionControl
from lenslet.serving.http.bridge import Application, bridge
from lenslet.serving.http.server import BACKLOG, Worker, load_function

ROOT = Path(__file__).parents[1]
OURS, REUSEPORT, GRANIAN = "lenslet serve", "SO_REUSEPORT", "Granian"
CLIENTS = (4, 16)
WORKER = Worker(threads=1, waiting=16)  # each process, as `lenslet serve` shares them out on two processors
START_S = 60


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    os.environ["LENSLET_MODEL"] = str(arguments.model.resolve())
    os.environ["LENSLET_METRICS_DISABLED"] = "true"
    report = measure(arguments.rounds, arguments.seconds)
    print(text_of(report))
    if arguments.json:
        write_report(arguments.json, {**report, "goals": []})
    return 1 if any(found["wrong"] for found in report["ways"].values()) else 0


def measure(rounds: int, seconds: float) -> dict[str, Any]:
    """Way → photos a second and 95th percentiles by number of clients, medians over the rounds."""
    ways: dict[str, Callable[[], Any]] = {OURS: ours, REUSEPORT: plain_uvicorn}
    if find_spec("granian"):
        ways[GRANIAN] = granian
    # Photos alone: the address of the links is not asked.
    requests = requests_by_kind(
        draw_photos(), Classifier.load(Path(os.environ["LENSLET_MODEL"])), "http://127.0.0.1:9"
    )
    found: dict[str, dict[str, list[float]]] = {way: {} for way in ways}
    wrong = dict.fromkeys(ways, 0)
    with ExitStack() as stack:
        addresses = {way: stack.enter_context(start()) for way, start in ways.items()}
        for number in range(1, rounds + 1):
            for way, address in addresses.items():
                for clients in CLIENTS:
                    progress(f"round {number} of {rounds}: {way}, {clients} clients")
                    pattern = load_pattern(requests, (SMALL, LARGE), number)
                    outcomes, figures = timed(address, pattern, clients, seconds)
                    found[way].setdefault(f"{clients} rate", []).append(figures["answers_a_second"])
                    found[way].setdefault(f"{clients} p95", []).append(figures["p95_ms"])
                    wrong[way] += sum(not outcome.is_right for outcome in outcomes)
    progress("")
    return {
        "processes": PROCESSORS,
        "ways": {
            way: {**{name: statistics.median(each) for name, each in figures.items()}, "wrong": wrong[way]}
            for way, figures in found.items()
        },
    }


@contextmanager
def ours() -> Iterator[str]:
    with running() as (address, _):
        yield address


@contextmanager
def plain_uvicorn() -> Iterator[str]:
    """Processes that each listen on the same port."""
    spawn = get_context("spawn")
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))  # does not listen, and gets no connection
        port = reserved.getsockname()[1]
        processes = [spawn.Process(target=listen_and_serve, args=(port,)) for _ in range(PROCESSORS)]
        for process in processes:
            process.start()
        try:
            yield answering(port)
        finally:
            for process in processes:
                process.kill()
                process.join()


def listen_and_serve(port: int) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(BACKLOG)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the log
        WORKER(listener, lambda: None)


@contextmanager
def granian() -> Iterator[str]:
    """Its own processes around the application of this module."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--factory", "--no-ws"]
    command += ["--workers", str(PROCESSORS), "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--log-level", "warning", "bench.balancers:application"],
        cwd=ROOT, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield answering(port)
    finally:
        process.terminate()
        process.wait()


def application() -> Application:
    """What a process of Granian serves."""
    return bridge(load_function(), AdmissionControl(WORKER.threads, WORKER.waiting))


def answering(port: int) -> str:
    """The address, once the port takes connections and every process has had time to load. Raises: RuntimeError."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
            continue
        time.sleep(3)  # the others listen a moment later
        return f"http://127.0.0.1:{port}"
    raise RuntimeError("the server did not start")


def text_of(report: dict[str, Any]) -> str:
    """A table, with the ratio of each rate to that of `lenslet serve`."""
    title = "".join(f"{f'{clients} clients':>14}{'ratio':>8}{'p95 ms':>9}" for clients in CLIENTS)
    lines = [f"{'photos a second':<18}{title}{'wrong':>8}"]
    for way, found in report["ways"].items():
        cells = []
        for clients in CLIENTS:
            rate, base = (each[f"{clients} rate"] for each in (found, report["ways"][OURS]))
            cells.append(f"{rate:>14.1f}{rate / base:>8.2f}{found[f'{clients} p95']:>9.0f}")
        lines.append(f"{way:<18}{''.join(cells)}{found['wrong']:>8}")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = bench_parser("balancers", __doc__)
    add = parser.add_argument
    add("--rounds", type=at_least_one, default=3, metavar="N", help="(%(default)s)")
    add("--seconds", type=at_least_one, default=5, metavar="N", help="of each measurement (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="write all figures there too")
    add("--model", type=Path, default=ROOT / "model", metavar="FOLDER", help="model folder (model/)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""What links that stall cost the other callers: 64 clients with photos, with and without 16 links that never answer.

    python -m bench.stalled_links --seconds 10 --rounds 3

lenslet serve runs in processes of its own on a free port of the loopback, and answers photos of 150 px to 64 clients,
in rounds with and without the links, by turns. A link that the server gives up is asked for again at once. Expect,
after a minute and a half, both 95th percentiles, and whether the second is at most twice the first.
"""

import argparse
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import requests

from bench.clients import Outcome, ask_all
from bench.console import at_least_one, bench_parser, progress
from bench.goals import Goal, judge, verdicts_text, write_report
from bench.load import CROWD, figures_of
from bench.load_pattern import SMALL, Request, draw_photos, load_pattern, requests_by_kind
from bench.loopback import running
from lenslet.inference.classifier import Classifier

ROOT = Path(__file__).parents[1]
LINKS = 16
WITHOUT, WITH = "without links", f"with {LINKS} links that stall"
GOALS = (
    Goal("no wrong answer", lambda found: found[WITHOUT]["wrong"] + found[WITH]["wrong"], 0),
    Goal(
        "95th percentile with the links: at most twice that without",
        lambda found: found[WITH]["p95_ms"] / found[WITHOUT]["p95_ms"],
        2,
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    report: dict[str, Any] = measure(arguments.seconds, arguments.rounds)
    report["goals"] = judge(GOALS, report)
    for name in (WITHOUT, WITH):
        figures = report[name]
        print(
            f"{name:<28} {figures['answers']:>7,} answers, p50 {figures['p50_ms']:>7.1f} ms, "
            f"p95 {figures['p95_ms']:>7.1f} ms, refused {figures['refused']:,}"
        )
    print(f"links: {report['links']}\n")
    print(verdicts_text(report["goals"]))
    if arguments.json:
        write_report(arguments.json, report)
    return 0


def measure(seconds: float, rounds: int) -> dict[str, Any]:
    """Figures of both kinds of rounds, and how the links were answered, by status."""
    outcomes: dict[str, list[Outcome]] = {WITHOUT: [], WITH: []}
    statuses: dict[str, int] = {}
    with silence() as host, running(LENSLET_LINK_HOSTS=host) as (address, _):
        photos = draw_photos(large_size=(150, 150))
        requested = requests_by_kind(photos, Classifier.load(ROOT / "model"), f"http://{host}")
        for number in range(rounds):
            for name in (WITHOUT, WITH):
                progress(f"round {number + 1} of {rounds}, {name}")
                pattern: Iterator[Request] = load_pattern(requested, (SMALL,), number)
                with asking(f"{address}/predict", f"http://{host}/photo", LINKS * (name == WITH), statuses):
                    outcomes[name] += ask_all(address, pattern, CROWD, seconds)
    progress("")
    return {name: figures_of(found) for name, found in outcomes.items()} | {"links": statuses}


@contextmanager
def silence() -> Iterator[str]:
    """Host and port of a server that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        kept = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    kept.append(listener.accept())

        Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def asking(address: str, link: str, count: int, statuses: dict[str, int]) -> Iterator[None]:
    """So many clients that ask for the link all the time; answers are counted in `statuses`."""
    is_over = Event()

    def work() -> None:
        while not is_over.is_set():
            answer = requests.post(address, json={"url": link}, timeout=60)
            code = answer.json()["error"]["code"]
            statuses[code] = statuses.get(code, 0) + 1
            is_over.wait(float(answer.headers.get("Retry-After", 0)))

    clients = [Thread(target=work) for _ in range(count)]
    for client in clients:
        client.start()
    try:
        is_over.wait(1 if count else 0)  # until the links are asked for
        yield
    finally:
        is_over.set()
        for client in clients:
            client.join()


def _parser() -> argparse.ArgumentParser:
    parser = bench_parser("stalled_links", __doc__)
    add = parser.add_argument
    add("--seconds", type=at_least_one, default=10, metavar="N", help="of each round (%(default)s)")
    add("--rounds", type=at_least_one, default=3, metavar="N", help="of both kinds (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="write all figures there too")
    return parser


if __name__ == "__main__":
    sys.exit(main())

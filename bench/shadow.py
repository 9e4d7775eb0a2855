"""Time that a candidate model (LENSLET_SHADOW) adds to an answer: a good one, a slow, a hanging, a crashing one.

    python -m bench.shadow --rounds 200 --json report/shadow.json

The function answers a 150 px photo in this process, every answer compared by the candidate. Blocks of 10 requests go
through all candidates in any order, and twice through none: the difference of these two is the noise of the machine.
Expect, after a minute, a table of milliseconds, and whether a candidate adds at most 1 ms to the 95th percentile.
"""

import argparse
import base64
import os
import random
import socket
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.console import at_least_one, bench_parser, progress
from bench.goals import Goal, judge, verdicts_text, write_report
from bench.load import percentile_ms
from bench.serving import draw_jpeg
from lenslet.serving.shadow import Shadow, Target, answer_samples

ROOT = Path(__file__).parents[1]
BLOCK = 10
NONE, AGAIN = "no candidate", "no candidate, again"

Seconds = dict[str, list[float]]


def sleep_a_second(folder: Path, size: int, channel: socket.socket) -> None:
    while channel.recv(1 << 20):
        time.sleep(1)


def hang(folder: Path, size: int, channel: socket.socket) -> None:
    time.sleep(3600)


def crash(folder: Path, size: int, channel: socket.socket) -> None:
    channel.recv(1 << 20)
    os.abort()


CANDIDATES: dict[str, Target] = {
    "a good candidate": answer_samples,
    "a slow one, 1 s": sleep_a_second,
    "one that hangs": hang,
    "one that crashes": crash,
}


def added(name: str, report: Any) -> float:
    """Milliseconds at the 95th percentile."""
    return float(report["p95_ms"][name] - report["p95_ms"][NONE])


GOALS = [
    Goal(f"{name}: at most 1 ms at the 95th percentile", partial(added, name), 1)
    for name in [AGAIN, *CANDIDATES]
]


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    os.environ |= {"LENSLET_METRICS_DISABLED": "true", "LENSLET_LOG_LEVEL": "CRITICAL"}
    seconds = measure(arguments.rounds)
    report: dict[str, Any] = {
        f"p{share}_ms": {name: percentile_ms(each, share) for name, each in seconds.items()}
        for share in (50, 95)
    }
    report["requests_each"] = arguments.rounds * BLOCK
    report["goals"] = judge(GOALS, report)
    print(f"{'':<24}{'p50 ms':>10}{'p95 ms':>10}{'added, p95':>14}")
    for name in seconds:
        p50, p95 = report["p50_ms"][name], report["p95_ms"][name]
        print(f"{name:<24}{p50:>10.2f}{p95:>10.2f}{added(name, report):>14.2f}")
    print(f"\n{report['requests_each']:,} requests each\n")
    print(verdicts_text(report["goals"]))
    if arguments.json:
        write_report(arguments.json, report)
    return 0


def measure(rounds: int) -> Seconds:
    """Seconds of each request by candidate."""
    import lambda_func

    served = lambda_func.models.default.artifact
    event = {"image": base64.b64encode(draw_jpeg(150, 150)).decode()}
    shadows: dict[str, Shadow | None] = {NONE: None}
    for name, target in CANDIDATES.items():
        shadows[name] = Shadow(ROOT / "model", served.image_size, 1, _forget, target)
    shadows[AGAIN] = None
    seconds: Seconds = {name: [] for name in shadows}
    for number in range(-1, rounds):  # the first one, in which the candidates start, is not counted
        progress(f"round {number + 1} of {rounds}")
        for name in random.sample(sorted(shadows), len(shadows)):
            lambda_func.shadow = shadows[name]
            found = [_seconds(lambda_func.handler, event) for _ in range(BLOCK)]
            if number >= 0:
                seconds[name] += found
        if number < 0:
            time.sleep(3)
    progress("")
    return seconds


def _seconds(handler: Any, event: dict[str, str]) -> float:
    started = time.perf_counter()
    answer = handler(event, None)
    took = time.perf_counter() - started
    assert "predictions" in answer, answer
    return took


def _forget(_: object) -> None:
    """Of candidates whose answers, and failures, are meant."""


def _parser() -> argparse.ArgumentParser:
    parser = bench_parser("shadow", __doc__)
    parser.add_argument(
        "--rounds", type=at_least_one, default=200, metavar="N", help="of 10 requests each (%(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    return parser


if __name__ == "__main__":
    sys.exit(main())

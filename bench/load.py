"""The server under many clients at once: how fast, how right, how steady, and what it does when there are too many.

    python -m bench.load --json report/load.json

lenslet serve runs in processes of its own on a free port of the loopback. Twenty requests of the pattern are twelve
photos of 150 px (half of them in JSON), two of 12 megapixels, three links (to a server of this program, through a
switch that production does not have: bench/loopback.py) and three broken requests. Every answer is compared with
the known one.

1. Photos only, two clients for each processor, in turns with decoding and inference alone, one process for each
   processor: what HTTP, JSON, log and the clients themselves cost.
2. 1, 4, 16 and 64 clients, `--seconds` each. 64 are more than lenslet serve lets in: those over it are answered 503 at
   once, with Retry-After, and wait that long.
3. `--requests` of 16 clients, and the memory of all processes of the server meanwhile.

Expect, after five minutes on two processors, tables of milliseconds and which goals were met. Exit code 1 if an answer
was wrong or lost; the other goals depend on what else the machine does, and are for a person to read. Clients run on
the same processors; their share of them is in the table.
"""

import argparse
import platform
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any

from bench.clients import REFUSED, Outcome, ask_all, watched_memory
from bench.console import at_least_one, bench_parser, progress
from bench.floor import PROCESSORS, inference_only
from bench.goals import Goal, judge, verdicts_text, write_report
from bench.load_pattern import (
    LARGE,
    SHARES,
    SMALL,
    Request,
    draw_photos,
    load_pattern,
    photos_in_proportion,
    requests_by_kind,
    serving_links,
)
from bench.loopback import running
from lenslet.inference.artifact import Artifact
from lenslet.inference.classifier import Classifier, runtime_name
from lenslet.inference.errors import ArtifactError

ROOT = Path(__file__).parents[1]
LEVELS = (1, 4, 16, 64)  # clients
CROWD = 64
STEADY = 16  # clients of the long run
ROUNDS = 3  # of photos alone and served

Figures = dict[str, Any]


GOALS = (
    Goal("wrong or lost answers of all requests: none", lambda found: found["wrong"], 0),
    Goal(
        "memory, last quarter of the long run: at most 1.05 × the second",
        lambda found: found["memory"]["growth"],
        1.05,
    ),
    Goal(
        "photos served: at least 0.85 × decode and inference alone",
        lambda found: found["photos"]["ratio"],
        0.85,
        is_minimum=True,
    ),
    Goal("64 clients: some are refused", lambda found: found["levels"]["64"]["refused"], 1, is_minimum=True),
    Goal(
        "64 clients: 95 of 100 refusals within 250 ms",
        lambda found: found["levels"]["64"]["refusals_p95_ms"],
        250,
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    model = arguments.model.resolve()
    try:
        classifier = Classifier.load(model)
        report = measure(model, classifier, arguments.seconds, arguments.requests)
    except (ArtifactError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    print(text_of(report))
    if arguments.json:
        write_report(arguments.json, report)
    return 1 if report["wrong"] else 0


def measure(model: Path, classifier: Classifier, seconds: float, requests: int) -> Figures:
    """All phases against one server process. Raises RuntimeError if it does not start."""
    photos = draw_photos()
    with ExitStack() as stack:
        links = stack.enter_context(serving_links(photos[SMALL]))
        host = links.removeprefix("http://")
        address, process = stack.enter_context(running("--model", str(model), LENSLET_LINK_HOSTS=host))
        pattern = requests_by_kind(photos, classifier, links)
        report = {**about(classifier.artifact), "seconds": seconds, "requests": requests}
        everything, report["photos"] = inference_only_and_served(address, pattern, photos, model, seconds)
        report["levels"] = {}
        for clients in LEVELS:
            progress(f"{clients} clients")
            outcomes, figures = timed(
                address, load_pattern(pattern, tuple(SHARES), clients), clients, seconds
            )
            report["levels"][str(clients)] = figures
            everything += outcomes
        progress(f"{requests:,} requests")
        with watched_memory(process.pid) as memory:
            long_run = islice(load_pattern(pattern, tuple(SHARES)), requests)
            outcomes, report["long_run"] = timed(address, long_run, STEADY)
        everything += outcomes
    progress("")
    report["kinds"] = {kind: figures_of([each for each in outcomes if each.kind == kind]) for kind in SHARES}
    report["memory"] = {"growth": growth(memory), "samples_mb": memory}
    report["answers"], report["wrong"] = len(everything), sum(not each.is_right for each in everything)
    report["goals"] = judge(GOALS, report)
    return report


def about(artifact: Artifact) -> Figures:
    return {
        "model": f"{artifact.name} {artifact.version}, {artifact.image_size} px, {artifact.precision}",
        "runtime": f"{runtime_name()}, Python {platform.python_version()}",
        "machine": f"{platform.machine()}, {PROCESSORS} cores",
    }


def inference_only_and_served(
    address: str,
    pattern: dict[str, list[Request]],
    photos: dict[str, list[bytes]],
    model: Path,
    seconds: float,
) -> tuple[list[Outcome], Figures]:
    """Photos a second by decoding and inference alone, and through the server, by turns."""
    outcomes: list[Outcome] = []
    alone, rounds = [], []
    with inference_only(model, photos_in_proportion(photos)) as work:
        for number in range(1, ROUNDS + 1):
            progress(f"photos, round {number} of {ROUNDS}")
            alone.append(work(seconds))
            requests = load_pattern(pattern, (SMALL, LARGE), number)
            found, figures = timed(address, requests, 2 * PROCESSORS, seconds)
            outcomes += found
            rounds.append(figures)
    through = [figures["answers_a_second"] for figures in rounds]
    return outcomes, {
        "alone": alone,
        "served": through,
        "ratio": statistics.median(through) / statistics.median(alone),
        "clients_share": statistics.median(figures["clients_share"] for figures in rounds),
    }


def figures_of(outcomes: list[Outcome], took_s: float = 0, clients_cpu_s: float = 0) -> Figures:
    """Counts and milliseconds. Times are of what was answered; refusals are counted apart."""
    answered = [outcome.seconds for outcome in outcomes if outcome.code != REFUSED]
    refused = [outcome.seconds for outcome in outcomes if outcome.code == REFUSED]
    return {
        "answers": len(answered),
        "answers_a_second": len(answered) / took_s if took_s else None,
        **{f"p{share}_ms": percentile_ms(answered, share) for share in (50, 95, 99)},
        "refused": len(refused),
        "refusals_p95_ms": percentile_ms(refused, 95),
        "wrong": sum(not outcome.is_right for outcome in outcomes),
        "errors": dict(Counter(outcome.code for outcome in outcomes if outcome.code)),
        "clients_share": clients_cpu_s / (took_s * PROCESSORS) if took_s else None,
    }


def percentile_ms(seconds: list[float], share: int) -> float | None:
    """The nearest-rank percentile in milliseconds: so many of a hundred took at most as long."""
    return sorted(seconds)[ceil(share / 100 * len(seconds)) - 1] * 1000 if seconds else None


def growth(samples: list[float]) -> float | None:
    """Mean of the last quarter over that of the second; None if there are too few samples."""
    quarter = len(samples) // 4
    if not quarter:
        return None
    return statistics.mean(samples[-quarter:]) / statistics.mean(samples[quarter : 2 * quarter])


def text_of(report: Figures) -> str:
    """The report for people."""
    photos, memory = report["photos"], report["memory"]["samples_mb"]
    lines = [
        f"{report['model']}; {report['runtime']}; {report['machine']}",
        "",
        f"photos only: {statistics.median(photos['served']):.0f} a second served, "
        f"{statistics.median(photos['alone']):.0f} by decoding and inference alone: "
        f"{photos['ratio']:.2f}; the clients took {photos['clients_share']:.2f} of the processors, "
        f"and of what they left it is {photos['ratio'] / (1 - photos['clients_share']):.2f}",
        "",
        table("clients", {**report["levels"], f"{STEADY}, long": report["long_run"]}),
        "",
        table(f"{STEADY}, long", report["kinds"]),
        "",
    ]
    for name, figures in report["kinds"].items():
        codes = ", ".join(f"{code} {count}" for code, count in sorted(figures["errors"].items()))
        lines += [f"errors of {name}: {codes}"] if codes else []
    if memory:
        lines += [
            f"memory of the server: {memory[0]:.0f} MB first, {max(memory):.0f} most, {memory[-1]:.0f} last"
        ]
    return "\n".join([*lines, "", verdicts_text(report["goals"])])


COLUMNS = {
    "answers": "answers", "a second": "answers_a_second", "p50 ms": "p50_ms", "p95 ms": "p95_ms", "p99 ms": "p99_ms",
    "503": "refused", "503 p95 ms": "refusals_p95_ms", "wrong": "wrong", "clients' CPU": "clients_share",
}  # fmt: skip


def table(title: str, rows: dict[str, Figures]) -> str:
    """One line for each row; a dash where there is no figure."""
    lines = [f"{title:<10}" + "".join(f"{column:>13}" for column in COLUMNS)]
    for name, figures in rows.items():
        found = [figures[key] for key in COLUMNS.values()]
        cells = [
            "—" if each is None else f"{each:.2f}" if isinstance(each, float) else f"{each:,}"
            for each in found
        ]
        lines.append(f"{name:<10}" + "".join(f"{cell:>13}" for cell in cells))
    return "\n".join(lines)


def timed(
    address: str, requests: Iterator[Request], clients: int, seconds: float = 3600
) -> tuple[list[Outcome], Figures]:
    """Outcomes and `figures_of` them; ends after the seconds, or the requests."""
    started, started_cpu = time.perf_counter(), time.process_time()
    outcomes = ask_all(address, requests, clients, seconds)
    return outcomes, figures_of(outcomes, time.perf_counter() - started, time.process_time() - started_cpu)


def _parser() -> argparse.ArgumentParser:
    parser = bench_parser("load", __doc__)
    add = parser.add_argument
    add("--seconds", type=at_least_one, default=10, metavar="N", help="of each measurement (%(default)s)")
    add("--requests", type=at_least_one, default=10_000, metavar="N", help="of the long run (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="write all figures there too")
    add("--model", type=Path, default=ROOT / "model", metavar="FOLDER", help="model folder (model/)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

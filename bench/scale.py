"""Expected time and cost of a batch, simulated: stragglers, failures that are tried again, and cold starts.

    python -m bench.scale --photos 1000000 --ms 4.6 --workers 16
    python -m bench.scale --check 6000

Simulates every part of every worker (a discrete-event simulation, --runs times) and prints the median and the 95th
percentile of the finish, beside the ideal photos × ms / workers. A straggler's part takes --straggler-factor times as
long; a failed part is tried again from its start; a worker that starts first loads the model.

--check N classifies N links to the sample photos by `lenslet predict` with one worker and with one for each processor,
takes ms and start-up from the former, and compares the simulated finish of the latter with the real one. Wants a quiet
machine.
"""

import argparse
import heapq
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.console import at_least_one, bench_parser
from lenslet.batch.plan import photos_in_part
from lenslet.batch.progress import duration
from lenslet.inference.processors import processors

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Machine:
    """Workers, what they are like, and what befalls them."""

    workers: int
    milliseconds: float  # of a photo, on one worker
    start_s: float = 1.0  # of a worker: process or instance, and model
    part_s: float = 0.0  # of a part beside its photos: state machine, writing
    spread: float = 0.05  # standard deviation of the time of a part, as a share of it
    straggler_share: float = 0.01
    straggler_factor: float = 5.0
    failure_share: float = 0.001  # parts that fail, at a random moment, and are tried again


def finish_s(photos: int, part_photos: int, machine: Machine, dice: random.Random) -> float:
    """When the last part is done, in seconds; parts are taken in order by whichever worker is free."""
    free = [machine.start_s] * machine.workers
    heapq.heapify(free)
    last = 0.0
    for first in range(0, photos, part_photos):
        now = heapq.heappop(free)
        count = min(part_photos, photos - first)
        usual = machine.part_s + count * machine.milliseconds / 1000 * max(0.1, dice.gauss(1, machine.spread))
        if dice.random() < machine.straggler_share:
            usual *= machine.straggler_factor
        while dice.random() < machine.failure_share:
            now += usual * dice.random()
        heapq.heappush(free, now + usual)
        last = max(last, now + usual)
    return last


def finishes(photos: int, part_photos: int, machine: Machine, runs: int) -> tuple[float, float]:
    """Median and 95th percentile of `runs` simulations, in seconds."""
    found = sorted(finish_s(photos, part_photos, machine, random.Random(seed)) for seed in range(runs))
    return statistics.median(found), found[min(len(found) - 1, int(0.95 * len(found)))]


def main(argv: list[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    if arguments.check:
        check(arguments.check)
        return 0
    part_photos = arguments.part_photos or photos_in_part(arguments.photos)
    machine = Machine(
        arguments.workers, arguments.ms, arguments.start_s, arguments.part_s,
        straggler_share=arguments.stragglers, straggler_factor=arguments.straggler_factor,
        failure_share=arguments.failures,
    )  # fmt: skip
    median, late = finishes(arguments.photos, part_photos, machine, arguments.runs)
    ideal = arguments.photos * arguments.ms / 1000 / arguments.workers
    parts = -(-arguments.photos // part_photos)
    print(f"{arguments.photos:,} photos in {parts:,} parts of {part_photos:,}, {arguments.workers:,} workers")
    print(
        f"ideal {duration(ideal)}, median {duration(median)} ({median / ideal:.2f} ×), 95 % within {duration(late)}"
    )
    return 0


def check(photos: int) -> None:
    """Print the simulated and the real finish of this machine."""
    alone_small, alone = _real_s(photos // 2, 1), _real_s(photos, 1)
    milliseconds = (alone - alone_small) / (photos - photos // 2) * 1000
    start_s = alone - photos * milliseconds / 1000
    count = processors()
    real = _real_s(photos, count)
    machine = Machine(count, milliseconds, start_s, straggler_share=0, failure_share=0)
    median, _ = finishes(photos, photos_in_part(photos), machine, 20)
    print(f"one worker: {milliseconds:.2f} ms a photo, {start_s:.2f} s to start")
    print(f"{count} workers: simulated {median:.2f} s, real {real:.2f} s ({real / median:.2f} ×)")


def _real_s(photos: int, workers: int) -> float:
    samples = sorted((ROOT / "data/sample/test").glob("*/*.jpg"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "photos")
        folder.mkdir()
        for number in range(photos):
            (folder / f"{number:07}.jpg").symlink_to(samples[number % len(samples)])
        words = ["predict", str(folder), "--model", str(ROOT / "model"), "--out", f"{name}/out.jsonl"]
        words += ["--workers", str(workers), "--json"]
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "lenslet", *words], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert len(json.loads(done.stdout)) == photos
        return time.perf_counter() - started


def _parser() -> argparse.ArgumentParser:
    parser = bench_parser("scale", __doc__)
    add = parser.add_argument
    add("--photos", type=at_least_one, default=1_000_000, help="(%(default)s)")
    add(
        "--part-photos", type=at_least_one, metavar="N", help="photos of a part (as lenslet predict has them)"
    )
    add("--workers", type=at_least_one, default=16, help="processors, or instances at once (%(default)s)")
    add("--ms", type=float, default=4.6, help="milliseconds a photo on one of them (%(default)s: 150 px)")
    add("--start-s", type=float, default=1.0, help="seconds until a worker is ready (%(default)s)")
    add("--part-s", type=float, default=0.0, help="seconds of a part beside its photos (%(default)s)")
    add("--stragglers", type=float, default=0.01, help="share of slow parts (%(default)s)")
    add("--straggler-factor", type=float, default=5.0, help="how slow they are (%(default)s)")
    add("--failures", type=float, default=0.001, help="share of parts that are tried again (%(default)s)")
    add("--runs", type=at_least_one, default=20, help="simulations (%(default)s)")
    add("--check", type=at_least_one, metavar="N", help="compare with a real run of N photos instead")
    return parser


if __name__ == "__main__":
    sys.exit(main())

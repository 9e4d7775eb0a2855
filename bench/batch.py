"""Photos a second of `lenslet predict` beside its own floor, Keras on tf.data, and ONNX Runtime; memory of a long run.

    python -m bench.batch --rounds 3 --json report/batch.json
    python -m bench.batch --memory 10000 1000000

Each round measures every subject on every set of photos, one after the other, so that a machine that slows down slows
all of them. The floor is decoding and invoking alone, in as many processes as there are processors. Expect, after about
two minutes a round, a table of medians and which goals were met. ONNX Runtime needs requirements/bench.txt, and stays
out without it.

--memory plans so many links to few photos, classifies about 20,000 of them (one shard), and prints the peak memory of
the main process and of a worker: neither may grow with the number of photos.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from bench.batch_peers import KERAS, LENSLET, ONNX, TITLES
from bench.console import at_least_one, bench_parser, progress, tail
from bench.floor import inference_only
from bench.goals import Goal, judge, verdicts_text, write_report
from bench.serving import draw_jpeg

ROOT = Path(__file__).parents[1]
FLOOR = "floor"
SMALL, LARGE = "150 px", "12 MP"
# Set → width, height, different photos, photos in all (links to them).
SETS = {SMALL: (150, 150, 20, 4000), LARGE: (4000, 3000, 3, 300)}
FLOOR_S = 5.0
MEMORY_PARTS = 20  # that are classified of each size
MEGABYTE = 1e6

Rates = dict[str, dict[str, float]]  # subject → set → photos a second

GOALS = (
    Goal("150 px: at least 0.90 of the floor", lambda found: found[LENSLET][SMALL] / found[FLOOR][SMALL], 0.9, True),
    Goal("12 MP: at least 0.90 of the floor", lambda found: found[LENSLET][LARGE] / found[FLOOR][LARGE], 0.9, True),
    Goal("150 px: at least 2 × Keras", lambda found: found[LENSLET][SMALL] / found[KERAS][SMALL], 2, True),
    Goal("12 MP: at least 4 × Keras", lambda found: found[LENSLET][LARGE] / found[KERAS][LARGE], 4, True),
    Goal("12 MP: at least 4 × ONNX Runtime", lambda found: found[LENSLET][LARGE] / found[ONNX][LARGE], 4, True),
)  # fmt: skip
MEMORY_GOALS = (
    Goal("main process: at most 200 MB", lambda found: found["main"], 200),
    Goal("a worker: at most 150 MB", lambda found: found["worker"], 150),
    # Names are sorted 50,000 at a time, which fewer photos do not fill.
    Goal("main process: at most 20 MB more than for the fewest photos", lambda found: found["growth"], 20),
)


def main(argv: list[str] | None = None) -> int:
    parser = bench_parser("batch", __doc__)
    parser.add_argument("--rounds", type=at_least_one, default=3, help="(%(default)s)")
    parser.add_argument("--model", type=Path, default=ROOT / "model", metavar="FOLDER", help="(model/)")
    parser.add_argument("--memory", type=at_least_one, nargs="+", metavar="N", help="measure memory instead")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    arguments = parser.parse_args(argv)
    report = measure_memory(arguments) if arguments.memory else measure_rates(arguments)
    if arguments.json:
        write_report(arguments.json, report)
    return 0


def measure_rates(arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sets = {title: _photos(folder / title, *facts) for title, facts in SETS.items()}
        subjects = _subjects(arguments.model, folder)
        rounds: list[Rates] = []
        for number in range(arguments.rounds):
            progress(f"round {number + 1} of {arguments.rounds}")
            rounds.append(_round(arguments.model, sets, subjects, folder))
    progress("")
    rates = {
        subject: {title: statistics.median(each[subject][title] for each in rounds) for title in SETS}
        for subject in rounds[0]
    }
    verdicts = judge(GOALS, rates)
    print(f"{table(rates)}\n\n{verdicts_text(verdicts)}")
    return {"rates": rates, "rounds": rounds, "goals": verdicts}


def table(rates: Rates) -> str:
    """Photos a second of each subject, and its multiple of the floor."""
    titles = {FLOOR: "floor: decode + invoke", **TITLES}
    lines = [" " * 28 + "".join(f"{title:>18}" for title in SETS)]
    for subject, of_subject in rates.items():
        cells = (
            f"{of_subject[title]:>10,.1f}{of_subject[title] / rates[FLOOR][title]:>7.2f}×" for title in SETS
        )
        lines.append(f"{titles[subject]:<28}" + "".join(cells))
    return "\n".join(lines)


def _round(model: Path, sets: dict[str, Path], subjects: Sequence[str], graph: Path) -> Rates:
    rates: Rates = {FLOOR: {}, **{subject: {} for subject in subjects}}
    for title, photos in sets.items():
        different = {path.resolve() for path in photos.iterdir()}
        with inference_only(model, [path.read_bytes() for path in sorted(different)]) as work:
            rates[FLOOR][title] = work(FLOOR_S)
        for subject in subjects:
            command = [
                sys.executable,
                "-m",
                "bench.batch_peers",
                subject,
                str(model),
                str(photos),
                str(graph),
            ]
            environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"bench.batch: {TITLES[subject]} failed:\n{tail(done.stderr)}")
            rates[subject][title] = float(json.loads(done.stdout.splitlines()[-1]))
    return rates


def _subjects(model: Path, folder: Path) -> list[str]:
    """Those whose packages are installed; the ONNX graph is made."""
    subjects = [LENSLET]
    if find_spec("tensorflow"):
        subjects.append(KERAS)
    if find_spec("onnxruntime") and find_spec("tf2onnx"):
        command = [sys.executable, "-m", "bench.peers", "convert", str(model), str(folder)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        subjects.append(ONNX)
    else:
        print("ONNX Runtime stays out: pip install --requirement requirements/bench.txt", file=sys.stderr)
    return subjects


def _photos(folder: Path, width: int, height: int, different: int, count: int) -> Path:
    """A folder of `count` links to `different` photos."""
    (folder / "photos").mkdir(parents=True)
    for seed in range(different):
        (folder / f"{seed}.jpg").write_bytes(draw_jpeg(width, height, seed))
    for number in range(count):
        (folder / "photos" / f"{number:07}.jpg").symlink_to(folder / f"{number % different}.jpg")
    return folder / "photos"


def measure_memory(arguments: argparse.Namespace) -> dict[str, Any]:
    """Largest resident memory in megabytes of the main process and of a worker, for each number of photos."""
    found = []
    for count in arguments.memory:
        with tempfile.TemporaryDirectory() as name:
            progress(f"{count:,} links")
            photos = _photos(Path(name), *SETS[SMALL][:3], count)
            found.append({"photos": count, **_peaks(arguments.model, photos, Path(name, "out"), count)})
            print(
                "{photos:>12,} photos: main {main:,.0f} MB, worker {worker:,.0f} MB, {seconds:,.0f} s".format(
                    **found[-1]
                )
            )
    figures = {
        "main": max(each["main"] for each in found),
        "worker": max(each["worker"] for each in found),
        "growth": found[-1]["main"] - found[0]["main"],
    }
    verdicts = judge(MEMORY_GOALS, figures)
    print(f"\n{verdicts_text(verdicts)}")
    return {"sizes": found, "goals": verdicts}


def _peaks(model: Path, photos: Path, out: Path, count: int) -> dict[str, float]:
    parts = -(-count // 1000)
    shard = max(1, parts // MEMORY_PARTS)
    command = [
        sys.executable,
        "-m",
        "lenslet",
        "predict",
        str(photos),
        "--model",
        str(model),
        "--out",
        str(out),
    ]
    command += ["--part-photos", "1000", "--shard", f"1/{shard}"]
    started = time.monotonic()
    process = psutil.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    main_bytes = worker_bytes = 0
    while process.poll() is None:
        try:
            main_bytes = max(main_bytes, process.memory_info().rss)
            children = [child for child in process.children() if "spawn_main" in " ".join(child.cmdline())]
            worker_bytes = max([worker_bytes, *(child.memory_info().rss for child in children)])
        except psutil.Error:  # one has ended meanwhile
            pass
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit("bench.batch: lenslet predict failed")
    seconds = time.monotonic() - started
    return {"main": main_bytes / MEGABYTE, "worker": worker_bytes / MEGABYTE, "seconds": seconds}


if __name__ == "__main__":
    sys.exit(main())

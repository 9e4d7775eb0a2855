"""This trainer beside the usual Keras tutorial, side by side in one run, on the same photos and weights.

    python -m bench.training --data photos/intel --rounds 2 --json report/training.json

Each round runs every subject in a fresh process; clocks start after the imports. A head is fitted from photos to early
stopping, against as many epochs of the tutorial; a search of 50 trials against 50 such fits (projected from two);
fine-tuning also against itself without the pixel cache. Of the tutorial's epochs --tutorial-epochs run (0: all), the
others are projected from their median. Prints, after some minutes, a table of medians and which goals are met.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from bench.console import at_least_none, at_least_one, progress, tail
from bench.goals import Goal, judge, verdicts_text
from bench.serving import PeerError
from lenslet.config import read_params
from lenslet.dataset.layouts import find_photos
from lenslet.inference.atomic import write_text
from lenslet.inference.errors import InputError

ROOT = Path(__file__).parents[1]
TRIALS = 50
HERE, THERE = "here", "tutorial"
# Subject, a function of bench/trainers.py → the side that it measures.
SUBJECTS = {
    "head": HERE, "tutorial_head": THERE, "search": HERE,
    "fine_tuning": HERE, "tutorial_fine_tuning": THERE, "uncached_fine_tuning": THERE,
}  # fmt: skip


class Measure(NamedTuple):
    title: str
    digits: int
    is_speed: bool | None  # True: more is better; False: less is; None: not compared


MEASURES = {
    "head": Measure("head, nothing cached (s)", 1, False),
    "head_again": Measure("head, once more (s)", 1, False),
    "search": Measure(f"search, {TRIALS} trials (s)", 1, False),
    "fine_tune": Measure("fine-tuning (photos/s)", 1, True),
    "pixel_cache": Measure("the same, only uncached (photos/s)", 1, True),
    "head_epochs": Measure("epochs of the head", 0, None),
    "head_accuracy": Measure("its validation accuracy", 3, None),
    "head_memory": Measure("peak memory, head (MB)", 0, None),
    "search_memory": Measure("peak memory, search (MB)", 0, None),
    "fine_tune_memory": Measure("peak memory, fine-tuning (MB)", 0, None),
}
Medians = dict[str, dict[str, float]]  # measure → side → median


def speed_up(medians: Medians, measure: str) -> float:
    """How many times faster this trainer is. Raises KeyError if a side was not measured."""
    here, there = medians[measure][HERE], medians[measure][THERE]
    return here / there if MEASURES[measure].is_speed else there / here


GOALS = (
    Goal("head to convergence: at least 5 × faster", lambda found: speed_up(found, "head"), 5, True),
    Goal("search: at least 50 × faster", lambda found: speed_up(found, "search"), 50, True),
    Goal("fine-tuning: at least 1.2 × the tutorial", lambda found: speed_up(found, "fine_tune"), 1.2, True),
    Goal("fine-tuning: at least 1.2 × uncached", lambda found: speed_up(found, "pixel_cache"), 1.2, True),
    Goal("peak memory: at most 3,000 MB", lambda found: found["fine_tune_memory"][HERE], 3000),
)


def main(argv: list[str] | None = None) -> int:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m bench.training", description=__doc__, formatter_class=form
    )
    add = parser.add_argument
    add("--data", type=Path, default=ROOT / "data/sample", help="folder of labelled photos (data/sample)")
    add("--photos", type=at_least_one, default=40, help="per class, a tenth to validate (%(default)s)")
    add("--rounds", type=at_least_one, default=2, help="fresh processes a subject (%(default)s)")
    add("--tutorial-epochs", type=at_least_none, default=4, help="that really run, 0: all (%(default)s)")
    add("--params", type=Path, default=ROOT / "params.yaml", help="settings of both sides (params.yaml)")
    add("--json", type=Path, metavar="FILE", help="write all figures there too")
    arguments = parser.parse_args(argv)
    job = {name: str(value) if isinstance(value, Path) else value for name, value in vars(arguments).items()}
    with tempfile.TemporaryDirectory(prefix="lenslet-bench-") as folder:
        try:
            read_params(arguments.params), find_photos(arguments.data)  # a mistake is one sentence here
            about = run_process("prepare", {**job, "folder": folder})
            figures = measure({**job, "folder": folder}, arguments.rounds)
        except (InputError, PeerError) as error:
            print(error, file=sys.stderr)
            return 2
    medians = {
        name: {side: statistics.median(values) for side, values in figures[name].items()}
        for name in MEASURES
        if name in figures
    }
    verdicts = judge(GOALS, medians)
    print(f"{about}. Medians of {arguments.rounds} rounds.\n\n{table(medians)}\n\n{verdicts_text(verdicts)}")
    if arguments.json:
        report = {"about": about, "medians": medians, "goals": verdicts, "figures": figures}
        write_text(arguments.json, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    return 0


def measure(job: dict[str, Any], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Measure → side → value of each round. Each round has a cache of its own."""
    figures: dict[str, dict[str, list[float]]] = {}
    for number in range(rounds):
        epochs = 0  # of the tutorial's head: those that this trainer's took
        for name, side in SUBJECTS.items():
            progress(f"round {number + 1} of {rounds}: {name}")
            found = run_process(name, {**job, "cache": f"{job['folder']}/cache-{number}", "epochs": epochs})
            epochs = int(found.get("head_epochs", epochs))
            for each, value in found.items():
                figures.setdefault(each, {}).setdefault(side, []).append(value)
    progress("")
    return figures


def run_process(name: str, job: dict[str, Any]) -> Any:
    """What one fresh process of bench/trainers.py finds. Raises: PeerError if it fails."""
    command = [sys.executable, "-m", "bench.trainers", name, json.dumps(job)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace")
    if process.returncode != 0:
        raise PeerError(f"{name} failed:\n{tail(process.stderr)}")
    return json.loads(process.stdout.splitlines()[-1])


def table(medians: Medians) -> str:
    """One line a measure: this trainer, the tutorial, and how many times faster this trainer is."""
    lines = [f"{'':<36}{'this trainer':>14}{'tutorial':>12}{'ratio':>10}"]
    for measure, sides in medians.items():
        title, digits, is_speed = MEASURES[measure]
        here, there = (f"{sides[side]:,.{digits}f}" if side in sides else "" for side in (HERE, THERE))
        ratio = f"{speed_up(medians, measure):,.2f}×" if is_speed is not None and here and there else ""
        lines.append(f"{title:<36}{here:>14}{there:>12}{ratio:>10}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

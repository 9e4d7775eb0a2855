"""This trainer beside the usual Keras tutorial, side by side in one run, on the same photos and weights.

    python -m bench.training --data photos/intel --rounds 2 --json report/training.json

Each round runs every subject in a fresh process; clocks start after the imports. A head is fitted from photos to early
stopping, against as many epochs of the tutorial, of which --tutorial-epochs run (0: all) and the others are projected
from their median. Prints, after some minutes, a table of medians and which goals are met.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.console import at_least_none, at_least_one, bench_parser, progress, tail
from bench.goals import Goal, judge, verdicts_text, write_report
from bench.serving import PeerError
from lenslet.config import read_params
from lenslet.dataset.layouts import find_photos
from lenslet.inference.errors import InputError

ROOT = Path(__file__).parents[1]
HERE, THERE = "here", "tutorial"
SUBJECTS = ("head", "tutorial_head", "fine_tuning", "tutorial_fine_tuning")  # functions of bench/trainers.py
# Measure → title, digits, and whether more is better; None: not compared.
MEASURES: dict[str, tuple[str, int, bool | None]] = {
    "head": ("head, nothing cached (s)", 1, False),
    "fine_tune": ("fine-tuning (photos/s)", 1, True),
    "head_epochs": ("epochs of the head", 0, None),
    "head_accuracy": ("its validation accuracy", 3, None),
}
Medians = dict[str, dict[str, float]]  # measure → side → median


def speed_up(medians: Medians, measure: str) -> float:
    here, there = medians[measure][HERE], medians[measure][THERE]  # KeyError: a side was not measured
    return here / there if MEASURES[measure][2] else there / here


GOALS = (
    Goal("head to convergence: at least 5 × faster", lambda found: speed_up(found, "head"), 5, True),
    Goal("fine-tuning: at least 1.2 × the tutorial", lambda found: speed_up(found, "fine_tune"), 1.2, True),
)


def main(argv: list[str] | None = None) -> int:
    parser = bench_parser("training", __doc__)
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
        name: {side: statistics.median(values) for side, values in sides.items()}
        for name, sides in figures.items()
    }
    verdicts = judge(GOALS, medians)
    print(f"{about}. Medians of {arguments.rounds} rounds.\n\n{table(medians)}\n\n{verdicts_text(verdicts)}")
    if arguments.json:
        report = {"about": about, "medians": medians, "goals": verdicts, "figures": figures}
        write_report(arguments.json, report)
    return 0


def measure(job: dict[str, Any], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Measure → side → value of each round. Each round has a cache of its own."""
    figures: dict[str, dict[str, list[float]]] = {}
    for number in range(rounds):
        epochs = 0  # of the tutorial's head: those that this trainer's took
        for name in SUBJECTS:
            side = THERE if name.startswith(THERE) else HERE
            progress(f"round {number + 1} of {rounds}: {name}")
            found = run_process(name, {**job, "cache": f"{job['folder']}/cache-{number}", "epochs": epochs})
            epochs = int(found.get("head_epochs", epochs))
            for each, value in found.items():
                figures.setdefault(each, {}).setdefault(side, []).append(value)
    progress("")
    return figures


def run_process(name: str, job: dict[str, Any]) -> Any:
    """Figures of one fresh process of bench/trainers.py. Raises: PeerError if it fails."""
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

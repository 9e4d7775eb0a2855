"""This trainer beside the usual Keras tutorial, side by side in one run, on the same photos and weights.

    python -m bench.training --data photos/intel --rounds 2 --json report/training.json

Each round starts every subject in a fresh process, one after the other, so that a machine that slows down slows
all of them. Clocks start after the imports: fitting a head (reading, decoding and features included) until early
stopping ends it, against a tutorial's fit of as many epochs; a search of 50 trials against 50 such fits, projected
from two; fine-tuning in photos per second, after its first epoch, also beside itself with every photo decoded anew
in every epoch. Of the tutorial's epochs the first few run, the others are projected from their median;
--tutorial-epochs 0 runs all. Then training's peak memory is taken with drawn photos of 224 px, and with four times as
many. Expect, after some minutes, a table of medians and which goals were met. The tutorial is bench/tutorial.py.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from bench.console import at_least_none, at_least_one, progress, tail
from bench.photos import lay_out
from bench.serving import PeerError
from lenslet.config import ParamsError, read_params
from lenslet.dataset.layouts import find_photos
from lenslet.dataset.photos import DatasetError
from lenslet.inference.atomic import write_text

ROOT = Path(__file__).parents[1]
TRIALS = 50

HERE, THERE = "here", "tutorial"
PREPARE, MEMORY = "prepare", "memory"
MANY = "memory_of_four_times"


@dataclass(frozen=True)
class Job:
    """What a process of bench/trainers.py is to do, and where everything lies."""

    params: Path
    photos: Path  # train/, val/ and test/ with a folder per class
    cache: Path  # of this trainer
    weights: Path  # the backbone as train.py takes it: a .keras file
    tutorial_weights: Path  # the same numbers as Keras's `load_weights` takes them
    epochs: int = 0  # of the tutorial's head: those that this trainer's took
    tutorial_epochs: int = 0  # of them that really run; 0: all
    memory_photos: int = 0


class Subject(NamedTuple):
    title: str
    side: str


SUBJECTS = {  # name → row; what each does stands in bench/trainers.py under the same name
    "head": Subject("this trainer's head, nothing cached", HERE),
    "head_again": Subject("this trainer's head, once more", HERE),
    "tutorial_head": Subject("the tutorial's head, twice", THERE),
    "search": Subject("this trainer's search", HERE),
    "fine_tuning": Subject("this trainer's fine-tuning", HERE),
    "tutorial_fine_tuning": Subject("the tutorial's fine-tuning", THERE),
    "uncached_fine_tuning": Subject("this trainer's fine-tuning without its pixel cache", THERE),
}


class Measure(NamedTuple):
    title: str
    digits: int
    is_speed: bool | None  # of two, more is better; False: less is; None: they are not compared


MEASURES = {
    "head": Measure("head, nothing cached (s)", 1, False),
    "head_again": Measure("head, once more (s)", 1, False),
    "search": Measure(f"search, {TRIALS} trials (s)", 1, False),
    "fine_tune": Measure("fine-tuning (photos/s)", 1, True),
    # Beside itself: the same pipeline, but every photo is decoded in every epoch.
    "pixel_cache": Measure("the same, only uncached (photos/s)", 1, True),
    "head_epochs": Measure("epochs of the head", 0, None),
    "head_accuracy": Measure("its validation accuracy", 3, None),
    "head_memory": Measure("peak memory, head (MB)", 0, None),
    "search_memory": Measure("peak memory, search (MB)", 0, None),
    "fine_tune_memory": Measure("peak memory, fine-tuning (MB)", 0, None),
    MEMORY: Measure("peak memory, drawn photos (MB)", 0, None),
    MANY: Measure("peak memory, 4 × as many (MB)", 0, None),
}

Figures = dict[str, dict[str, list[float]]]  # measure → side → value of each round
Medians = dict[str, dict[str, float]]  # measure → side → median


class Goal(NamedTuple):
    sentence: str
    found: Callable[[Medians], float]  # KeyError where something was not measured
    limit: float
    is_upper: bool


GOALS = (
    Goal("head to convergence: at least 5 × faster", lambda medians: speed_up(medians, "head"), 5, False),
    Goal("search: at least 50 × faster", lambda medians: speed_up(medians, "search"), 50, False),
    Goal(
        "fine-tuning: at least 1.2 × the tutorial's speed",
        lambda medians: speed_up(medians, "fine_tune"),
        1.2,
        False,
    ),
    Goal(
        "fine-tuning: at least 1.2 × its speed without the pixel cache",
        lambda medians: speed_up(medians, "pixel_cache"),
        1.2,
        False,
    ),
    Goal("peak memory at 224 px: at most 3,000 MB", lambda medians: medians[MANY][HERE], 3000, True),
    Goal(
        "four times the photos: at most 100 MB more",
        lambda medians: medians[MANY][HERE] - medians[MEMORY][HERE],
        100,
        True,
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        params = read_params(arguments.params)
        found = [*find_photos(arguments.data).photos]
        with tempfile.TemporaryDirectory(prefix="lenslet-bench-") as name:
            folder = Path(name)
            counts = lay_out(found, arguments.photos, params.train.seed, folder / "photos")
            job = Job(
                arguments.params.resolve(), folder / "photos", folder / "cache", folder / "weights.keras",
                folder / "tutorial.weights.h5", tutorial_epochs=arguments.tutorial_epochs,
            )  # fmt: skip
            weights = run_process(PREPARE, job)
            figures = run_rounds(job, arguments.rounds)
            if arguments.memory_photos:
                figures |= measure_memory(job, arguments.memory_photos)
    except (DatasetError, ParamsError, PeerError) as error:
        print(error, file=sys.stderr)
        return 2
    report = summary(figures, arguments, counts, f"{weights}, {params.train.image_size} px")
    print(f"{report['photos']}; {report['weights']}; {report['machine']}; {report['libraries']}")
    print(f"Medians of {arguments.rounds} rounds. {report['projected']}\n")
    print(table(report["medians"]))
    print()
    print(goals_text(report["goals"]))
    if arguments.json:
        write_text(arguments.json, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    return 0


def run_rounds(job: Job, rounds: int) -> Figures:
    """Every figure of every round. Each round goes once through all subjects, with a cache of its own."""
    figures: Figures = {}
    for number in range(1, rounds + 1):
        mine = replace(job, cache=job.cache / str(number))
        mine.cache.mkdir(parents=True)
        for name, subject in SUBJECTS.items():
            progress(f"round {number} of {rounds}: {subject.title}")
            found = run_process(name, mine)
            if "head_epochs" in found:
                mine = replace(mine, epochs=int(found["head_epochs"]))
            for measure, value in found.items():
                figures.setdefault(measure, {}).setdefault(subject.side, []).append(value)
    progress("")
    return figures


def measure_memory(job: Job, photos: int) -> Figures:
    """Megabytes at the peak of training with so many drawn photos, and with four times as many."""
    figures: Figures = {}
    for measure, count in ((MEMORY, photos), (MANY, 4 * photos)):
        progress(f"peak memory of training with {count:,} photos")
        for value in run_process(MEMORY, replace(job, memory_photos=count)).values():
            figures[measure] = {HERE: [value]}
    progress("")
    return figures


def run_process(name: str, job: Job) -> Any:
    """One fresh process of bench/trainers.py; what it found. Raises PeerError if it ends without that."""
    with tempfile.TemporaryDirectory() as folder:
        task, result = Path(folder) / "job.json", Path(folder) / "result.json"
        task.write_text(json.dumps(asdict(job), default=str), encoding="utf-8")
        command = [sys.executable, "-m", "bench.trainers", name, str(task), str(result)]
        process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace")
        if process.returncode != 0:
            raise PeerError(f"{name} failed:\n{tail(process.stderr)}")
        return json.loads(result.read_text(encoding="utf-8"))


def summary(
    figures: Figures, arguments: argparse.Namespace, counts: dict[str, int], weights: str
) -> dict[str, Any]:
    """What is printed and written: medians, verdicts, every figure, and on what they were found."""
    medians = {
        measure: {side: statistics.median(values) for side, values in figures[measure].items()}
        for measure in MEASURES
        if measure in figures
    }
    done = arguments.tutorial_epochs
    epochs = f"{done} of the tutorial's epochs ran in each fit, the others are" if done else "Its 50 fits are"
    return {
        "photos": f"{arguments.data.name}: {counts['train']} photos to train on, {counts['val']} to validate",
        "weights": f"MobileNetV2, {weights}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "libraries": f"Keras {version('keras')}, Python {platform.python_version()}",
        "projected": f"{epochs} projected; the search from two fits.",
        "memory_photos": [arguments.memory_photos, 4 * arguments.memory_photos],
        "medians": medians,
        "goals": judge(medians),
        "figures": figures,
    }


def speed_up(medians: Medians, measure: str) -> float:
    """How many times faster this trainer is. Raises KeyError if a side was not measured."""
    here, there = medians[measure][HERE], medians[measure][THERE]
    return here / there if MEASURES[measure].is_speed else there / here


def judge(medians: Medians) -> list[dict[str, Any]]:
    """Each goal with what was found and whether it was met; both None where something was not measured."""
    verdicts = []
    for goal in GOALS:
        found, is_met = None, None
        with suppress(KeyError):
            found = goal.found(medians)
            is_met = found <= goal.limit if goal.is_upper else found >= goal.limit
        verdicts.append({"goal": goal.sentence, "found": found, "limit": goal.limit, "is_met": is_met})
    return verdicts


def table(medians: Medians) -> str:
    """One line a measure: this trainer, the tutorial, and how many times faster this trainer is."""
    width = max(len(MEASURES[measure].title) for measure in medians)
    lines = [f"{'':<{width}}{'this trainer':>14}{'tutorial':>12}{'ratio':>10}"]
    for measure, sides in medians.items():
        title, digits, is_speed = MEASURES[measure]
        here, there = (f"{sides[side]:,.{digits}f}" if side in sides else "" for side in (HERE, THERE))
        ratio = f"{speed_up(medians, measure):,.2f}×" if is_speed is not None and here and there else ""
        lines.append(f"{title:<{width}}{here:>14}{there:>12}{ratio:>10}".rstrip())
    return "\n".join(lines)


def goals_text(verdicts: list[dict[str, Any]]) -> str:
    words = {True: "met", False: "MISSED", None: "not measured"}
    lines = []
    for verdict in verdicts:
        found = "" if verdict["found"] is None else f" (found {verdict['found']:,.2f})"
        lines.append(f"{words[verdict['is_met']]:<12} {verdict['goal']}{found}")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, default=ROOT / "data/sample", help="folder of labelled photos (data/sample)")
    add("--photos", type=at_least_one, default=40, help="per class, a tenth to validate (%(default)s)")
    add("--rounds", type=at_least_one, default=2, help="fresh processes a subject (%(default)s)")
    add("--tutorial-epochs", type=at_least_none, default=4, help="that really run, 0: all (%(default)s)")
    add(
        "--memory-photos",
        type=at_least_none,
        default=500,
        help="drawn to take the memory, 0: none (%(default)s)",
    )
    add("--params", type=Path, default=ROOT / "params.yaml", help="settings of both sides (params.yaml)")
    add("--json", type=Path, metavar="FILE", help="write all figures there too")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""How often `lenslet drift` alarms: without a shift, under damage, under label shift, and among foreign photos.

    python -m bench.drift --data photos/intel --model model --foreign photos/potholes/test --json report/drift.json

Every window is `--answers` photos drawn from validation photos that are not in its reference; reference and window are
drawn again each time. Takes three minutes on one core for 1,400 validation photos. Concept drift, where photos look as
before but should be labelled otherwise, is not here: no method without labels can see it.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bench.console import at_least_one, bench_parser
from lenslet.batch.files import find_files
from lenslet.dataset.reading import read_dataset
from lenslet.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from lenslet.evaluation.metrics import accuracy
from lenslet.evaluation.ood import ood_sets
from lenslet.evaluation.reference import reference_of, scores_of
from lenslet.inference.atomic import write_text
from lenslet.inference.classifier import Classifier
from lenslet.monitoring.drift import DriftLimits, DriftReport, Window, measure
from lenslet.training.record import check_fingerprint, read_record

Random = np.random.Generator


@dataclass(frozen=True)
class Answers:
    """Of photos: class indices (−1: none of them), probabilities and OOD scores."""

    targets: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    ood_scores: NDArray[np.float64]

    def take(self, rows: NDArray[np.int64]) -> "Answers":
        return Answers(self.targets[rows], self.probabilities[rows], self.ood_scores[rows])

    @property
    def accuracy(self) -> float:
        return accuracy(self.targets, self.probabilities)


@dataclass(frozen=True)
class Row:
    condition: str
    alarms: float  # share of the windows with an alarm
    alarms_daily: float  # the same where 30 windows share the false alarms
    estimated: float  # mean estimated accuracy
    actual: float


def main(argv: list[str] | None = None) -> None:
    arguments = read_arguments(argv)
    classifier = Classifier.load(arguments.model)
    record = read_record(arguments.model)
    dataset = read_dataset(arguments.data, record.params, arguments.cache, recorded=record.recorded)
    check_fingerprint(record, dataset, arguments.data)
    validation = dataset.members("validation")
    pixels, targets = dataset.pixels[dataset.rows[validation]], dataset.targets[validation]
    clean = answers_for(classifier, pixels, targets, "clean photos")
    rows = [resample("no shift", clean, drawn_evenly, arguments, arguments.resamples)]
    for share in (0.3, 0.5, 0.7):
        rows.append(resample(f"label shift, {share:.0%} of one class", clean, with_share(share), arguments))
    random = np.random.default_rng(0)
    some = random.choice(len(pixels), min(arguments.damaged, len(pixels)), replace=False)
    for severity in SEVERITIES:
        for kind in CORRUPTIONS:
            damaged = np.stack([corrupt(pixels[row], kind, severity, int(row)) for row in some])
            found = answers_for(classifier, damaged, targets[some], f"{kind} {severity}")
            rows.append(resample(f"{kind} {severity}", clean, replaced_by(found, 1.0), arguments))
    if arguments.foreign:
        foreign = ood_sets(classifier.artifact.image_size, find_files([arguments.foreign]))["photos"]
        found = answers_for(classifier, foreign, np.full(len(foreign), -1), "foreign photos")
        for share in (0.05, 0.1, 0.2, 0.5):
            rows.append(resample(f"foreign photos, {share:.0%}", clean, replaced_by(found, share), arguments))
    print(table(rows))
    if arguments.json:
        write_text(arguments.json, json.dumps([vars(row) for row in rows], indent=2) + "\n")


def answers_for(
    classifier: Classifier, pixels: NDArray[np.uint8], targets: NDArray[np.int64], name: str
) -> Answers:
    found = [classifier.classify(picture) for picture in tqdm(pixels, name, leave=False)]
    return Answers(
        targets,
        np.stack([each.probabilities for each in found]),
        np.array([each.ood_score for each in found]),
    )


Draw = Callable[[Answers, int, Random], Answers]


def drawn_evenly(pool: Answers, count: int, random: Random) -> Answers:
    return pool.take(random.choice(len(pool.targets), count, replace=False))


def with_share(share: float) -> Draw:
    """Windows in which one class, another each time, has this share of the photos."""

    def draw(pool: Answers, count: int, random: Random) -> Answers:
        favoured = pool.targets == random.integers(pool.targets.max() + 1)
        weights = np.where(favoured, share / favoured.sum(), (1 - share) / (~favoured).sum())
        return pool.take(random.choice(len(pool.targets), count, p=weights))

    return draw


def replaced_by(others: Answers, share: float) -> Draw:
    """Windows in which this share of the answers is drawn from `others`."""

    def draw(pool: Answers, count: int, random: Random) -> Answers:
        foreign = others.take(random.choice(len(others.targets), round(share * count)))
        own = drawn_evenly(pool, count - len(foreign.targets), random)
        return Answers(
            np.concatenate([own.targets, foreign.targets]),
            np.concatenate([own.probabilities, foreign.probabilities]),
            np.concatenate([own.ood_scores, foreign.ood_scores]),
        )

    return draw


def resample(
    condition: str, clean: Answers, draw: Draw, arguments: argparse.Namespace, resamples: int = 40
) -> Row:
    once, daily, estimated, actual = [], [], [], []
    for seed in tqdm(range(resamples), condition, leave=False):
        random = np.random.default_rng(seed)
        order = random.permutation(len(clean.targets))
        half = len(order) // 2
        known, pool = clean.take(order[:half]), clean.take(order[half:])
        reference = reference_of(known.targets, known.probabilities, known.ood_scores)
        met = draw(pool, arguments.answers, random)
        scores = scores_of(met.probabilities, met.ood_scores)
        window = Window(met.probabilities.argmax(axis=1), {k: scores[k] for k in ("confidence", "ood_score")})
        reports: list[DriftReport] = [
            measure(reference, window, DriftLimits(windows=windows)) for windows in (1, DriftLimits.windows)
        ]
        once.append(reports[0].is_alarm)
        daily.append(reports[1].is_alarm)
        assert reports[0].accuracy
        estimated.append(reports[0].accuracy.value)
        actual.append(met.accuracy)
    return Row(condition, *(float(np.mean(each)) for each in (once, daily, estimated, actual)))


def table(rows: list[Row]) -> str:
    lines = [f"{'condition':<34}{'alarms':>8}{'daily':>8}{'est. acc.':>11}{'accuracy':>10}"]
    for row in rows:
        figures = f"{row.alarms:>8.3f}{row.alarms_daily:>8.3f}{row.estimated:>11.3f}{row.actual:>10.3f}"
        lines.append(f"{row.condition:<34}{figures}")
    return "\n".join(lines)


def read_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = bench_parser("drift", __doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="the folder that the model was trained on")
    add("--model", type=Path, default=Path("model"), help="model folder (%(default)s)")
    add("--foreign", type=Path, help="folder of photos of none of the classes")
    add("--cache", type=Path, default=Path(".cache"), help="decoded photos (%(default)s)")
    add("--answers", type=at_least_one, default=200, metavar="N", help="answers in a window (%(default)s)")
    add(
        "--resamples", type=at_least_one, default=200, metavar="N", help="windows without shift (%(default)s)"
    )
    add(
        "--damaged", type=at_least_one, default=200, metavar="N", help="photos that are damaged (%(default)s)"
    )
    add("--json", type=Path, metavar="FILE", help="write the rows here too")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()

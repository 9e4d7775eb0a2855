"""Runtime check: predictions and times of model folders, in this process or in one without TensorFlow."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lenslet.evaluation.calibration import coverage
from lenslet.evaluation.corruptions import accuracy_by_corruption
from lenslet.evaluation.metrics import score
from lenslet.inference.classifier import Classifier, Prediction
from lenslet.inference.errors import ArtifactError


@dataclass(frozen=True)
class RuntimeCheck:
    probabilities: NDArray[np.float32]  # shape (photos, classes)
    ood_score: NDArray[np.float64]  # shape (photos,), of the kind that the model folder names
    energy: NDArray[np.float64]  # shape (photos,)
    time_ms: float  # median of one photo on one thread

    def first(self, photos: int) -> "RuntimeCheck":
        """The answers for the first photos alone; the time is that of all."""
        return RuntimeCheck(
            self.probabilities[:photos], self.ood_score[:photos], self.energy[:photos], self.time_ms
        )


CHECKED = tuple(each.name for each in fields(RuntimeCheck))


def served_metrics(
    labels: Sequence[str], targets: NDArray[np.int64], check: RuntimeCheck, threshold: float, alpha: float
) -> dict[str, float]:
    """`metrics.score`, coverage and size of the prediction sets, and the time: the keys of model.json."""
    covered, set_size = coverage(check.probabilities, targets, threshold, alpha)
    sets_and_time = {"coverage": covered, "mean_set_size": set_size, "time_ms": check.time_ms}
    return score(labels, targets, check.probabilities) | sets_and_time


def check_runtime(
    classifiers: Sequence[Classifier], pixels: Collection[NDArray[np.uint8]]
) -> list[RuntimeCheck]:
    """Classify pictures one by one, as in serving: uint8 RGB, shape (size, size, 3) each.

    The classifiers alternate on each picture, so that a machine that slows down affects all of them alike.
    """
    answers: list[list[Prediction]] = [[] for _ in classifiers]
    seconds = np.empty((len(classifiers), len(pixels)))
    for number, picture in enumerate(tqdm(pixels, "classifying", unit=" photos", leave=False, disable=None)):
        for row, classifier in enumerate(classifiers):
            started = time.perf_counter()
            answers[row].append(classifier.classify(picture))
            seconds[row, number] = time.perf_counter() - started
    times = 1000 * np.median(seconds, axis=1)
    return [
        RuntimeCheck(
            np.stack([answer.probabilities for answer in given]),
            np.array([answer.ood_score for answer in given]),
            np.array([answer.energy for answer in given]),
            float(time_ms),
        )
        for given, time_ms in zip(answers, times, strict=True)
    ]


def corruption_accuracy(
    classifier: Classifier, pixels: NDArray[np.uint8], targets: NDArray[np.int64]
) -> dict[str, list[float]]:
    """`corruptions.accuracy_by_corruption` of a classifier; empty without photos."""

    def classify(corrupted: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.stack([classifier.classify(picture).probabilities for picture in corrupted])

    return accuracy_by_corruption(classify, pixels, targets) if len(pixels) else {}


def check_runtime_in_subprocess(
    folders: Sequence[Path], pixels: NDArray[np.uint8]
) -> list[RuntimeCheck | ArtifactError]:
    """`check_runtime` of several model folders in a new process; an error for each that the runtime cannot load.

    TensorFlow and the TFLite runtime define the same symbols: in a process that has loaded TensorFlow, the runtime
    executes TensorFlow's newer kernels and loads files that the serving runtime cannot load.
    """
    with tempfile.TemporaryDirectory() as name:
        exchange = Path(name)
        np.save(exchange / "pixels.npy", pixels)
        command = [
            sys.executable,
            "-m",
            "lenslet.evaluation.runtime_check",
            name,
            *(str(folder.resolve()) for folder in folders),
        ]
        subprocess.run(command, cwd=Path(__file__).parents[2], check=True)
        failures: dict[str, str] = json.loads((exchange / "failures.json").read_text(encoding="utf-8"))
        with np.load(exchange / "checks.npz") as found:
            checks = iter(
                [RuntimeCheck(*each) for each in zip(*(found[name] for name in CHECKED), strict=True)]
            )
        return [
            ArtifactError(failures[str(row)]) if str(row) in failures else next(checks)
            for row in range(len(folders))
        ]


def _main(exchange: Path, folders: Sequence[str]) -> None:
    """The new process: reads pixels.npy from `exchange`, writes failures.json and checks.npz into it."""
    classifiers, failures = [], {}
    for row, folder in enumerate(folders):
        try:
            classifiers.append(Classifier.load(Path(folder)))
        except ArtifactError as error:
            failures[row] = str(error).splitlines()[0]
    checks = check_runtime(classifiers, np.load(exchange / "pixels.npy", mmap_mode="r"))
    (exchange / "failures.json").write_text(json.dumps(failures), encoding="utf-8")
    np.savez(
        exchange / "checks.npz",
        **{name: [getattr(check, name) for check in checks] for name in CHECKED},
    )


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2:])

"""A model folder tried on decoded photos: its answers and its time, in this process or in one without TensorFlow."""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from inference.classifier import Classifier
from inference.errors import ArtifactError


@dataclass(frozen=True)
class Trial:
    probabilities: NDArray[np.float32]  # shape (photos, classes)
    time_ms: float  # median of one photo on one thread


def run(classifier: Classifier, pixels: NDArray[np.uint8], title: str = "classifying") -> Trial:
    """Classify pictures one by one, as they will be served: uint8 RGB, shape (photos, size, size, 3)."""
    answers, seconds = [], []
    for picture in tqdm(pixels, title, unit=" photos", leave=False):
        started = time.perf_counter()
        answers.append(classifier.classify(picture).probabilities)
        seconds.append(time.perf_counter() - started)
    return Trial(np.stack(answers), 1000 * float(np.median(seconds)))


def run_apart(folder: Path, pixels: NDArray[np.uint8], title: str) -> Trial:
    """`run` in a new process. Raises ArtifactError if the runtime cannot load the model folder.

    TensorFlow and the TFLite runtime define the same symbols: in a process that has loaded TensorFlow, the
    runtime would execute TensorFlow's newer kernels, load files that it cannot load, and be another runtime
    than the one that serves.
    """
    with tempfile.TemporaryDirectory() as exchange:
        inputs, outputs = Path(exchange) / "pixels.npy", Path(exchange) / "trial.npz"
        np.save(inputs, pixels)
        command = [sys.executable, "-m", "evaluation.trial", str(folder), str(inputs), str(outputs), title]
        finished = subprocess.run(
            command, cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, text=True, check=False
        )
        if finished.returncode:
            raise ArtifactError(
                finished.stdout.strip() or f"the runtime ended with exit code {finished.returncode}"
            )
        with np.load(outputs) as found:
            return Trial(found["probabilities"], float(found["time_ms"]))


def _main(folder: str, inputs: str, outputs: str, title: str) -> int:
    try:
        trial = run(Classifier.load(Path(folder)), np.load(inputs, mmap_mode="r"), title)
    except ArtifactError as error:
        print(str(error).splitlines()[0])
        return 2
    np.savez(outputs, probabilities=trial.probabilities, time_ms=trial.time_ms)
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))

"""Classify files in threads of this process; one that cannot be read gives a reason, not an end."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from lenslet.inference.classifier import Classifier, Prediction
from lenslet.inference.decode import decode
from lenslet.inference.errors import LensletError


@dataclass(frozen=True)
class ClassifiedFile:
    """The answer for one file: a prediction, or the reason why there is none."""

    path: Path
    prediction: Prediction | None
    error: str = ""


def classify_files(classifier: Classifier, paths: Sequence[Path]) -> list[ClassifiedFile]:
    """A row for each path, in their order."""

    def classify(path: Path) -> ClassifiedFile:
        try:
            return ClassifiedFile(
                path, classifier.classify(decode(path.read_bytes(), classifier.artifact.image_size))
            )
        except LensletError as error:
            return ClassifiedFile(path, None, str(error))
        except OSError as error:
            return ClassifiedFile(path, None, f"the file cannot be read: {error.strerror}")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = pool.map(classify, paths)
        return list(tqdm(answers, "classifying", total=len(paths), unit=" photos", leave=False, disable=None))

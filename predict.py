"""Classify photos on this computer with a model folder, no server needed.

    python predict.py holiday.jpg my_folder --model out/mine --csv predictions.csv

Folders are searched through. Prints a table and, with --csv, writes one row per photo with the probability of
every label; a file that is no readable photo gets a row that says why.
"""

import argparse
import csv
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from inference.artifact import Artifact
from inference.atomic import replacing
from inference.classifier import Classifier, Prediction
from inference.decode import decode
from inference.errors import ArtifactError, LensletError


@dataclass(frozen=True)
class Row:
    """One photo's answer: a prediction, or why there is none."""

    path: Path
    prediction: Prediction | None
    error: str = ""


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        classifier = Classifier.load(arguments.model)
        paths = find_files(arguments.photos)
    except (ArtifactError, FileNotFoundError) as error:
        print(f"predict.py: {error}", file=sys.stderr)
        return 2
    rows = classify_files(classifier, paths)
    print(table(rows))
    if arguments.csv:
        write_csv(rows, classifier.artifact, arguments.csv)
        print(f"written: {arguments.csv}")
    return 0 if any(row.prediction for row in rows) else 1


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, nargs="+", help="photos, or folders of photos")
    parser.add_argument("--model", type=Path, default=Path("model"), help="model folder (%(default)s)")
    parser.add_argument("--csv", type=Path, help="write all probabilities to this file")
    return parser.parse_args(argv)


def find_files(places: Iterable[Path]) -> list[Path]:
    """Files as given, and every visible file below each folder. Raises FileNotFoundError, naming the place."""
    paths: list[Path] = []
    for place in places:
        if place.is_dir():
            hidden = (path for path in place.rglob("*") if path.is_file())
            paths += sorted(path for path in hidden if not path.name.startswith("."))
        elif place.is_file():
            paths.append(place)
        else:
            raise FileNotFoundError(f"{place} does not exist")
    if not paths:
        raise FileNotFoundError(f"there is no file in {', '.join(map(str, places))}")
    return paths


def classify_files(classifier: Classifier, paths: Sequence[Path]) -> list[Row]:
    def classify(path: Path) -> Row:
        try:
            return Row(path, classifier.classify(decode(path.read_bytes(), classifier.artifact.image_size)))
        except LensletError as error:
            return Row(path, None, str(error))
        except OSError as error:
            return Row(path, None, f"the file cannot be read: {error.strerror}")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(
            tqdm(pool.map(classify, paths), "classifying", total=len(paths), unit=" photos", leave=False)
        )


def table(rows: Sequence[Row]) -> str:
    """Photo, label, probability and, where the model is not certain, the labels that it may be."""
    width = max(len(str(row.path)) for row in rows)
    lines = []
    for row in rows:
        if row.prediction is None:
            lines.append(f"{row.path!s:<{width}}  not classified: {row.error}")
            continue
        label, probability = row.prediction.ranked()[0]
        doubt = (
            "" if row.prediction.is_certain else f"  not sure: {' or '.join(row.prediction.prediction_set)}"
        )
        lines.append(f"{row.path!s:<{width}}  {label:<16}{probability:>6.1%}{doubt}")
    classified = sum(row.prediction is not None for row in rows)
    return "\n".join([*lines, f"{classified:,} of {len(rows):,} files classified"])


def write_csv(rows: Sequence[Row], artifact: Artifact, path: Path) -> None:
    """Columns: file, label, probability, is_certain, prediction_set (joined by |), one per label, error."""
    names = ("file", "label", "probability", "is_certain", "prediction_set", *artifact.labels, "error")
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for row in rows:
            if row.prediction is None:
                writer.writerow([row.path, *[""] * (4 + len(artifact.labels)), row.error])
                continue
            label, probability = row.prediction.ranked()[0]
            answer = [
                label,
                f"{probability:.6f}",
                row.prediction.is_certain,
                "|".join(row.prediction.prediction_set),
            ]
            probabilities = [f"{each:.6f}" for each in row.prediction.probabilities]
            writer.writerow([row.path, *answer, *probabilities, ""])


if __name__ == "__main__":
    sys.exit(main())

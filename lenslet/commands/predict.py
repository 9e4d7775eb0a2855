"""Classify photos on this computer with a model folder, no server needed.

    lenslet predict holiday.jpg my_folder --model out/mine --csv predictions.csv

Folders are searched through. Prints a table and, with --csv, writes one row per file: the probability of every
label, or why it could not be read.

With --submission, writes `id,label`, sorted, as competition sites score it. The id is the file's name without its
extension. The label is, of two labels, the probability of --positive (else of the second one); of more, the most
probable one. An unreadable photo gets the mean, or the most frequent label, of the others: no id may be missing.
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

from lenslet.commands.options import here_or_shipped
from lenslet.inference.artifact import Artifact
from lenslet.inference.atomic import replacing
from lenslet.inference.classifier import Classifier, Prediction
from lenslet.inference.decode import decode
from lenslet.inference.errors import ArtifactError, LensletError
from lenslet.reporting.submission import (
    SubmissionError,
    check_ids,
    check_positive,
    make_submission,
    write_submission,
)


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
        check_positive(classifier.artifact.labels, arguments.positive)
        paths = find_files(arguments.photos)
        if arguments.submission:
            check_ids(paths, arguments.keep_extension)
        # Now: if they cannot be written, the work would be in vain.
        for place in filter(None, (arguments.csv, arguments.submission)):
            if place.is_dir():
                raise IsADirectoryError(f"{place} is a folder, not a file to write")
            place.parent.mkdir(parents=True, exist_ok=True)
    except (ArtifactError, OSError, SubmissionError) as error:
        print(f"lenslet predict: {error}", file=sys.stderr)
        return 2
    rows = classify_files(classifier, paths)
    print(table(rows))
    if arguments.csv:
        write_csv(rows, classifier.artifact, arguments.csv)
        print(f"written: {arguments.csv}")
    if arguments.submission:
        return submit(rows, classifier.artifact, arguments)
    return 0 if any(row.prediction for row in rows) else 1


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, nargs="+", help="photos, or folders of photos")
    parser.add_argument(
        "--model", type=Path, default=here_or_shipped("model"), help="model folder (%(default)s)"
    )
    parser.add_argument("--csv", type=Path, help="write all probabilities to this file")
    parser.add_argument("--submission", type=Path, metavar="FILE", help="write id,label to this file")
    parser.add_argument(
        "--positive", metavar="LABEL", help="of two labels, the one whose probability it holds"
    )
    parser.add_argument("--keep-extension", action="store_true", help="ids as photo.jpg instead of photo")
    return parser.parse_args(argv)


def find_files(places: Iterable[Path]) -> list[Path]:
    """Files as given, and every visible file below each folder, in no hidden one. Raises FileNotFoundError."""
    paths: list[Path] = []
    for place in places:
        if place.is_dir():
            files = (path.relative_to(place) for path in place.rglob("*") if path.is_file())
            visible = (file for file in files if not any(part.startswith(".") for part in file.parts))
            paths += sorted(place / file for file in visible)
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
        answers = pool.map(classify, paths)
        return list(tqdm(answers, "classifying", total=len(paths), unit=" photos", leave=False, disable=None))


def table(rows: Sequence[Row]) -> str:
    """Photo, label, probability and, where the model is not certain, the labels that it may be."""
    width = max(len(str(row.path)) for row in rows)
    lines = []
    for row in rows:
        if row.prediction is None:
            lines.append(f"{row.path!s:<{width}}  not classified: {row.error}")
            continue
        label, probability = row.prediction.ranked()[0]
        possible = " or ".join(row.prediction.prediction_set)
        doubt = "" if row.prediction.is_certain else f"  not sure: {possible}"
        if not row.prediction.is_in_distribution:
            doubt += "  probably none of the labels"
        lines.append(f"{row.path!s:<{width}}  {label:<16}{probability:>6.1%}{doubt}")
    classified = sum(row.prediction is not None for row in rows)
    return "\n".join([*lines, f"{classified:,} of {len(rows):,} files classified"])


def submit(rows: Sequence[Row], artifact: Artifact, arguments: argparse.Namespace) -> int:
    answers = [(row.path, row.prediction) for row in rows]
    try:
        made = make_submission(answers, artifact.labels, arguments.positive, arguments.keep_extension)
    except SubmissionError as error:
        print(f"lenslet predict: {error}", file=sys.stderr)
        return 2
    write_submission(made, arguments.submission)
    print(f"written: {arguments.submission}: {'; '.join(made.remarks)}")
    return 0


def write_csv(rows: Sequence[Row], artifact: Artifact, path: Path) -> None:
    """Write a row for each file.

    Columns: file, label, probability, is_certain, prediction_set (joined by |), is_in_distribution, labels, error.
    """
    answer_names = (
        "label",
        "probability",
        "is_certain",
        "prediction_set",
        "is_in_distribution",
        *artifact.labels,
    )
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", *answer_names, "error"])
        for row in rows:
            if row.prediction is None:
                writer.writerow([row.path, *("" for _ in answer_names), row.error])
                continue
            label, probability = row.prediction.ranked()[0]
            possible = "|".join(row.prediction.prediction_set)
            answer = [
                label,
                f"{probability:.6f}",
                row.prediction.is_certain,
                possible,
                row.prediction.is_in_distribution,
            ]
            answer += [f"{each:.6f}" for each in row.prediction.probabilities]
            writer.writerow([row.path, *answer, ""])


if __name__ == "__main__":
    sys.exit(main())

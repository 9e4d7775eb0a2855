"""Answers for many files as a table for the screen, as JSON, and as CSV."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lenslet.batch.local import ClassifiedFile
from lenslet.dataset import csv_file
from lenslet.inference.printable import printable

ANSWER_COLUMNS = ("label", "probability", "is_certain", "prediction_set", "is_in_distribution", "ood_score")


LABELS_NAMED = 3  # of those that an answer cannot decide between


def text_table(rows: Sequence[ClassifiedFile]) -> str:
    """Photo, label, probability and, where the model is not certain, the labels of the prediction set."""
    names = [printable(row.path) for row in rows]
    width = max(map(len, names))
    lines = []
    for row, name in zip(rows, names, strict=True):
        if row.prediction is None:
            lines.append(f"{name:<{width}}  not classified: {printable(row.error)}")
            continue
        label, probability = row.prediction.ranked()[0]
        doubt = "" if row.prediction.is_certain else f"  not sure: {some_of(row.prediction.prediction_set)}"
        if not row.prediction.is_in_distribution:
            doubt += "  probably none of the labels"
        lines.append(f"{name:<{width}}  {printable(label):<16}{probability:>6.1%}{doubt}")
    classified = sum(row.prediction is not None for row in rows)
    return "\n".join([*lines, f"{classified:,} of {len(rows):,} files classified"])


def some_of(labels: Sequence[str]) -> str:
    """The first labels, and how many others there are, as "forest or sea or street or 4 others"."""
    others = len(labels) - LABELS_NAMED
    rest = [f"{others} other{'s' * (others > 1)}"] if others > 0 else []
    return " or ".join([*map(printable, labels[:LABELS_NAMED]), *rest])


def predictions_json(rows: Sequence[ClassifiedFile]) -> list[dict[str, Any]]:
    """One object a file: the fields of the endpoint's answer, or `error`."""
    return [
        {"file": str(row.path), "error": row.error}
        if row.prediction is None
        else {
            "file": str(row.path),
            "predictions": [
                {"label": label, "probability": round(float(probability), 6)}
                for label, probability in row.prediction.ranked()
            ],
            "is_certain": row.prediction.is_certain,
            "prediction_set": list(row.prediction.prediction_set),
            "is_in_distribution": row.prediction.is_in_distribution,
            "ood_score": round(row.prediction.ood_score, 4),
        }
        for row in rows
    ]


def write_csv(rows: Sequence[ClassifiedFile], labels: Sequence[str], path: Path) -> None:
    """Write a row for each file.

    Columns: file, label, probability, is_certain, prediction_set (joined by |), is_in_distribution, ood_score,
    `probability: LABEL` for each of `labels`, error.
    """
    header = ["file", *ANSWER_COLUMNS, *(f"probability: {label}" for label in labels), "error"]
    csv_file.write_cells(path, header, (_cells(row, labels) for row in rows))


def _cells(row: ClassifiedFile, labels: Sequence[str]) -> list[object]:
    if row.prediction is None:
        return [row.path, *("" for _ in (*ANSWER_COLUMNS, *labels)), row.error]
    label, probability = row.prediction.ranked()[0]
    possible = "|".join(each.replace("|", r"\|") for each in row.prediction.prediction_set)
    doubts = [row.prediction.is_certain, possible, row.prediction.is_in_distribution]
    score, probabilities = row.prediction.ood_score, row.prediction.probabilities
    figures = [f"{score:.4f}", *(f"{each:.6f}" for each in probabilities)]
    return [row.path, label, f"{probability:.6f}", *doubts, *figures, ""]

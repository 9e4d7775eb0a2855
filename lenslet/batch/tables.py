"""Answers for many files as a table for the screen, as JSON, and as CSV."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lenslet.batch.local import ClassifiedFile
from lenslet.inference.atomic import replacing


def text_table(rows: Sequence[ClassifiedFile]) -> str:
    """Photo, label, probability and, where the model is not certain, the labels of the prediction set."""
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

    Columns: file, label, probability, is_certain, prediction_set (joined by |), is_in_distribution,
    ood_score, `labels`, error.
    """
    answer_names = (
        "label",
        "probability",
        "is_certain",
        "prediction_set",
        "is_in_distribution",
        "ood_score",
        *labels,
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
            doubts = [row.prediction.is_certain, possible, row.prediction.is_in_distribution]
            doubts.append(f"{row.prediction.ood_score:.4f}")
            probabilities = [f"{each:.6f}" for each in row.prediction.probabilities]
            writer.writerow([row.path, label, f"{probability:.6f}", *doubts, *probabilities, ""])

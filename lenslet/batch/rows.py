"""Rows of a batch read back, and counted."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lenslet.serving.batch_rows import AnswerRow


def row_of_object(found: Mapping[str, Any], labels: Sequence[str]) -> AnswerRow:
    """The row that `object_of` was given. Raises: ValueError, LookupError, TypeError, OverflowError for another one."""
    if "error" in found:
        return AnswerRow(str(found["file"]), error=str(found["error"]))
    probabilities = {str(each["label"]): float(each["probability"]) for each in found["predictions"]}
    return AnswerRow(
        str(found["file"]),
        str(found["predictions"][0]["label"]),
        tuple(probabilities.get(label, 0.0) for label in labels),
        bool(found["is_certain"]),
        tuple(map(str, found["prediction_set"])),
        bool(found["is_in_distribution"]),
        float(found["ood_score"]),
    )


@dataclass
class Counts:
    """Counts over the rows of one or many parts."""

    photos: int = 0
    failed: int = 0
    uncertain: int = 0
    out_of_distribution: int = 0
    labels: Counter[str] = field(default_factory=Counter)

    def add(self, row: AnswerRow) -> None:
        self.photos += 1
        if row.error:
            self.failed += 1
            return
        self.labels[row.label] += 1
        self.uncertain += not row.is_certain
        self.out_of_distribution += not row.is_in_distribution

    def join(self, other: "Counts") -> None:
        self.photos += other.photos
        self.failed += other.failed
        self.uncertain += other.uncertain
        self.out_of_distribution += other.out_of_distribution
        self.labels.update(other.labels)

"""Answers about unlabelled photos in the form that competition sites score: a CSV of `id,label`."""

import csv
import mimetypes
from collections import Counter
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from lenslet.inference.atomic import replacing
from lenslet.inference.errors import InputError


class SubmissionError(InputError):
    """No submission can be made; the message is one sentence."""


class Classified(Protocol):
    """The question that a column of the file answers."""

    @property
    def label(self) -> str: ...

    @property
    def probabilities(self) -> Any: ...  # in the order of the model's labels


class Submission(NamedTuple):
    rows: list[tuple[str, str]]  # id and label, sorted by id
    remarks: list[str]  # what stands in it, in sentences


class _Form(NamedTuple):
    """The value in the column `label`."""

    meaning: str
    of: Callable[[Classified], str]
    instead: str  # for a photo that cannot be read
    instead_is: str


def make_submission(
    answers: Sequence[tuple[Path, Classified | None]],
    labels: Sequence[str],
    positive: str | None = None,
    keep_extension: bool = False,
) -> Submission:
    """One row a photo; `answers` holds None for files that cannot be read.

    With two labels, `label` is the probability of `positive`, by default the second one's; with more, the most
    probable label. The id is the file's name without its extension. Sites refuse a file in which an id is missing:
    photos that cannot be read get the mean probability of the others, or their most frequent label. What is not
    named like any photo that can be read (a list beside the photos, say) is left out.
    Raises: SubmissionError.
    """
    check_positive(labels, positive)
    read = [prediction for _, prediction in answers if prediction is not None]
    if not read:
        raise SubmissionError("no photo could be read, so a submission would hold guesses only")
    form = _probabilities(read, labels, positive) if len(labels) == 2 else _labels(read)
    endings = {path.suffix.lower() for path, prediction in answers if prediction is not None}
    photos = [(path, prediction) for path, prediction in answers if path.suffix.lower() in endings]
    rows: dict[str, str] = {}
    for path, prediction in photos:
        name = _id(path, keep_extension, rows)
        rows[name] = form.instead if prediction is None else form.of(prediction)
    remarks = [f"{len(rows):,} rows; label is {form.meaning}"]
    unreadable = sum(prediction is None for _, prediction in photos)
    if unreadable:
        remarks.append(f"{unreadable:,} of them could not be read and got {form.instead_is}, {form.instead}")
    if len(photos) < len(answers):
        remarks.append(f"files left out, as not named like photos: {len(answers) - len(photos):,}")
    return Submission(sorted(rows.items()), remarks)


def check_positive(labels: Sequence[str], positive: str | None) -> None:
    """Raises SubmissionError if the model cannot give the probability of one of two labels."""
    if positive is not None and len(labels) > 2:
        raise SubmissionError(f"--positive is for two labels; the model has {len(labels)}")
    if positive is not None and positive not in labels:
        raise SubmissionError(f"--positive must be {labels[0]} or {labels[1]}, not {positive}")


def check_ids(paths: Sequence[Path], keep_extension: bool = False) -> None:
    """Raises SubmissionError if two photos have the same id; before they are classified, by their endings."""
    photos = (path for path in paths if (mimetypes.guess_type(path.name)[0] or "").startswith("image/"))
    seen: set[str] = set()
    for path in photos:
        seen.add(_id(path, keep_extension, seen))


def write_submission(submission: Submission, path: Path) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("id", "label"), *submission.rows])


def _id(path: Path, keep_extension: bool, taken: Container[str]) -> str:
    name = path.name if keep_extension else path.stem
    if name in taken:
        raise SubmissionError(f"two photos have the id {name!r}; {path} is the second one")
    return name


def _probabilities(read: Sequence[Classified], labels: Sequence[str], positive: str | None) -> _Form:
    label = positive or labels[1]
    column = list(labels).index(label)
    mean = np.mean([prediction.probabilities[column] for prediction in read])
    return _Form(
        f"the probability of {label}",
        lambda prediction: f"{prediction.probabilities[column]:.6f}",
        f"{mean:.6f}",
        "the mean of the others",
    )


def _labels(read: Sequence[Classified]) -> _Form:
    [(label, _)] = Counter(prediction.label for prediction in read).most_common(1)
    return _Form(
        "the most probable label",
        lambda prediction: prediction.label,
        label,
        "the most frequent label of the others",
    )

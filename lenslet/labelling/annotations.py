"""Annotations of Label Studio as a list of labelled photos: one row a photo, conflicts and skips named."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lenslet.dataset.csv_file import neutralised, restored
from lenslet.inference.atomic import replacing
from lenslet.inference.errors import InputError
from lenslet.inference.json_text import has_shape, parse_json

COLUMNS = ("image", "label", "annotator", "date", "agreement", "project")


@dataclass(frozen=True)
class Row:
    """One photo and the label that its annotators gave it."""

    image: str  # path, or s3:// address
    label: str
    annotator: str  # all of them, separated by spaces
    date: str  # of the latest annotation, ISO 8601
    agreement: float  # share of the annotations with this label
    project: str


@dataclass(frozen=True)
class Pulled:
    """Labels from the tasks of a project: tasks = rows + the sum of `left_out`."""

    tasks: int
    rows: tuple[Row, ...]
    left_out: Mapping[str, tuple[str, ...]]  # reason → photos


def read_tasks(tasks: Iterable[Mapping[str, Any]], project: str) -> Pulled:
    """Rows of exported tasks. A photo with different labels needs a majority, else it is a conflict.

    Raises: InputError if one is no task of `lenslet label push`, or is annotated in another way.
    """
    rows: list[Row] = []
    left_out: dict[str, list[str]] = {}
    found_tasks = list(tasks)
    for task in found_tasks:
        if not _is_task(task):
            name = task.get("id") if isinstance(task, dict) else task
            raise InputError(
                f"{project}: task {str(name)[:40]} has no photo, or an annotation that is no choice of a label"
            )
        image = str(task["data"].get("path") or task["data"].get("image"))
        found = _row(image, list(_labels(task)), project)
        if isinstance(found, Row):
            rows.append(found)
            continue
        is_skipped = any(each.get("was_cancelled") for each in task.get("annotations", ()))
        left_out.setdefault("skipped" if is_skipped and found == "not annotated" else found, []).append(image)
    return Pulled(
        len(found_tasks), tuple(rows), {reason: tuple(images) for reason, images in left_out.items()}
    )


def _is_task(task: Any) -> bool:
    """Whether it has the fields that are read."""
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        return False
    annotations = task.get("annotations", [])
    return (
        isinstance(task["data"].get("path") or task["data"].get("image"), str)
        and isinstance(annotations, list)
        and all(isinstance(each, dict) for each in annotations)
        and all(isinstance(each.get("result") or [], list) for each in annotations)
        and all(_is_result(result) for each in annotations for result in each.get("result") or [])
    )


def _is_result(result: Any) -> bool:
    value = result.get("value", {}) if isinstance(result, dict) else None
    return isinstance(value, dict) and has_shape(value.get("choices", []), [str])


def read_export_storage(texts: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Tasks of an S3 export storage, whose objects `annotations/1` hold one annotation with its task each.

    Raises: InputError if one of them is something else.
    """
    tasks: dict[int, dict[str, Any]] = {}
    for text in texts:
        try:
            annotation = parse_json(text)
            task = annotation["task"]
            merged = tasks.setdefault(int(task["id"]), {**task, "annotations": []})
            merged["annotations"].append(annotation)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"an object of the export storage is no annotation of Label Studio: {error!r}"
            ) from error
    yield from tasks.values()


def merge_into(path: Path, pulled: Pulled, project: str) -> int:
    """Write the project's rows into the list, in place of those it had; rows of other projects stay.

    Pulling twice gives the same file. Returns: the number of rows in the list.
    """
    others = [row for row in read_list(path) if row.project != project] if path.exists() else []
    rows = sorted([*others, *pulled.rows], key=lambda row: (row.project, row.image))
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in rows:
            texts = {name: neutralised(value) for name, value in vars(row).items() if isinstance(value, str)}
            writer.writerow({**texts, "agreement": f"{row.agreement:.2f}"})
    return len(rows)


def read_list(path: Path) -> list[Row]:
    """Raises InputError if the file is not a list that `merge_into` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise InputError(f"{path} is no list of annotations: its columns are not {', '.join(COLUMNS)}")
        try:
            return [_row_of({name: restored(row[name] or "") for name in COLUMNS}) for row in reader]
        except (ValueError, csv.Error) as error:
            raise InputError(f"{path} is damaged in line {reader.line_num}: {error}") from error


def _row_of(cells: Mapping[str, str]) -> Row:
    """Raises: ValueError."""
    texts = {name: cell for name, cell in cells.items() if name != "agreement"}
    return Row(agreement=float(cells["agreement"]), **texts)


def _labels(task: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(label, annotator, date) of each annotation that was not skipped."""
    for annotation in task.get("annotations", ()):
        if annotation.get("was_cancelled"):
            continue
        for result in annotation.get("result") or []:  # null, where a task was skipped
            for label in result.get("value", {}).get("choices", ()):
                yield label, _name(annotation.get("completed_by")), str(annotation.get("updated_at") or "")


def _name(annotator: Any) -> str:
    """Label Studio gives a number, or an object with one and an address."""
    if isinstance(annotator, Mapping):
        return str(annotator.get("email") or annotator.get("id"))
    return str(annotator)


def _row(image: str, labels: Sequence[tuple[str, str, str]], project: str) -> Row | str:
    """The row of a photo, or why it has none."""
    if not labels:
        return "not annotated"
    # Of two annotations by one person the later counts.
    latest = {annotator: (date, label) for label, annotator, date in sorted(labels, key=lambda each: each[2])}
    counts = Counter(label for _, label in latest.values())
    (label, votes), *others = counts.most_common(2)
    if others and others[0][1] == votes:
        return "conflict"
    return Row(
        image,
        label,
        " ".join(sorted(latest)),
        max(date for date, _ in latest.values()),
        votes / len(latest),
        project,
    )

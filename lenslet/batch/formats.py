"""Formats of the answers: CSV, JSON Lines and Parquet, each written and read row by row."""

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from lenslet.batch.rows import row_of_object
from lenslet.dataset.csv_file import cell_of, text_of, write_cells
from lenslet.dataset.tables import MAX_CELL
from lenslet.inference.errors import InputError
from lenslet.inference.json_text import parse_json
from lenslet.serving.answer import OOD_SCORE_DECIMALS, PROBABILITY_DECIMALS
from lenslet.serving.batch_rows import AnswerRow, object_of

Labels = Sequence[str]

ANSWER_COLUMNS = ("label", "probability", "is_certain", "prediction_set", "is_in_distribution", "ood_score")
GROUP_ROWS = 20_000  # of a Parquet row group: what is in memory while one is written
BAR = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Format:
    write: Callable[[Path, Labels, Iterable[AnswerRow]], None]
    read: Callable[[Path, Labels], Iterator[AnswerRow]]


def format_of_file(path: Path) -> str:
    """The key of FORMATS that the ending of a file names. Raises: InputError."""
    name = path.suffix.lower().removeprefix(".")
    if name not in FORMATS:
        raise InputError(f"--out {path} must end in {', '.join(f'.{each}' for each in FORMATS)}")
    return name


def columns_of(labels: Labels) -> list[str]:
    return ["file", *ANSWER_COLUMNS, *(f"probability: {label}" for label in labels), "error"]


def write_csv(path: Path, labels: Labels, rows: Iterable[AnswerRow]) -> None:
    """Columns: those of `columns_of`; `prediction_set` is joined by |."""
    write_cells(path, columns_of(labels), (_cells(row, labels) for row in rows))


def _cells(row: AnswerRow, labels: Labels) -> list[object]:
    if row.error:
        return [row.file, *("" for _ in (*ANSWER_COLUMNS, *labels)), row.error]
    possible = "|".join(each.replace("|", r"\|") for each in row.prediction_set)
    probability, *others = (
        f"{each:.{PROBABILITY_DECIMALS}f}" for each in (row.probability, *row.probabilities)
    )
    score = f"{row.ood_score:.{OOD_SCORE_DECIMALS}f}"
    return [
        row.file, row.label, probability, row.is_certain, possible, row.is_in_distribution, score, *others, "",
    ]  # fmt: skip


def _read_csv(path: Path, labels: Labels) -> Iterator[AnswerRow]:
    with path.open(newline="", encoding="utf-8") as file:
        csv.field_size_limit(MAX_CELL)  # a prediction set may have thousands of labels
        rows = csv.reader(file)
        if next(rows, None) != [cell_of(name) for name in columns_of(labels)]:
            raise ValueError(f"{path} has other columns")
        for cells in rows:
            name, label, _, is_certain, possible, is_in_distribution, score, *others, error = cells
            if error:
                yield AnswerRow(text_of(name), error=text_of(error))
                continue
            chosen = (each.replace(r"\|", "|") for each in BAR.split(text_of(possible)))
            yield AnswerRow(
                text_of(name),
                text_of(label),
                tuple(map(float, others)),
                is_certain == "True",
                tuple(chosen),
                is_in_distribution == "True",
                float(score),
            )


def _write_json_lines(path: Path, labels: Labels, rows: Iterable[AnswerRow]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{json.dumps(object_of(row, labels))}\n" for row in rows)


def _read_json_lines(path: Path, labels: Labels) -> Iterator[AnswerRow]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield row_of_object(parse_json(line), labels)


def _write_parquet(path: Path, labels: Labels, rows: Iterable[AnswerRow]) -> None:
    """The columns of the CSV with their types; a name's bytes that are not UTF-8 become `\\xe9`."""
    pyarrow, parquet = _arrow()
    source = iter(rows)
    with parquet.ParquetWriter(path, _schema(pyarrow, labels)) as writer:
        while group := list(islice(source, GROUP_ROWS)):
            columns = zip(*(_values(row, labels) for row in group), strict=True)
            arrays = [
                pyarrow.array(values, field.type)
                for values, field in zip(columns, writer.schema, strict=True)
            ]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=writer.schema))


def _values(row: AnswerRow, labels: Labels) -> list[Any]:
    name = in_utf8(row.file)
    if row.error:
        return [name, *(None for _ in (*ANSWER_COLUMNS, *labels)), row.error]
    answer = [row.label, row.probability, row.is_certain, list(row.prediction_set), row.is_in_distribution]
    return [name, *answer, row.ood_score, *row.probabilities, None]


def in_utf8(name: str) -> str:
    """The name with `\\xe9` for each byte that is not UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _schema(pyarrow: Any, labels: Labels) -> Any:
    number, text, truth = pyarrow.float64(), pyarrow.string(), pyarrow.bool_()
    types = [text, text, number, truth, pyarrow.list_(text), truth, number, *(number for _ in labels), text]
    return pyarrow.schema(list(zip(columns_of(labels), types, strict=True)))


def _read_parquet(path: Path, labels: Labels) -> Iterator[AnswerRow]:
    _, parquet = _arrow()
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(1000):
            for cells in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                name, label, _, is_certain, possible, is_in_distribution, score, *others, error = cells
                if error:
                    yield AnswerRow(name, error=error)
                else:
                    answer = (label, tuple(others), is_certain, tuple(possible), is_in_distribution, score)
                    yield AnswerRow(name, *answer)


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise InputError("Parquet needs `pip install pyarrow`") from error
    return pyarrow, parquet


# Ending of files, and word of --format → how they are written and read.
FORMATS = {
    "csv": Format(write_csv, _read_csv),
    "jsonl": Format(_write_json_lines, _read_json_lines),
    "parquet": Format(_write_parquet, _read_parquet),
}

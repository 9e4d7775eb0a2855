"""Rows of a list file: CSV, TSV, JSON, JSON Lines or Parquet, each row a mapping of column to value."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from lenslet.dataset.csv_file import restored
from lenslet.dataset.photos import DatasetError
from lenslet.inference.json_text import parse_json

DELIMITERS = ",;\t|"
UNLABELLED = -1  # class of a photo without a label, in data sets of Hugging Face
# Byte order marks: Excel writes UTF-8 with one, or UTF-16 ("Unicode text").
ENCODINGS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_table(path: Path) -> Table:
    """Read the whole file. Raises: DatasetError, one sentence, if it is no table."""
    try:
        return READERS[path.suffix.lower()](path)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error
    except (csv.Error, ValueError) as error:
        raise DatasetError(f"{path} is no table that can be read: {' '.join(str(error).split())}") from error


def _read_csv(path: Path) -> Table:
    text = _text_of(path)
    header = text.partition("\n")[0]
    # Names may hold any of the others: the delimiter is the one that splits the header into most columns.
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(DELIMITERS, key=header.count)
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter)
    columns = [name.strip() for name in next(reader, [])]
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise ValueError(f"two of its columns are called {twice!r}")
    rows = []
    for cells in reader:
        if len(cells) > len(columns):
            raise ValueError(f"line {reader.line_num} has {len(cells)} cells, the header has {len(columns)}")
        if any(cells):
            rows.append(dict(zip(columns, map(restored, cells), strict=False)))
    return Table(tuple(columns), tuple(rows))


def _read_json_lines(path: Path) -> Table:
    return _table_of([parse_json(line) for line in _text_of(path).splitlines() if line.strip()])


def _read_json(path: Path) -> Table:
    return _table_of(parse_json(_text_of(path)))


def _read_parquet(path: Path) -> Table:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import read_table as read_parquet
    except ImportError as error:
        raise ValueError("Parquet needs `pip install pyarrow`") from error
    try:
        content = read_parquet(path)
    except ArrowInvalid as error:
        raise ValueError(str(error)) from error
    rows = content.to_pylist()
    for column, names in _class_names(content.schema.metadata or {}).items():
        for row in rows:
            number = row.get(column)
            if number == UNLABELLED:
                row[column] = None
            elif number is not None:
                row[column] = _name_of(number, names, column)
    return Table(tuple(content.column_names), tuple(rows))


def _name_of(number: object, names: list[str], column: str) -> str:
    if not isinstance(number, int) or not 0 <= number < len(names):
        raise ValueError(
            f"its column {column} has the class {number!r}, and its features name {len(names)} classes"
        )
    return names[number]


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Column → names of its classes, which data sets of Hugging Face store as numbers."""
    features = parse_json(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    return {name: each["names"] for name, each in features.items() if "names" in each}


def _table_of(content: Any) -> Table:
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise ValueError("it must hold objects, one for each photo")
    columns = dict.fromkeys(str(name) for row in content for name in row)
    return Table(tuple(columns), tuple(content))


def _text_of(path: Path) -> str:
    data = path.read_bytes()
    encoding = ENCODINGS.get(data[:2], "utf-8-sig")
    # File names need not be UTF-8: their bytes are kept as Python keeps those of the file system.
    return data.decode(encoding, "surrogateescape" if encoding == "utf-8-sig" else "strict")


READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".txt": _read_csv,
    ".json": _read_json,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".parquet": _read_parquet,
}

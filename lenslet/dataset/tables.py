"""Rows of a list file: CSV, TSV, JSON, JSON Lines or Parquet, each row a mapping of column to value."""

import csv
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from lenslet.dataset.csv_file import restored
from lenslet.dataset.json_rows import Row, rows_of
from lenslet.dataset.photos import DatasetError
from lenslet.inference.json_text import parse_json

DELIMITERS = ",;\t|"
UNLABELLED = -1  # class of a photo without a label, in data sets of Hugging Face
# Byte order marks: Excel writes UTF-8 with one, or UTF-16 ("Unicode text").
ENCODINGS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
MAX_CELL = 1 << 30  # characters: some lists hold whole photos, or their masks
LFS = b"version https://git-lfs"
SEPARATOR_LINE = re.compile(r"sep=(.)")  # Excel's first line, which names the delimiter
PHOTO_NAME = re.compile(r"[/\\\w]\.(jpe?g|png|webp|gif|bmp|tiff?|hei[cf]|avif)$", re.IGNORECASE)
SAMPLE_ROWS = 1000  # of a stream: those that tell its columns
ML_USES = ("TRAIN", "TRAINING", "VALIDATION", "VAL", "TEST", "UNASSIGNED", "")  # of Google's AutoML


@dataclass(frozen=True)
class Table:
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class TableStream:
    """A table whose rows are read as they are asked for: few of them are in memory, but for .json."""

    columns: tuple[str, ...]  # of the first rows
    rows: Iterator[Row]


def read_table(path: Path) -> Table:
    """Read the whole file. Raises: DatasetError, one sentence, if it is no table."""
    stream = stream_table(path, None)
    rows = tuple(stream.rows)
    return Table(tuple(dict.fromkeys([*stream.columns, *(name for row in rows for name in row)])), rows)


def stream_table(path: Path, sample: int | None = SAMPLE_ROWS) -> TableStream:
    """Open the file; the first `sample` rows tell which columns there are and, without a header, what they hold.

    Raises: DatasetError, as the iteration over the rows may, if it is no table.
    """
    with _said_of(path):
        stream = READERS[path.suffix.lower()](path, sample)
    return TableStream(stream.columns, _said_rows(path, stream.rows))


def _said_rows(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    with _said_of(path):
        yield from rows


@contextmanager
def _said_of(path: Path) -> Iterator[None]:
    """Errors of reading as one sentence that names the file."""
    try:
        yield
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error
    except (csv.Error, ValueError) as error:
        raise DatasetError(f"{path} is no table that can be read: {' '.join(str(error).split())}") from error


def _read_csv(path: Path, sample: int | None) -> TableStream:
    csv.field_size_limit(MAX_CELL)
    numbered = _csv_lines(path)
    first = list(islice(numbered, sample))
    rows = [cells for _, cells in first]
    header = rows[0] if rows else []
    if _is_data(header):
        header = _unnamed(rows)
    else:
        del rows[:1], first[:1]
    columns = _columns(header, rows)
    return TableStream(tuple(columns), _csv_rows(chain(first, numbered), len(header), columns))


def _csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each row that holds something: Excel writes rows of delimiters alone."""
    with _opened(path) as file:
        start, remarks, first = _header(path, file)
        if match := SEPARATOR_LINE.fullmatch(first.strip()):
            delimiter = match[1]
        else:
            delimiter = _delimiter(path, first.partition("\r")[0])
            file.seek(start)
        reader = csv.reader(file, delimiter=delimiter, skipinitialspace=delimiter == " ")
        for row in reader:
            if any(cells := [cell.strip() for cell in row]):
                yield remarks + reader.line_num, cells


def _header(path: Path, file: TextIO) -> tuple[int, int, str]:
    """Where the header begins, how many lines of remarks are above it, and the header. It may begin with # itself."""
    start, remarks, line = 0, 0, file.readline()
    while line.startswith("#"):
        after, following = file.tell(), file.readline()
        delimiter = _delimiter(path, following)
        if not following.startswith("#") and line.count(delimiter) == following.count(delimiter) > 0:
            break
        start, remarks, line = after, remarks + 1, following
    if file.tell() != start:
        file.seek(start)
        line = file.readline()
    return start, remarks, line


def _csv_rows(
    numbered: Iterator[tuple[int, list[str]]], width: int, columns: dict[str, int]
) -> Iterator[Row]:
    for line, cells in numbered:
        if any(cells[width:]):
            raise ValueError(f"line {line} has {len(cells)} cells, the header has {width}")
        yield {name: restored(cells[place]) for name, place in columns.items() if place < len(cells)}


def _delimiter(path: Path, header: str) -> str:
    """Names may hold any of the others: it is the one that splits the header into most columns."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    found = max(DELIMITERS, key=header.count)
    # `images/1.jpg 3`, as lists of Caffe and MMPretrain are
    return " " if header.count(found) == 0 and path.suffix.lower() in (".txt", ".lst") else found


def _columns(header: list[str], rows: list[list[str]]) -> dict[str, int]:
    """Name → place, of the columns that have a name or something in them. Raises: ValueError for a name given twice."""
    columns: dict[str, int] = {}
    for place, name in enumerate(header):
        if not name and not any(cells[place] for cells in rows if place < len(cells)):
            continue
        name = name or f"unnamed {place + 1}"
        if name in columns:
            raise ValueError(f"two of its columns are called {name!r}")
        columns[name] = place
    return columns


def _is_data(header: list[str]) -> bool:
    """Whether the first row is no header: it names a photo, as in lists for Google's AutoML."""
    return len(header) > 1 and any(PHOTO_NAME.search(cell) for cell in header)


def _unnamed(rows: list[list[str]]) -> list[str]:
    """Names for the columns of a list without a header, by what is in them."""
    columns = list(zip(*(cells[: min(map(len, rows))] for cells in rows), strict=True))
    names = [""] * len(columns)
    for place, cells in enumerate(columns):
        if any(map(PHOTO_NAME.search, cells)) and "image" not in names:
            names[place] = "image"
        elif all(cell.upper() in ML_USES for cell in cells):
            names[place] = "split"
    rest = [place for place, name in enumerate(names) if not name]
    if rest:  # MXNet numbers the rows in a column of its own: the labels are those that repeat
        names[min(rest, key=lambda place: len({*columns[place]}))] = "label"
    return names


def _read_json_lines(path: Path, sample: int | None) -> TableStream:
    objects = _json_lines(path)
    rows = rows_of(list(islice(objects, sample)))
    return _stream_of(rows, (row for each in objects for row in rows_of([each])))


def _json_lines(path: Path) -> Iterator[Any]:
    # Lines end at line feeds alone: U+2028 and others may stand in a name.
    with _opened(path, "\n") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield parse_json(line)
                except ValueError as error:
                    raise ValueError(f"line {number:,}: {error}") from error


def _read_json(path: Path, sample: int | None) -> TableStream:
    return _stream_of(rows_of(parse_json(table_text(path))), iter(()))


def _read_parquet(path: Path, sample: int | None) -> TableStream:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ValueError("Parquet needs `pip install pyarrow`") from error
    try:
        content = ParquetFile(path)
    except ArrowInvalid as error:
        raise ValueError(str(error)) from error
    return TableStream(tuple(content.schema_arrow.names), _parquet_rows(content))


def _parquet_rows(content: Any) -> Iterator[Row]:
    class_names = _class_names(content.schema_arrow.metadata or {})
    for batch in content.iter_batches(SAMPLE_ROWS):
        for row in batch.to_pylist():
            for column, names in class_names.items():
                number = row.get(column)
                if number == UNLABELLED:
                    row[column] = None
                elif number is not None:
                    row[column] = _name_of(number, names, column)
            yield row


def _name_of(number: object, names: list[str], column: str) -> str:
    if not isinstance(number, int) or not 0 <= number < len(names):
        raise ValueError(
            f"its column {column} has the class {number!r}, and its features name {len(names)} classes"
        )
    return names[number]


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Column → names of its classes, which data sets of Hugging Face store as numbers."""
    content = parse_json(metadata.get(b"huggingface", b"{}"))
    info = content.get("info") if isinstance(content, dict) else None
    features = info.get("features") if isinstance(info, dict) else None
    if isinstance(features, list):  # as README.md of a data set spells them
        features = {each.get("name"): each.get("dtype") for each in features if isinstance(each, dict)}
    found = {name: _names_in(each) for name, each in features.items()} if isinstance(features, dict) else {}
    return {str(name): names for name, names in found.items() if names}


def _names_in(feature: Any) -> list[str]:
    """The names of the classes of a column; empty if it is none of classes."""
    while isinstance(feature, dict) and "class_label" in feature:
        feature = feature["class_label"]
    names = feature.get("names") if isinstance(feature, dict) else None
    if isinstance(names, dict):
        names = list(names.values())
    return [str(name) for name in names] if isinstance(names, list) else []


def _stream_of(first: list[Row], rest: Iterator[Row]) -> TableStream:
    return TableStream(tuple(dict.fromkeys(name for row in first for name in row)), chain(first, rest))


def table_text(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with or without its mark."""
    with _opened(path) as file:
        return file.read()


def _opened(path: Path, newline: str = "") -> TextIO:
    with path.open("rb") as file:
        start = file.read(len(LFS))
    if start == LFS:
        raise ValueError("it is a pointer of Git LFS: fetch the file itself with `git lfs pull`")
    encoding = ENCODINGS.get(start[:2])
    if encoding is None and b"\0" in start[:2] and path.stat().st_size % 2 == 0:
        encoding = "utf-16-be" if start[:1] == b"\0" else "utf-16-le"
    # File names need not be UTF-8: their bytes are kept as Python keeps those of the file system.
    errors = "strict" if encoding else "surrogateescape"
    return path.open(encoding=encoding or "utf-8-sig", errors=errors, newline=newline)


READERS: dict[str, Callable[[Path, int | None], TableStream]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".txt": _read_csv,
    ".lst": _read_csv,
    ".json": _read_json,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".manifest": _read_json_lines,  # SageMaker Ground Truth
    ".labels": _read_json,  # Edge Impulse
    ".parquet": _read_parquet,
}

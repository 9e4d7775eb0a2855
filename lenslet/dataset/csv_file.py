"""CSV files that open safely in a spreadsheet and keep every name, undecodable bytes included."""

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from lenslet.inference.atomic import replacing

# A spreadsheet takes text that begins with these for a formula (OWASP, "CSV injection"); a number is none.
FORMULA = re.compile(r"['=+\-@\t\r]")
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
ESCAPED = re.compile(r"\\x(5c|[89a-f][0-9a-f])")


def write_cells(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Replace the file by a table in UTF-8; every text goes through `cell_of`."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([cell_of(name) for name in header])
        writer.writerows([cell_of(value) for value in row] for row in rows)


def cell_of(value: object) -> object:
    """The value of a cell: numbers as they are; text that `text_of` turns back into what it was.

    An apostrophe goes before what would be a formula; a byte that is not UTF-8 becomes `\\xe9`.
    """
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = ESCAPED.sub(lambda match: "\\x5c" + match[0][1:], str(value))
    text = "".join(
        f"\\x{ord(character) - 0xDC00:02x}" if "\udc80" <= character <= "\udcff" else character
        for character in text
    )
    return neutralised(text)


def neutralised(text: str) -> str:
    """With an apostrophe before what a spreadsheet would take for a formula."""
    is_formula = FORMULA.match(text) and not NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text


def restored(cell: str) -> str:
    """The text that `neutralised` was given; other texts that begin with an apostrophe stay as they are."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell[1:]) else cell


def text_of(cell: str) -> str:
    """The text that `cell_of` wrote."""
    text = cell[1:] if cell.startswith("'") else cell
    return ESCAPED.sub(lambda match: "\\" if match[1] == "5c" else chr(0xDC00 + int(match[1], 16)), text)

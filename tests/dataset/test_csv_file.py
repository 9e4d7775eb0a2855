"""Cells: no formula, no lost byte, and everything comes back."""

import csv
import os
from pathlib import Path

import pytest

from lenslet.dataset.csv_file import cell_of, neutralised, restored, text_of, write_cells


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("forêt 森林", "forêt 森林"),
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("'quoted'", "''quoted'"),
        ("-2.5000", "-2.5000"),
        ("+1e-05", "+1e-05"),
        (-2.5, -2.5),
        (7, 7),
        (True, True),
        (None, None),
        (Path("=a.jpg"), "'=a.jpg"),
        (os.fsdecode(b"caf\xe9.jpg"), r"caf\xe9.jpg"),
        (r"caf\xe9.jpg", r"caf\x5cxe9.jpg"),
        (r"C:\new\x.jpg", r"C:\new\x.jpg"),
        (r"a\x5cxe9", r"a\x5cx5cxe9"),
    ],
)
def test_cells_are_safe_and_reversible(value: object, cell: object) -> None:
    assert cell_of(value) == cell
    if isinstance(value, str | Path):
        assert text_of(str(cell)) == str(value)


def test_file_is_utf_8_and_reads_back(tmp_path: Path) -> None:
    names = [os.fsdecode(b"\xff=\xfe\n.jpg"), 'a,b"c', "=1", "猫"]
    write_cells(tmp_path / "new" / "names.csv", ["name", "=name"], [(name, 0.5) for name in names])
    with (tmp_path / "new" / "names.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["name", "'=name"]
    assert [text_of(row[0]) for row in rows] == names
    assert [row[1] for row in rows] == ["0.5"] * 4


@pytest.mark.parametrize(
    "text", ["=1", "'=1", "''", "-2.5", "-a", "@b", "\tx", "'quoted'", "", r"C:\xe9\a.jpg"]
)
def test_neutralised_text_comes_back(text: str) -> None:
    assert restored(neutralised(text)) == text


def test_other_apostrophes_stay() -> None:
    assert [restored(text) for text in ("'quoted'", "don't", "'")] == ["'quoted'", "don't", "'"]

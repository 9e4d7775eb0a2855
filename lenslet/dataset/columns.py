"""Columns of a list: which one names the photo, its label, its split and its group."""

import re
from ast import literal_eval
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from lenslet.config.train import ListParams
from lenslet.dataset.json_rows import Row
from lenslet.dataset.photos import DatasetError
from lenslet.dataset.split_names import is_unlabelled, split_of
from lenslet.dataset.tables import Table

AUTO, NONE = "auto", "none"
# Usual names, the likeliest first, in small letters without spaces and signs.
IMAGE_NAMES = (
    "image", "imagepath", "filename", "file", "filepath", "path", "imageurl", "url", "uri", "img", "imgpath",
    "imagename", "filepaths", "filenames",
    "imagefile", "imgname", "imagefilename", "photo", "picture", "imageid", "imgid", "photoid",
    "idcode", "fname", "sourceref", "imagegcsuri", "gcsuri", "name", "id",
)  # fmt: skip
LABEL_NAMES = (
    "label", "class", "category", "labels", "classname", "labelname", "categoryname", "choice", "target", "tag",
    "classlabel", "species", "breed", "diagnosis", "dx", "displayname", "classificationannotation", "fileattributes",
    "annotation", "classid", "labelid", "categoryid", "y",
)  # fmt: skip
SPLIT_COLUMNS = ("split", "subset", "set", "partition", "usage", "datasplit", "mluse", "dataset")
ONE_HOT_NAME = "_classes.csv"  # Roboflow's list
MIN_ONE_HOT = 0.9  # share of the rows of other lists that have exactly one 1
SPLIT_FLAGS = {"isvalid": "validation", "isvalidation": "validation", "isval": "validation", "istest": "test"}
NO_LABEL = ("", "nan", "null", "n/a", "#n/a", "<na>")  # as pandas and Excel write it; "none" may be a class
TRUE, FALSE = ("1", "1.0", "True", "true"), ("0", "0.0", "False", "false", "")


@dataclass(frozen=True)
class Columns:
    image: str
    label: str  # "": the label is the name of the one column in `one_hot` that holds a 1
    split: str  # "": there is none
    group: str
    one_hot: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def labels_in(self, row: Row) -> list[str]:
        """The labels of a row as text; none if it has no label, several if it is of several classes."""
        if self.label:
            return texts_in(row.get(self.label))
        return [name for name in self.one_hot if plain_text(row.get(name)) in TRUE]

    def split_in(self, row: Row) -> str | None:
        """The split that a row names, by a word or as in fastai's `is_valid`."""
        text = plain_text(row.get(self.split))
        if self.split and (of_flag := SPLIT_FLAGS.get(_plain(self.split))):
            return of_flag if text in TRUE else "train"
        return split_of(text)


def find_columns(table: Table, params: ListParams, where: str) -> Columns:
    """The columns that `params` name, or those with usual names. Raises: DatasetError that names all columns."""
    image = _chosen(table, params.image_column, IMAGE_NAMES, "image", where)
    split, notes = _split_column(table, params.split_column, where)
    group = "" if params.group_column == NONE else _chosen(table, params.group_column, (), "group", where)
    label = _usual(table, LABEL_NAMES) if params.label_column == AUTO else ""
    one_hot: tuple[str, ...] = ()
    if not label and params.label_column == AUTO:
        needed = 0.0 if PurePath(where).name == ONE_HOT_NAME else MIN_ONE_HOT
        one_hot = _one_hot(table, {image, split, group}, needed)
    if not label and not one_hot:
        label = _chosen(table, params.label_column, LABEL_NAMES, "label", where)
    return Columns(image, label, split, group, one_hot, notes)


def find_image_column(columns: Sequence[str], wanted: str, where: str) -> str:
    """The column that names the photos, where labels do not matter. Raises: DatasetError."""
    return _chosen(Table(tuple(columns), ()), wanted, IMAGE_NAMES, "image", where)


# JSON may hold half a character, which no file can be called; not those that stand for a byte (PEP 383).
LONE_SURROGATE = re.compile(r"[\ud800-\udc7f\udd00-\udfff]")


def plain_text(value: Any) -> str:
    """A cell as text: numbers without a needless fraction, nothing for null and NaN."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", str(value)).strip()


def texts_in(value: Any) -> list[str]:
    """The texts of a cell: one, or those of a list, which may be written as text, as in `["forest"]`."""
    if isinstance(value, str) and value.strip().startswith(("[", "{")):
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            value = literal_eval(value.strip())  # reads both JSON's and Python's quotes
    if isinstance(value, dict):  # of Label Studio
        value = value.get("choices", value.get("name"))
    values = value if isinstance(value, list | tuple) else [value]
    return [text for each in values if (text := plain_text(each)).lower() not in NO_LABEL]


def _chosen(table: Table, wanted: str, usual: Sequence[str], what: str, where: str) -> str:
    found = _usual(table, usual) if wanted == AUTO else wanted
    if found in table.columns:
        return found
    said = f"has no {what} column" if wanted == AUTO else f"has no column {wanted!r}"
    raise DatasetError(
        f"{where} {said}, but {', '.join(map(repr, table.columns)) or 'nothing'}: name it with --{what}-column"
    )


def _usual(table: Table, names: Sequence[str]) -> str:
    by_name = {_plain(column): column for column in reversed(table.columns)}
    return next((by_name[name] for name in names if name in by_name), "")


def _split_column(table: Table, wanted: str, where: str) -> tuple[str, tuple[str, ...]]:
    if wanted == NONE:
        return "", ()
    column = _usual(table, SPLIT_COLUMNS) if wanted == AUTO else _chosen(table, wanted, (), "split", where)
    if wanted == AUTO and not column:
        flags = [each for each in table.columns if _plain(each) in SPLIT_FLAGS]
        return (flags[0] if len(flags) == 1 else ""), ()
    values = {plain_text(row.get(column)) for row in table.rows} - {""} if column else set()
    unknown = sorted(value for value in values if split_of(value) is None and not is_unlabelled(value))
    if not unknown or _plain(column) in SPLIT_FLAGS:
        return column, ()
    said = f"column {column!r} of {where} holds {unknown[0]!r}"
    if wanted != AUTO or len(unknown) < len(values):
        raise DatasetError(
            f"{said}: splits are called train, validation and test; --split-column none draws them"
        )
    return "", (f"{said}, which is no split: the splits are drawn",)


def _one_hot(table: Table, others: set[str], needed: float) -> tuple[str, ...]:
    """The columns of 0 and 1, one for each class, as Roboflow and some competitions write them.

    Most rows have exactly one 1: of other columns of 0 and 1, each says something of its own.
    """
    cells = {
        column: {plain_text(row.get(column)) for row in table.rows}
        for column in table.columns
        if column not in others
    }
    columns = [name for name, found in cells.items() if found <= {*TRUE, *FALSE} and found != {""}]
    sums = [sum(plain_text(row.get(column)) in TRUE for column in columns) for row in table.rows]
    is_one_hot = len(columns) > 1 and 1 in sums and sums.count(1) >= needed * len(sums)
    return tuple(columns) if is_one_hot else ()


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())

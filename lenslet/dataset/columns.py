"""Columns of a list: which one names the photo, its label, its split and its group."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lenslet.config.train import ListParams
from lenslet.dataset.folders import split_of
from lenslet.dataset.photos import DatasetError
from lenslet.dataset.tables import Row, Table

AUTO, NONE = "auto", "none"
# Usual names, the likeliest first, in small letters without spaces and signs.
IMAGE_NAMES = (
    "image", "imagepath", "filename", "file", "filepath", "path", "imageurl", "url", "uri", "img", "imgpath",
    "imagename", "imagefile", "imgname", "imagefilename", "photo", "picture", "imageid", "imgid", "photoid", "idcode",
    "fname", "name", "id",
)  # fmt: skip
LABEL_NAMES = (
    "label", "class", "category", "labels", "classname", "labelname", "categoryname", "choice", "target", "tag",
    "classlabel", "species", "breed", "diagnosis", "classid", "labelid", "categoryid", "y",
)  # fmt: skip
SPLIT_COLUMNS = ("split", "subset", "set", "partition", "usage", "datasplit")
TRUE, FALSE = ("1", "1.0", "True", "true"), ("0", "0.0", "False", "false", "")


@dataclass(frozen=True)
class Columns:
    image: str
    label: str  # "": the label is the name of the one column in `one_hot` that holds a 1
    split: str  # "": there is none
    group: str
    one_hot: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def label_in(self, row: Row) -> str:
        """The label of a row as text; empty if it has none."""
        if self.label:
            return plain_text(row.get(self.label))
        return next((name for name in self.one_hot if plain_text(row.get(name)) in TRUE), "")


def find_columns(table: Table, params: ListParams, where: str) -> Columns:
    """The columns that `params` name, or those with usual names. Raises: DatasetError that names all columns."""
    image = _chosen(table, params.image_column, IMAGE_NAMES, "image", where)
    split, notes = _split_column(table, params.split_column, where)
    group = "" if params.group_column == NONE else _chosen(table, params.group_column, (), "group", where)
    label = _usual(table, LABEL_NAMES) if params.label_column == AUTO else ""
    one_hot: tuple[str, ...] = ()
    if not label and params.label_column == AUTO:
        one_hot = _one_hot(table, {image, split, group})
    if not label and not one_hot:
        label = _chosen(table, params.label_column, LABEL_NAMES, "label", where)
    return Columns(image, label, split, group, one_hot, notes)


def plain_text(value: Any) -> str:
    """A cell as text: numbers without a needless fraction, nothing for null and NaN."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


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
    unknown = sorted({plain_text(row.get(column)) for row in table.rows} - {""} if column else ())
    unknown = [value for value in unknown if split_of(value) is None]
    if not unknown:
        return column, ()
    said = f"column {column!r} of {where} holds {unknown[0]!r}"
    if wanted != AUTO:
        raise DatasetError(f"{said}: splits are called train, validation and test")
    return "", (f"{said}, which is no split: the splits are drawn",)


def _one_hot(table: Table, others: set[str]) -> tuple[str, ...]:
    """The columns of 0 and 1 of which each row has exactly one 1, as Roboflow and some competitions write them."""
    columns = [
        column
        for column in table.columns
        if column not in others and all(plain_text(row.get(column)) in TRUE + FALSE for row in table.rows)
    ]
    sums = {sum(plain_text(row.get(column)) in TRUE for column in columns) for row in table.rows}
    return tuple(columns) if len(columns) > 1 and sums == {1} else ()


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())

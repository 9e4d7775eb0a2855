"""Labelled photos by their content: a file, its copy and the object of S3 that it came from are one photo."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lenslet.dataset.lists import is_link
from lenslet.dataset.pixel_cache import read_all
from lenslet.dataset.remote import fetch_all
from lenslet.labelling.annotations import Row


@dataclass(frozen=True)
class Labelled:
    """Rows of a list of annotations."""

    by_content: dict[str, Row]  # SHA-256 of the photo → its row; of several the latest
    unreadable: tuple[Row, ...]  # whose photo is gone, or cannot be fetched


def find_labelled(rows: Sequence[Row], cache: Path) -> Labelled:
    """Read the photo of each row; those at addresses are fetched into the cache."""
    fetched = fetch_all([row.image for row in rows if is_link(row.image)], cache)
    there: list[tuple[Row, Path]] = []
    unreadable: list[Row] = []
    for row in sorted(rows, key=lambda row: row.date):
        place = fetched.get(row.image, Path(row.image))
        if isinstance(place, Path):
            there.append((row, place))
        else:
            unreadable.append(row)
    by_content: dict[str, Row] = {}
    for (row, _), content in zip(there, read_all([place for _, place in there]), strict=True):
        if content.error:
            unreadable.append(row)
        else:
            by_content[content.sha256] = row
    return Labelled(by_content, tuple(unreadable))

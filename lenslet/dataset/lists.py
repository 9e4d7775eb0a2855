"""Photos named in a list: paths, file names, ids without extension or URLs, each with its label."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any

from lenslet.config.train import ListParams
from lenslet.dataset.columns import AUTO, find_columns, plain_text
from lenslet.dataset.folders import label_of, split_of
from lenslet.dataset.photos import LeftOut, Listing, Photo
from lenslet.dataset.remote import fetch_all
from lenslet.dataset.tables import READERS, Table, read_table
from lenslet.dataset.walk import Tree, walk
from lenslet.inference.atomic import replacing

LINK = re.compile(r"(https?|s3)://")


@dataclass(frozen=True)
class Entry:
    """A row of a list: what names the photo (or the photo itself, from Parquet), and what it says of it."""

    image: str | bytes
    label: str
    split: str | None
    group: str = ""


def is_list(path: Path) -> bool:
    return path.suffix.lower() in READERS


def read_photo_list(path: Path, params: ListParams, cache: Path) -> Listing:
    """The photos that the list `path` names. Raises: DatasetError."""
    root = path.parent if params.root == AUTO else Path(params.root)
    entries, notes = entries_of(read_table(path), params, str(path))
    names = Names(walk(root))
    listing = listing_of(entries, names, cache, split_of(path.stem), [path], notes)
    return replace(listing, left_out=listing.left_out + names.tree.left_out)


def entries_of(
    table: Table, params: ListParams, where: str, split: str | None = None
) -> tuple[list[Entry], tuple[str, ...]]:
    """An entry for each row, and notes; `split` is that of rows which name none. Raises: DatasetError."""
    columns = find_columns(table, params, where)
    entries = [
        Entry(
            _image_of(row.get(columns.image)),
            label_of(columns.label_in(row)),
            split_of(plain_text(row.get(columns.split))) or split,
            plain_text(row.get(columns.group)),
        )
        for row in table.rows
    ]
    return entries, columns.notes


@dataclass(frozen=True)
class Names:
    """Files below a root by everything that a list may call them."""

    tree: Tree

    @cached_property
    def by_ending(self) -> Mapping[str, list[PurePath]]:
        """Path, or the end of it, with and without the extension → the files that it fits."""
        found: dict[str, list[PurePath]] = defaultdict(list)
        for file in self.tree.files:
            parts = file.parts
            for start in range(len(parts)):
                whole = "/".join(parts[start:])
                for name in {whole, whole[: len(whole) - len(file.suffix)] or whole}:
                    found[name].append(file)
        return dict(found)

    def find(self, name: str, split: str | None) -> list[Path]:
        """The files that `name` may mean: the one at this path, else all with this name, those of `split` alone."""
        place = self.tree.root / name
        if place.is_file():
            return [place]
        files = self.by_ending.get(name.replace("\\", "/").removeprefix("./").lstrip("/"), [])
        of_split = [file for file in files if split and split in map(split_of, file.parts[:-1])]
        return [self.tree.root / file for file in of_split or files]


def listing_of(
    entries: Sequence[Entry],
    names: Names,
    cache: Path,
    split: str | None = None,
    lists: Iterable[Path] = (),
    notes: Sequence[str] = (),
) -> Listing:
    """Find the photo of each entry, in `names` or at its URL; files below the root that no entry names are left out.

    `split`: that of the list's own name, as in train.csv, which tells train/1.jpg from test/1.jpg.
    `lists`: files that were read as lists, and are no photos.
    """
    images = [each.image for each in entries]
    links = fetch_all([str(image) for image in images if _is_link(image)], cache)
    photos, left_out = [], []
    for entry in entries:
        found = _find(entry, names, links, split, cache)
        if isinstance(found, LeftOut):
            left_out.append(found)
        elif not entry.label:
            left_out.append(LeftOut(found, "no label", "the list has none for it"))
        else:
            photos.append(Photo(found, entry.label, entry.split, entry.group))
    photos, repeated = _without_repetitions(photos)
    named = {photo.path for photo in photos} | {each.path for each in (*left_out, *repeated)} | {*lists}
    # Several names may lead to one file: `./a.jpg`, links.
    real = {os.path.realpath(path) for path in named}
    rest = [names.tree.root / file for file in names.tree.files]
    unlisted = [LeftOut(path, "unlisted") for path in rest if os.path.realpath(path) not in real]
    left_out += [*repeated, *unlisted]
    classes = frozenset(entry.label for entry in entries if entry.label)
    return Listing(names.tree.root, "", tuple(photos), tuple(left_out), classes, tuple(notes))


def _find(
    entry: Entry, names: Names, links: Mapping[str, Path | str], split: str | None, cache: Path
) -> Path | LeftOut:
    if isinstance(entry.image, bytes):
        return _kept(entry.image, cache)
    if _is_link(entry.image):
        fetched = links[entry.image]
        return LeftOut(Path(entry.image), "missing", fetched) if isinstance(fetched, str) else fetched
    place = names.tree.root / entry.image
    found = names.find(entry.image, entry.split or split) if entry.image else []
    if len(found) == 1:
        return found[0]
    if not found:
        return LeftOut(place, "missing", "no file has this path or name")
    some = " and ".join(str(path.relative_to(names.tree.root)) for path in found[:2])
    return LeftOut(place, "missing", f"{len(found)} files have this name, {some} among them")


def _without_repetitions(photos: Sequence[Photo]) -> tuple[list[Photo], list[LeftOut]]:
    """Each file once; none that is listed under two labels, because no one knows which of them is right."""
    labels: dict[Path, set[str]] = defaultdict(set)
    for photo in photos:
        labels[photo.path].add(photo.label)
    kept, left_out, seen = [], [], Counter[Path]()
    for photo in photos:
        seen[photo.path] += 1
        if len(labels[photo.path]) > 1:
            left_out.append(LeftOut(photo.path, "labels disagree", f"listed as {photo.label}"))
        elif seen[photo.path] > 1:
            left_out.append(LeftOut(photo.path, "listed twice"))
        else:
            kept.append(photo)
    return kept, left_out


def _is_link(image: str | bytes) -> bool:
    return isinstance(image, str) and LINK.match(image) is not None


def _image_of(value: Any) -> str | bytes:
    """Path, name or URL of a photo, or the photo itself: Hugging Face puts both into one column of a Parquet file."""
    if isinstance(value, dict):
        return value.get("bytes") or plain_text(value.get("path"))
    return value if isinstance(value, bytes) else plain_text(value)


def _kept(data: bytes, cache: Path) -> Path:
    """The file in the cache that holds a photo which the list itself contains."""
    path = cache / "embedded" / sha256(data).hexdigest()
    if not path.exists():
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    return path

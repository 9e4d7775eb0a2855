"""Photos named in a list: paths, file names, ids without extension or URLs, each with its label."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any

from lenslet.config.train import ListParams
from lenslet.dataset.columns import AUTO, find_columns, plain_text
from lenslet.dataset.folders import label_of
from lenslet.dataset.photo_names import Named, Names
from lenslet.dataset.photos import DatasetError, LeftOut, Listing, Photo
from lenslet.dataset.remote import fetch_all
from lenslet.dataset.split_names import split_in
from lenslet.dataset.tables import READERS, Table, read_table
from lenslet.dataset.walk import walk
from lenslet.inference.atomic import replacing
from lenslet.inference.printable import printable

LINK = re.compile(r"(https?|s3)://")


@dataclass(frozen=True)
class Entry:
    """A row of a list: what names the photo (or the photo itself, from Parquet), and what it says of it."""

    image: str | bytes
    label: str
    split: str | None
    group: str = ""
    sought_in: str | None = (
        None  # of names that repeat, the folder of this split: train.csv tells train/1 from test/1
    )
    why_no_label: str = "the list has none for it"


def is_list(path: PurePath) -> bool:
    return path.suffix.lower() in READERS


def read_photo_list(path: Path, params: ListParams, cache: Path) -> Listing:
    """The photos that the list `path` names. Raises: DatasetError."""
    entries, notes = entries_of(read_table(path), params, str(path), sought_in=split_in(path.stem)[0])
    return list_with_rest(entries, path, params, cache, notes)


def list_with_rest(
    entries: Sequence[Entry], path: Path, params: ListParams, cache: Path, notes: Sequence[str] = ()
) -> Listing:
    """The photos of the entries of the file `path`, which are below the root that `params` name, or beside it."""
    root = path.parent if params.root == AUTO else Path(params.root)
    names = Names(walk(root))
    listing = listing_of(entries, names, cache, [path], notes)
    return replace(listing, left_out=listing.left_out + names.tree.left_out)


def entries_of(
    table: Table,
    params: ListParams,
    where: str,
    split: str | None = None,
    sought_in: str | None = None,
) -> tuple[list[Entry], tuple[str, ...]]:
    """An entry for each row, and notes; `split` is that of rows which name none.

    Raises: DatasetError if there is no column of photos or labels, or photos have several labels each.
    """
    columns = find_columns(table, params, where)
    entries, several = [], 0
    for row in table.rows:
        labels = columns.labels_in(row)
        several += len(labels) > 1
        entries.append(
            Entry(
                image_of(row.get(columns.image)),
                label_of(labels[0]) if len(labels) == 1 else "",
                columns.split_in(row) or split,
                plain_text(row.get(columns.group)),
                sought_in,
                f"the list has several: {', '.join(labels)}"[:200] if labels else "the list has none for it",
            )
        )
    if 2 * several > len(entries):
        raise DatasetError(
            f"{where} gives {several:,} of {len(entries):,} photos several labels each: a classifier learns one label "
            "for each photo; name a column that has one with --label-column"
        )
    return entries, columns.notes


def listing_of(
    entries: Sequence[Entry],
    names: Names,
    cache: Path,
    lists: Sequence[Path],
    notes: Sequence[str] = (),
) -> Listing:
    """Find the photo of each entry, in `names` or at its URL; files below the root that no entry names are left out.

    `lists`: files that the entries were read from, and that are no photos.
    Raises: DatasetError if not one of the entries leads to a photo.
    """
    files = names.find_all(_named(each) for each in entries if _may_be_here(each.image))
    links = fetch_all(
        [str(each.image) for each in entries if is_link(each.image) and not files.get(_named(each))], cache
    )
    embedded = Counter[str]()
    photos, left_out, lost = [], [], []
    for entry in entries:
        found = _find(entry, names, links, files, (cache, embedded))
        if isinstance(found, LeftOut):
            lost.append(found)
        elif entry.label:
            photos.append(Photo(found, entry.label, entry.split, entry.group))
        else:
            left_out.append(LeftOut(found, "no label", entry.why_no_label))
    if lost and not photos and not left_out:
        raise DatasetError(_nothing_found(lost, entries, names, lists))
    photos, repeated = _without_repetitions(photos)
    named = {photo.path for photo in photos} | {each.path for each in (*left_out, *repeated)} | {*lists}
    # Several names may lead to one file: `./a.jpg`, links.
    real = {os.path.realpath(path) for path in named}
    rest = [names.tree.root / file for file in names.tree.files]
    unlisted = [LeftOut(path, "unlisted") for path in rest if os.path.realpath(path) not in real]
    left_out += [*lost, *repeated, *unlisted]
    classes = frozenset(entry.label for entry in entries if entry.label)
    return Listing(names.tree.root, "", tuple(photos), tuple(left_out), classes, tuple(notes))


def _named(entry: Entry) -> Named:
    return Named(str(entry.image), entry.split or entry.sought_in, entry.label)


def _find(
    entry: Entry,
    names: Names,
    links: Mapping[str, Path | str],
    files: Mapping[Named, list[Path]],
    kept: tuple[Path, Counter[str]],
) -> Path | LeftOut:
    if isinstance(entry.image, bytes):
        return kept_photo(entry.image, *kept)
    found = files.get(_named(entry), [])
    if len(found) == 1:
        return found[0]
    if is_link(entry.image) and not found:
        fetched = links[entry.image]
        return LeftOut(Path(entry.image), "missing", fetched) if isinstance(fetched, str) else fetched
    place = names.tree.root / entry.image
    if not found:
        other = names.other_ending(entry.image)
        return LeftOut(
            place, "missing", "no file has this path or name" + (f", but {other} is there" if other else "")
        )
    some = " and ".join(str(path.relative_to(names.tree.root)) for path in found[:2])
    return LeftOut(place, "missing", f"{len(found)} files have this name, {some} among them")


def _nothing_found(
    lost: Sequence[LeftOut], entries: Sequence[Entry], names: Names, lists: Sequence[Path]
) -> str:
    where = printable(lists[0]) if lists else printable(names.tree.root)
    example = next((each.image for each in entries if each.image), "")
    remedy = "name the folder of the photos with --root"
    if is_link(example):
        remedy = "check the addresses"
    elif "have this name" in lost[0].detail:
        remedy = "give paths instead of names"
    return (
        f"{where} names {len(lost):,} {'photo' if len(lost) == 1 else 'photos'}, and not one is there: "
        f"{printable(repr(example))[:200]}, for example, was looked for in {printable(names.tree.root)} "
        f"({lost[0].detail}): {remedy}"
    )


def _without_repetitions(photos: Sequence[Photo]) -> tuple[list[Photo], list[LeftOut]]:
    """Each file once; none that is listed under two labels, because no one knows which of them is right."""
    # One spelling of a path, as of `p/../p/x.jpg`; a link is a photo of its own, as in folders.
    folders = {parent: os.path.realpath(parent) for parent in {photo.path.parent for photo in photos}}
    places = [f"{folders[photo.path.parent]}/{photo.path.name}" for photo in photos]
    labels: dict[str, set[str]] = defaultdict(set)
    for place, photo in zip(places, photos, strict=True):
        labels[place].add(photo.label)
    kept, left_out, seen = [], [], Counter[str]()
    for place, photo in zip(places, photos, strict=True):
        seen[place] += 1
        if len(labels[place]) > 1:
            left_out.append(LeftOut(photo.path, "labels disagree", f"listed as {photo.label}"))
        elif seen[place] > 1:
            left_out.append(LeftOut(photo.path, "listed twice"))
        else:
            kept.append(photo)
    return kept, left_out


def is_link(image: str | bytes) -> bool:
    return isinstance(image, str) and LINK.match(image) is not None


def _may_be_here(image: str | bytes) -> bool:
    """Whether a file below the root may be meant: objects of a bucket are often fetched with their list."""
    return isinstance(image, str) and not image.startswith(("http://", "https://"))


def image_of(value: Any) -> str | bytes:
    """Path, name or URL of a photo, or the photo itself: Hugging Face puts both into one column of a Parquet file."""
    if isinstance(value, dict):
        return value.get("bytes") or plain_text(value.get("path"))
    return value if isinstance(value, bytes) else plain_text(value)


def kept_photo(data: bytes, cache: Path, seen: Counter[str]) -> Path:
    """The file in the cache that holds a photo which the list itself contains; of two copies, each has one."""
    digest = sha256(data).hexdigest()
    seen[digest] += 1
    number = seen[digest]
    path = cache / "embedded" / (digest if number == 1 else f"{digest}-{number}")
    if not path.is_file() or path.read_bytes() != data:
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    return path

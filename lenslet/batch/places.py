"""The photos at places of every kind, one by one: files, folders, lists, archives, addresses, S3 prefixes."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lenslet.dataset.archives import is_archive, unpack
from lenslet.dataset.columns import AUTO, find_image_column
from lenslet.dataset.lists import image_of, is_link, kept_photo
from lenslet.dataset.remote import bucket_client, fetch_prefix, is_s3, list_objects
from lenslet.dataset.tables import READERS, stream_table
from lenslet.dataset.walk import entries
from lenslet.inference.errors import InputError
from lenslet.serving.batch_plan import Source

ARCHIVE_ENDINGS = (
    ".zip",
    ".tar",
    ".tgz",
    ".tar.gz",
    ".tar.bz2",
    ".tar.xz",
)  # of S3 keys, whose bytes are far
FOLLOWED = (
    "unreadable",
    "link",
)  # reasons of `entries` for which a photo may be missing, and so is a failure


@dataclass(frozen=True)
class ListOptions:
    """How lists are read: as `train.list` has it, less the labels."""

    image_column: str = AUTO
    root: str = AUTO
    cache: Path = Path(".cache")  # of unpacked archives, and photos inside of lists


def find_sources(places: Iterable[str], options: ListOptions) -> Iterator[Source]:
    """Every photo, in a fixed order, as it is found: few of them are in memory.

    Raises: InputError if a place does not exist or cannot be read; OSError.
    """
    for place in places:
        if is_s3(place):
            yield from _in_bucket(place, options)
        elif is_link(place):
            yield Source(place, place)
        else:
            yield from _on_disk(Path(place), options)


def check_places(places: Iterable[str]) -> None:
    """Look at local places alone: a mistyped path is said before anything is read. Raises: InputError."""
    for place in places:
        if not is_link(place) and not is_s3(place) and not Path(place).exists():
            raise InputError(f"{place} does not exist")


def _on_disk(path: Path, options: ListOptions, name: str = "") -> Iterator[Source]:
    """`name`: what the place is called in the answers, where it was fetched or unpacked."""
    if path.is_dir():
        yield from _in_folder(path, name or str(path))
    elif _is_batch_list(path):
        yield from _in_list(path, options, name or str(path))
    elif is_archive(path):
        folder, left_out = unpack(path, options.cache)
        yield from _in_folder(folder, name or str(path))
        for each in left_out:
            inner = each.path.relative_to(folder) if each.path.is_relative_to(folder) else each.path
            yield Source(f"{name or path}/{inner}", "", error=f"it is not unpacked: {each.detail}")
    elif path.is_file():
        yield _on_file(name or str(path), path)
    else:
        raise InputError(f"{path} does not exist")


def _is_batch_list(path: Path) -> bool:
    """A list by its ending; .txt is not one here, because notes lie among photos."""
    return path.suffix.lower() in READERS and path.suffix.lower() != ".txt"


def _in_folder(root: Path, name: str) -> Iterator[Source]:
    """All files but hidden and system ones, links followed."""
    before = "" if name in (".", "./") else f"{name}/" if is_s3(name) else f"{Path(name)}/"
    for place, kind, detail in entries(root):
        if kind == "file":
            yield _on_file(f"{before}{place}", root / place)
        elif kind in FOLLOWED:
            yield Source(f"{before}{place}", "", error=detail)


def _in_list(path: Path, options: ListOptions, name: str) -> Iterator[Source]:
    root = name.rpartition("/")[0] if options.root == AUTO and is_s3(name) else options.root
    folder = path.parent if root == AUTO else Path(root)
    stream = stream_table(path)
    column = find_image_column(stream.columns, options.image_column, str(path))
    for number, row in enumerate(stream.rows, start=1):
        image = image_of(row.get(column))
        if isinstance(image, bytes):
            kept = kept_photo(image, options.cache, Counter())
            yield Source(f"{name}#{number}", str(kept), hashlib.sha256(image).hexdigest()[:16])
        elif is_link(image):
            yield Source(image, image)
        elif image and is_link(root):
            address = f"{root.rstrip('/')}/{image}"
            yield Source(address, address)
        elif image:
            yield _on_file(image, folder / image.replace("\\", "/"))
        else:
            yield Source(f"{name}#{number}", "", error=f"row {number:,} of the list names no photo")


def _on_file(name: str, path: Path) -> Source:
    try:
        return Source(name, str(path), str(path.stat().st_size))
    except (OSError, ValueError):  # said when it is read; ValueError: a null character
        return Source(name, str(path))


def _in_bucket(place: str, options: ListOptions) -> Iterator[Source]:
    client = bucket_client()
    if place.lower().endswith(ARCHIVE_ENDINGS) or _is_batch_list(Path(place)):
        yield from _on_disk(fetch_prefix(place, options.cache)[0], options, place)
        return
    found = partial(list_objects, place, client)
    yield from (Source(address, address, tag.strip('"')) for address, tag in found())

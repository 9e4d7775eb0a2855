"""Every file below a folder: those that may be photos, and those that are left out with the reason.

Symbolic links are followed, by every command alike; a link that leads back to a folder above it is left out.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

from lenslet.dataset.external_sort import sorted_on_disk
from lenslet.dataset.photos import LeftOut

# Written by operating systems and tools, in lower case; names that begin with a dot are hidden anyway.
SYSTEM_FOLDERS = {
    "__macosx",
    "@eadir",
    "@recycle",
    "#recycle",
    "$recycle.bin",
    "lost+found",
    "system volume information",
    "__pycache__",
    "#snapshot",
    "@recently-snapshot",
    "network trash folder",
    "temporary items",
    "recycler",
}
SYSTEM_FILES = {"thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "desktop.ini", "icon\r", "picasa.ini"}
LOST_FOLDER = re.compile(r"found\.\d{3}")  # of a check of a disk
UNFINISHED = re.compile(r"~\$.*|.*\.(crdownload|part|partial)")  # open in Office, or still downloaded
THUMBNAILS = ("thumbs", "thumbnails", "thumb")  # folders, where each file has the name of one above


@dataclass(frozen=True)
class Tree:
    """Files and folders below `root`; all paths are relative to it and sorted, folders include the empty ones."""

    root: Path
    files: tuple[PurePath, ...]
    folders: tuple[PurePath, ...]
    left_out: tuple[LeftOut, ...]  # their paths are whole

    @cached_property
    def folders_in(self) -> Mapping[PurePath, list[PurePath]]:
        """Folder → the folders directly in it."""
        return _by_parent(self.folders)

    @cached_property
    def files_in(self) -> Mapping[PurePath, list[PurePath]]:
        """Folder → the files directly in it."""
        return _by_parent(self.files)

    def files_below(self, place: PurePath) -> Iterator[PurePath]:
        """The files in `place` and, to any depth, in its folders."""
        yield from self.files_in.get(place, ())
        for folder in self.folders_in.get(place, ()):
            yield from self.files_below(folder)

    def holds_files(self, place: PurePath) -> bool:
        return next(self.files_below(place), None) is not None


def walk(root: Path) -> Tree:
    """Read the folder `root` to any depth. Every file is either in `files` or in `left_out`."""
    files: list[PurePath] = []
    folders: list[PurePath] = []
    left_out: list[LeftOut] = []
    for place, kind, detail in entries(root):
        if kind == "file":
            files.append(place)
        elif kind == "folder":
            folders.append(place)
        else:
            left_out.append(LeftOut(root / place, kind, detail))
    return Tree(root, tuple(sorted(files)), tuple(sorted(folders)), tuple(left_out))


def entries(root: Path) -> Iterator[tuple[PurePath, str, str]]:
    """Path below `root`, what it is ("file", "folder" or a reason to leave it out) and a detail; in the order of paths.

    As it is read: of a folder of a million files, only their names are in memory.
    """
    return _entries(root, PurePath(), (), "")


def _entries(
    root: Path, place: PurePath, above: tuple[tuple[int, int], ...], reason: str
) -> Iterator[tuple[PurePath, str, str]]:
    """Path, what it is ("file", "folder" or a reason to leave it out) and a detail, of everything in `place`.

    `above`: device and number of each folder on the way; `reason`: why everything in here is left out, if it is.
    """
    try:
        identity = (root / place).stat()
        listed = _scan(root / place)
    except OSError as error:
        yield place, "unreadable", f"the folder cannot be read: {error.strerror}"
        return
    here = (identity.st_dev, identity.st_ino)
    if here in above:
        yield place, "link", "it leads back to a folder above it"
        return
    for name, is_folder, is_link in listed:
        path = place / name
        why = reason or _excluded(name, is_folder) or _thumbnails(root / path, is_folder)
        if is_folder:
            if not why:
                yield path, "folder", ""
            yield from _entries(root, path, (*above, here), why)
        else:
            yield path, *((why, "") if why else _kind(root / path, is_link))


def _scan(folder: Path) -> Iterator[tuple[str, bool, bool]]:
    """Name, whether it is a folder, and whether it is a link, of each entry, sorted. Raises: OSError."""
    found = ((entry.name, _is_folder(entry), entry.is_symlink()) for entry in os.scandir(folder))
    return sorted_on_disk(found)


def _excluded(name: str, is_folder: bool) -> str:
    name = name.lower()
    names, form = (SYSTEM_FOLDERS, LOST_FOLDER) if is_folder else (SYSTEM_FILES, UNFINISHED)
    if name in names or form.fullmatch(name):
        return "system"
    return "hidden" if name.startswith(".") else ""


def _thumbnails(path: Path, is_folder: bool) -> str:
    """The reason to leave out a folder of small copies of the files beside it; empty for every other."""
    if not is_folder or path.name.lower() not in THUMBNAILS:
        return ""
    try:
        inside, beside = ({each.stem for each in place.iterdir()} for place in (path, path.parent))
    except OSError:
        return ""
    return "system" if inside and inside <= beside else ""


def _kind(path: Path, is_link: bool) -> tuple[str, str]:
    """Kind of a path that is no folder, and a detail."""
    try:
        if path.is_file():
            return "file", ""
    except OSError as error:  # the folder may be listed, but not searched
        return "unreadable", str(error.strerror)
    return ("link", "it leads nowhere") if is_link else ("special", "it is a device, a pipe or a socket")


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _by_parent(places: Iterable[PurePath]) -> Mapping[PurePath, list[PurePath]]:
    found: dict[PurePath, list[PurePath]] = defaultdict(list)
    for place in places:
        found[place.parent].append(place)
    return dict(found)

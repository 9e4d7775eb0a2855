"""Every file below a folder: those that may be photos, and those that are left out with the reason.

Symbolic links are followed, by every command alike; a link that leads back to a folder above it is left out.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

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
}
SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}


@dataclass(frozen=True)
class Tree:
    """What lies below `root`; all paths are relative to it and sorted, folders include the empty ones."""

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
    for place, kind, detail in _entries(root, PurePath(), (), ""):
        if kind == "file":
            files.append(place)
        elif kind == "folder":
            folders.append(place)
        else:
            left_out.append(LeftOut(root / place, kind, detail))
    return Tree(root, tuple(sorted(files)), tuple(sorted(folders)), tuple(left_out))


def _entries(
    root: Path, place: PurePath, above: tuple[tuple[int, int], ...], reason: str
) -> Iterator[tuple[PurePath, str, str]]:
    """Path, what it is ("file", "folder" or a reason to leave it out) and a detail, of everything in `place`.

    `above`: device and number of each folder on the way; `reason`: why everything in here is left out, if it is.
    """
    try:
        identity = (root / place).stat()
        entries = sorted(os.scandir(root / place), key=lambda entry: entry.name)
    except OSError as error:
        yield place, "unreadable", f"the folder cannot be read: {error.strerror}"
        return
    here = (identity.st_dev, identity.st_ino)
    if here in above:
        yield place, "link", "it leads back to a folder above it"
        return
    for entry in entries:
        path = place / entry.name
        why = reason or _excluded(entry)
        if _is_folder(entry):
            if not why:
                yield path, "folder", ""
            yield from _entries(root, path, (*above, here), why)
        elif why:
            yield path, why, ""
        elif (root / path).is_file():
            yield path, "file", ""
        elif entry.is_symlink():
            yield path, "link", "it leads nowhere"
        else:
            yield path, "special", "it is a device, a pipe or a socket"


def _excluded(entry: "os.DirEntry[str]") -> str:
    if entry.name.lower() in (SYSTEM_FOLDERS if _is_folder(entry) else SYSTEM_FILES):
        return "system"
    return "hidden" if entry.name.startswith(".") else ""


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

"""Files that a list means: by path, name, id without extension, or a path of the machine that the list was made on."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from urllib.parse import parse_qs, unquote, urlsplit

from lenslet.dataset.split_names import split_of
from lenslet.dataset.walk import Tree

UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts it before the names of uploaded files
UPLOADS = ("/data/upload/", "data/upload/")
FLOAT = re.compile(r"((?:^|/)\d+)\.0$")
SAME_ENDINGS = {"jpeg": "jpg", "jpe": "jpg", "tiff": "tif"}
# An absolute path, one of Windows, or an address in a store that is not read: https:// and s3:// are fetched.
OTHER_MACHINE = re.compile(r"/|~|[A-Za-z]:[/\\]|\\\\|[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True)
class Named:
    """Names of its photo in one row of a list."""

    name: str
    split: str | None = None  # where names repeat, the folder of this split is meant
    label: str = ""


@dataclass(frozen=True)
class Names:
    """Files below a root by everything that a list may call them."""

    tree: Tree
    is_closed: bool = False  # only files below the root may be named: the list came from elsewhere

    def find_all(self, rows: Iterable[Named]) -> dict[Named, list[Path]]:
        """Row → the files that it may mean.

        Paths that are not here are tried without their first folders, as long as nothing speaks against the file: it
        is in the folder of another split or label, or another row means it, too.
        """
        wanted = dict.fromkeys(rows)
        found = {row: self.find(row.name, row.split) for row in wanted}
        labels = {_plain(row.label) for row in wanted if row.label}
        shortened = {row: self._shortened(row, labels) for row in wanted if row.name and not found[row]}
        if not any(shortened.values()):
            return found
        names: dict[str, set[str]] = defaultdict(set)  # file → all that mean it
        for row, files in (*found.items(), *shortened.items()):
            for path in files:
                names[os.path.realpath(path)].add(row.name)
        for row, files in shortened.items():
            found[row] = [path for path in files if len(names[os.path.realpath(path)]) == 1]
        return found

    def find(self, name: str, split: str | None) -> list[Path]:
        """The files that `name` may mean: the one at this path, else all with this name, those of `split` alone."""
        name = _plain_address(name)
        if not name or "\0" in name:
            return []
        if path := self._at(name):
            return [path]
        if "%" in name and (unquoted := unquote(name)) != name and (files := self.find(unquoted, split)):
            return files
        parts = _parts(name)
        if name.startswith(UPLOADS):
            found = self._ending_in(parts[-1:]) or self._ending_in([UPLOAD_PREFIX.sub("", parts[-1])])
        else:
            found = [] if OTHER_MACHINE.match(name) else self._ending_in(parts)
        of_split = [file for file in found if split and split in map(split_of, file.parts[:-1])]
        return [self.tree.root / file for file in of_split or found]

    def other_ending(self, name: str) -> str:
        """A file with this name but for the ending; empty if there is none. It may be a mask, or a smaller copy."""
        [last] = _parts(name)[-1:] or [""]
        found = self._ending_in([last.rpartition(".")[0]]) if "." in last else []
        return str(found[0]) if found else ""

    def _at(self, name: str) -> Path | None:
        """The file at this path, relative to the root or absolute."""
        path = os.path.join(self.tree.root, name)  # noqa: PTH118 - of a hundred thousand names, a Path takes seconds
        if self.is_closed:
            path = os.path.normpath(path)
            if not Path(path).is_relative_to(self.tree.root):
                return None
        return Path(path) if os.path.isfile(path) else None  # noqa: PTH113 - also false for names that are too long

    def _ending_in(self, parts: list[str]) -> list[PurePath]:
        """The files whose paths end so: as it is written, else in other capitals or another ending of JPEG."""
        ending = "/".join(parts)
        return self._by_ending.get(ending) or self._by_plain_ending.get(_plain(ending)) or []

    def _shortened(self, row: Named, labels: set[str]) -> list[Path]:
        """The files at the longest end of the path that is here, unless their folders are of another split or label."""
        parts = _parts(_plain_address(row.name))
        for start in range(len(parts)):
            end = parts[start:]
            if files := self._ending_in(end):
                fitting = [
                    file for file in files if _fits(file.parts[: -len(end)], parts[:start], row, labels)
                ]
                return [self.tree.root / file for file in fitting]
        return []

    @cached_property
    def _by_ending(self) -> Mapping[str, list[PurePath]]:
        """Path, or the end of it, with and without the extension → the files that it fits."""
        found: dict[str, list[PurePath]] = defaultdict(list)
        for file in self.tree.files:
            parts = file.parts
            for start in range(len(parts)):
                whole = "/".join(parts[start:])
                for name in {whole, whole[: len(whole) - len(file.suffix)] or whole}:
                    found[name].append(file)
        return dict(found)

    @cached_property
    def _by_plain_ending(self) -> Mapping[str, list[PurePath]]:
        """The same, by what `_plain` makes of these."""
        found: dict[str, dict[PurePath, None]] = defaultdict(dict)
        for name, files in self._by_ending.items():
            found[_plain(name)] |= dict.fromkeys(files)
        return {name: list(files) for name, files in found.items()}


def _fits(here: tuple[str, ...], there: list[str], row: Named, labels: set[str]) -> bool:
    """Whether a file in the folders `here` may be the one that the list has in the folders `there`."""
    splits_here, splits_there = ({split_of(name) for name in names} - {None} for names in (here, there))
    if splits_here and (wanted := splits_there or {row.split} - {None}) and not splits_here & wanted:
        return False
    others = labels - {_plain(row.label)}
    return not {_plain(name) for name in here} & others


def _plain(name: str) -> str:
    """The name in one form of Unicode, in small letters, with one ending for each format, numbers without zeros.

    Spreadsheets make 1 of 0001, and pandas 1.0.
    """
    plain = FLOAT.sub(r"\1", unicodedata.normalize("NFC", name).casefold())
    folders, slash, last = plain.rpartition("/")
    stem, dot, ending = last.rpartition(".") if "." in last else (last, "", "")
    stem = stem.lstrip("0") or "0" if stem.isdecimal() else stem
    return f"{folders}{slash}{stem}{dot}{SAME_ENDINGS.get(ending, ending)}"


def _parts(name: str) -> list[str]:
    return [part for part in re.split(r"[/\\]", name) if part not in ("", ".")]


def _plain_address(name: str) -> str:
    """The path in what Label Studio writes for files of its own; other names as they are."""
    if name.startswith(UPLOADS):
        return unquote(urlsplit(name).path)
    link = "/data/local-files/?d="
    if link in name:  # a file of local storage: its path is in the query
        return parse_qs(urlsplit(name).query).get("d", [""])[0]
    return name

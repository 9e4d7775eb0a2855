"""Exports of labelling tools: Label Studio and Teachable Machine."""

import re
from pathlib import Path

from lenslet.dataset.folders import label_of, lone_folders
from lenslet.dataset.json_rows import is_label_studio
from lenslet.dataset.lists import Entry, listing_of
from lenslet.dataset.photo_names import Names
from lenslet.dataset.photos import Listing
from lenslet.dataset.tables import table_text
from lenslet.dataset.walk import Tree
from lenslet.inference.json_text import parse_json

MANIFEST = "manifest.json"
NUMBERED = re.compile(r"(.+?)(?:!.*|[-_ ]\d+\.\w+)")  # <class>-<number>.<extension> or <class>!<name>


def is_label_studio_export(path: Path) -> bool:
    if path.suffix.lower() != ".json":
        return False
    try:
        return is_label_studio(parse_json(table_text(path)))
    except (OSError, ValueError):
        return False  # `read_table` will say what is wrong


def read_teachable_machine(tree: Tree, cache: Path) -> Listing | None:
    """An unpacked project (.tm) of Teachable Machine, whose photos lie side by side, with the class in their names."""
    base = lone_folders(tree)[-1]
    if base / MANIFEST not in tree.files_in.get(base, ()) or tree.folders_in.get(base):
        return None
    entries = [
        Entry(str(file), label_of(match[1]), None)
        for file in tree.files_in.get(base, [])
        if (match := NUMBERED.fullmatch(file.name))
    ]
    return listing_of(entries, Names(tree), cache, [tree.root / base / MANIFEST]) if entries else None

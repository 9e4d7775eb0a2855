"""Exports of labelling tools: Label Studio, Teachable Machine, and lists that lie in the folders they describe."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from lenslet.config.train import ListParams
from lenslet.dataset.folders import label_of, split_of
from lenslet.dataset.lists import Entry, Names, entries_of, listing_of
from lenslet.dataset.photos import DatasetError, Listing
from lenslet.dataset.tables import read_table
from lenslet.dataset.walk import Tree
from lenslet.inference.json_text import parse_json

# Hugging Face's imagefolder and Roboflow's "multi-label classification": one in each split folder, or one for all.
LIST_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet", "_classes.csv")
MANIFEST = "manifest.json"
UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts it before the names of uploaded files


def is_label_studio(path: Path) -> bool:
    """Whether the file is a JSON export of Label Studio: a list of tasks with their annotations."""
    if path.suffix.lower() != ".json":
        return False
    try:
        content = parse_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return False  # `read_table` will say what is wrong
    first = content[0] if isinstance(content, list) and content else None
    return (
        isinstance(first, dict) and "data" in first and {"annotations", "completions"} & first.keys() != set()
    )


def read_label_studio(path: Path, names: Names, cache: Path) -> Listing:
    """The photos of an export, each with the choice of its last annotation that was not cancelled."""
    tasks = parse_json(path.read_text(encoding="utf-8-sig"))
    entries = [Entry(_image_of(task, names), label_of(_choice_of(task)), None) for task in tasks]
    listing = listing_of(entries, names, cache, lists=[path])
    return replace(listing, left_out=listing.left_out + names.tree.left_out)


def _choice_of(task: Mapping[str, Any]) -> str:
    """The label of a task; empty if it was skipped, not annotated, or has several."""
    annotations = task.get("annotations") or task.get("completions") or []
    made = [each for each in annotations if not each.get("was_cancelled")]
    results = made[-1].get("result", []) if made else []
    choices = [choice for each in results for choice in each.get("value", {}).get("choices", ())]
    return choices[0] if len(choices) == 1 else ""


def _image_of(task: Mapping[str, Any], names: Names) -> str:
    """URL or name of a task's photo, as it is called on this disk."""
    values = {key: value for key, value in task["data"].items() if isinstance(value, str)}
    image = next((values[key] for key in ("image", "img", "photo", "url") if key in values), "")
    image = image or next(iter(values.values()), "")
    link = urlsplit(image)
    if link.path.endswith("/data/local-files/"):  # a file of local storage: its path is in the query
        return parse_qs(link.query).get("d", [""])[0]
    if not image.startswith(("/data/", "data/")):
        return image
    name = unquote(PurePath(link.path).name)
    return name if names.find(name, None) else UPLOAD_PREFIX.sub("", name)


def inner_lists(tree: Tree, base: PurePath) -> list[PurePath]:
    """Lists that describe the folder they lie in, and have a label column: in `base` or in its split folders."""
    folders = [base, *(each for each in tree.folders_in.get(base, []) if split_of(each.name))]
    found = [file for folder in folders for file in tree.files_in.get(folder, []) if file.name in LIST_NAMES]
    return [file for file in found if _is_about_labels(tree.root / file)]


def read_inner_lists(tree: Tree, base: PurePath, params: ListParams, cache: Path) -> Listing:
    """`<split>/metadata.csv` or `<split>/_classes.csv`, with paths relative to the list."""
    entries: list[Entry] = []
    notes: list[str] = []
    files = inner_lists(tree, base)
    for file in files:
        folder = file.parent
        split = split_of(folder.name) if folder != base else None
        some, said = entries_of(read_table(tree.root / file), params, str(tree.root / file), split)
        entries += [_below(folder, each) for each in some]
        notes += said
    lists = [tree.root / file for file in files]
    return listing_of(entries, Names(tree), cache, lists=lists, notes=notes)


def _is_about_labels(path: Path) -> bool:
    """Hugging Face also keeps captions and boxes in such lists."""
    try:
        entries_of(read_table(path), ListParams(), str(path))
    except DatasetError:
        return False
    return True


def _below(folder: PurePath, entry: Entry) -> Entry:
    if isinstance(entry.image, bytes) or not entry.image or "://" in entry.image:
        return entry
    return Entry(str(folder / entry.image), entry.label, entry.split, entry.group)


def is_teachable_machine(tree: Tree, base: PurePath) -> bool:
    """Whether the folder is an unpacked project (.tm) of Teachable Machine whose photos lie side by side."""
    return base / MANIFEST in tree.files and not tree.folders_in.get(base)


def read_teachable_machine(tree: Tree, base: PurePath, cache: Path) -> Listing:
    """Files named `<class>-<number>.<extension>` or `<class>!<name>`."""
    entries = [
        Entry(str(file), label, None)
        for file in tree.files_in.get(base, [])
        if (label := label_of(_class_before_number(file.name)))
    ]
    return listing_of(entries, Names(tree), cache, lists=[tree.root / base / MANIFEST])


def _class_before_number(name: str) -> str:
    match = re.fullmatch(r"(.+?)(?:!.*|[-_ ]\d+\.\w+)", name)
    return match[1] if match else ""

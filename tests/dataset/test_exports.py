"""Exports of labelling tools, as these write them."""

import json
from pathlib import Path
from typing import Any

import pytest

from lenslet.dataset.layouts import find_photos
from tests.dataset.test_layouts import assert_books_balance, counts, found, left_out, write


def task(image: str, *choices: str, **others: Any) -> dict[str, Any]:
    """A task of Label Studio 1.23, with one annotation."""
    result = [{"type": "choices", "from_name": "label", "to_name": "image", "value": {"choices": [*choices]}}]
    annotation = {"id": 1, "was_cancelled": False, "result": result if choices else []} | others
    return {"id": 1, "data": {"image": image}, "annotations": [annotation]}


def test_label_studio_export(tmp_path: Path) -> None:
    files = ("a.jpg", "photos/b.jpg", "0123abcd-c.jpg", "d.jpg", "e.jpg", "f.jpg", "g.jpg")
    write(tmp_path, *files)
    twice = task("/data/upload/1/0123abcd-g.jpg", "dog")
    twice["annotations"].append(task("", "cat")["annotations"][0])
    tasks = [
        task("/data/upload/1/89abcdef-a.jpg", "cat"),  # the prefix is Label Studio's
        task("/data/local-files/?d=photos/b.jpg", "dog"),
        task("/data/upload/1/0123abcd-c.jpg", "cat"),  # the name begins like such a prefix
        task("d.jpg"),
        task("e.jpg", "cat", was_cancelled=True),
        task("f.jpg", "cat", "dog"),
        twice,
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    listing = find_photos(tmp_path / "export.json")
    assert found(listing) == {
        "a.jpg": ("cat", None),
        "photos/b.jpg": ("dog", None),
        "0123abcd-c.jpg": ("cat", None),
        "g.jpg": ("cat", None),
    }
    assert left_out(listing) == dict.fromkeys(("d.jpg", "e.jpg", "f.jpg"), "no label")
    assert listing.layout == "Label Studio export"


def test_label_studio_export_in_short(tmp_path: Path) -> None:
    """JSON_MIN, which is a list like others."""
    write(tmp_path, "a.jpg", "b.jpg")
    rows = [{"image": "a.jpg", "choice": "cat", "id": 1}, {"image": "b.jpg", "choice": "dog", "id": 2}]
    (tmp_path / "export.json").write_text(json.dumps(rows))
    assert found(find_photos(tmp_path / "export.json")) == {"a.jpg": ("cat", None), "b.jpg": ("dog", None)}


@pytest.mark.parametrize(
    ("name", "header", "cells"),
    [
        ("_classes.csv", "filename, cat, dog", ("1, 0", "0, 1")),  # Roboflow
        ("metadata.csv", "file_name,label", ("cat", "dog")),  # Hugging Face
    ],
)
def test_list_in_each_split_folder(name: str, header: str, cells: tuple[str, str], tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        write(tmp_path / split, "1.jpg", "2.jpg")
        (tmp_path / split / name).write_text(f"{header}\n1.jpg,{cells[0]}\n2.jpg,{cells[1]}\n")
    listing = find_photos(tmp_path)
    expected = {(split, label): 1 for split in ("train", "validation", "test") for label in ("cat", "dog")}
    assert counts(listing) == expected
    assert listing.layout == "lists in folders (Hugging Face, Roboflow)"
    assert listing.left_out == ()


def test_metadata_at_the_top_and_metadata_without_labels(tmp_path: Path) -> None:
    write(tmp_path, "train/1.jpg", "train/2.jpg")
    rows = [{"file_name": "train/1.jpg", "label": "cat"}, {"file_name": "train/2.jpg", "label": "dog"}]
    (tmp_path / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    assert found(find_photos(tmp_path)) == {"train/1.jpg": ("cat", None), "train/2.jpg": ("dog", None)}

    folder = write(tmp_path / "captions", "cat/1.jpg", "dog/2.jpg")
    (folder / "metadata.csv").write_text("file_name,text\ncat/1.jpg,a cat\n")
    assert found(find_photos(folder)) == {"cat/1.jpg": ("cat", None), "dog/2.jpg": ("dog", None)}
    assert_books_balance(find_photos(folder))


def test_teachable_machine_project(tmp_path: Path) -> None:
    write(
        tmp_path,
        "manifest.json",
        "Class 1-0.jpg",
        "Class 1-1.jpg",
        "my-dog-10.png",
        "sample!7.jpg",
        "odd.jpg",
    )
    listing = find_photos(tmp_path)
    assert counts(listing) == {(None, "Class 1"): 2, (None, "my-dog"): 1, (None, "sample"): 1}
    assert left_out(listing) == {"odd.jpg": "unlisted"}

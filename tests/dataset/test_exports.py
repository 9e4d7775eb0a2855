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


def test_damaged_tasks_of_label_studio(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    tasks: list[Any] = [task("a.jpg", "cat"), task("b.jpg", "dog"), task("c.jpg", "cat", result=None)]
    tasks += [{"id": 1, "annotations": []}, {"id": 2, "data": None, "annotations": None}, {"id": 3}]
    tasks += [
        {"data": {"image": "d.jpg"}, "annotations": [{"result": [{"value": {"choices": None}}, None]}, None]}
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    listing = find_photos(tmp_path / "export.json")
    assert found(listing) == {"a.jpg": ("cat", None), "b.jpg": ("dog", None)}
    assert left_out(listing) == {"c.jpg": "no label", "d.jpg": "no label", ".": "missing"}
    assert len(listing.left_out) == 5


@pytest.mark.parametrize("name", ["export.json", "export.csv"])
def test_label_studio_short_exports_have_upload_prefixes(name: str, tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "my photos/b 1.jpg")
    if name.endswith("csv"):
        text = "annotator,choice,image\n1,cat,/data/upload/1/0123abcd-a.jpg\n1,dog,/data/upload/1/89abcdef-b%201.jpg\n"
    else:
        rows = [
            ("cat", "/data/upload/1/0123abcd-a.jpg"),
            ("dog", "/data/local-files/?d=my%20photos/b%201.jpg"),
        ]
        text = json.dumps([{"image": image, "choice": label, "id": 1} for label, image in rows])
    (tmp_path / name).write_text(text)
    assert found(find_photos(tmp_path / name)) == {"a.jpg": ("cat", None), "my photos/b 1.jpg": ("dog", None)}


def test_coco(tmp_path: Path) -> None:
    """A photo whose boxes are of one category has that label."""
    write(tmp_path, "train/1.jpg", "train/2.jpg", "train/3.jpg", "train/4.jpg")
    content = {
        "images": [{"id": number, "file_name": f"{number}.jpg"} for number in (1, 2, 3, 4)],
        "categories": [{"id": 7, "name": "cat"}, {"id": 8, "name": "dog"}],
        "annotations": [{"image_id": image, "category_id": category, "bbox": [0, 0, 1, 1]}
                        for image, category in ((1, 7), (1, 7), (2, 8), (3, 7), (3, 8))],
    }  # fmt: skip
    (tmp_path / "train" / "_annotations.coco.json").write_text(json.dumps(content))
    for place in (tmp_path, tmp_path / "train" / "_annotations.coco.json"):
        listing = find_photos(place)
        assert [(photo.path.name, photo.label) for photo in listing.photos] == [
            ("1.jpg", "cat"),
            ("2.jpg", "dog"),
        ]
        assert {each.path.name: each.detail for each in listing.left_out} == {
            "3.jpg": "the list has several: cat, dog",
            "4.jpg": "the list has none for it",
        }


def test_edge_impulse(tmp_path: Path) -> None:
    write(tmp_path, "training/a.jpg", "testing/b.jpg")
    files = [{"path": f"{path}.jpg", "category": path.split("/")[0], "label": {"type": "label", "label": label}}
             for path, label in (("training/a", "cat"), ("testing/b", "dog"))]  # fmt: skip
    (tmp_path / "info.labels").write_text(json.dumps({"version": 1, "files": files}))
    for place in (tmp_path, tmp_path / "info.labels"):
        assert {photo.path.name: photo.label for photo in find_photos(place).photos} == {
            "a.jpg": "cat",
            "b.jpg": "dog",
        }


def test_metadata_of_few_photos_leaves_the_folders_to_be_read(tmp_path: Path) -> None:
    write(tmp_path, "train/cat/1.jpg", "train/dog/2.jpg")
    (tmp_path / "metadata.csv").write_text("file_name,label\ntrain/cat/1.jpg,cat\n")
    assert counts(find_photos(tmp_path)) == {("train", "cat"): 1, ("train", "dog"): 1}


def test_label_studio_csv_with_several_choices(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    rows = 'a.jpg,"{""choices"": [""cat"", ""dog""]}"\nb.jpg,dog\nc.jpg,cat\n'
    (tmp_path / "export.csv").write_text(f"image,choice\n{rows}")
    listing = find_photos(tmp_path / "export.csv")
    assert found(listing) == {"b.jpg": ("dog", None), "c.jpg": ("cat", None)}
    assert listing.left_out[0].detail == "the list has several: cat, dog"

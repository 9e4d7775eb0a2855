"""Annotations as a list: every task is a row or has a reason, and pulling twice changes nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from lenslet.config.train import ListParams
from lenslet.dataset.lists import read_photo_list
from lenslet.inference.errors import InputError
from lenslet.labelling.annotations import Pulled, Row, merge_into, read_export_storage, read_list, read_tasks


def annotation(
    label: str | None, annotator: int = 1, updated: str = "2026-11-20T12:00:00Z"
) -> dict[str, Any]:
    result = [{"type": "choices", "value": {"choices": [label]}}] if label else []
    return {
        "result": result,
        "completed_by": annotator,
        "updated_at": updated,
        "was_cancelled": label is None,
    }


def task(path: str, *annotations: dict[str, Any]) -> dict[str, Any]:
    return {"id": len(path), "data": {"path": path, "image": "/data/x"}, "annotations": list(annotations)}


def test_one_row_a_photo() -> None:
    later = annotation("dog", 1, "2026-11-21T12:00:00Z")
    found = read_tasks(
        [
            task("a.jpg", annotation("cat")),
            task("b.jpg", annotation("cat", 1), later),
            task("c.jpg", annotation("cat", 1), annotation("cat", 2), annotation("dog", 3)),
            task("d.jpg", annotation("cat", 1), annotation("dog", 2)),
            task("e.jpg", annotation(None)),
            task("f.jpg"),
        ],
        "scenes",
    )
    assert found.rows == (
        Row("a.jpg", "cat", "1", "2026-11-20T12:00:00Z", 1.0, "scenes"),
        Row("b.jpg", "dog", "1", "2026-11-21T12:00:00Z", 1.0, "scenes"),
        Row("c.jpg", "cat", "1 2 3", "2026-11-20T12:00:00Z", pytest.approx(2 / 3), "scenes"),
    )
    assert found.left_out == {"conflict": ("d.jpg",), "skipped": ("e.jpg",), "not annotated": ("f.jpg",)}
    assert found.tasks == len(found.rows) + sum(map(len, found.left_out.values()))


def test_annotator_with_an_address() -> None:
    given = annotation("cat") | {"completed_by": {"id": 4, "email": "a@example.org"}}
    [row] = read_tasks([task("a.jpg", given)], "scenes").rows
    assert row.annotator == "a@example.org"


def test_pulling_twice_gives_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    found = read_tasks([task("b.jpg", annotation("cat")), task("a, b.jpg", annotation("dog"))], "scenes")
    assert merge_into(path, found, "scenes") == 2
    first = path.read_bytes()
    assert merge_into(path, found, "scenes") == 2
    assert path.read_bytes() == first
    assert [row.image for row in read_list(path)] == ["a, b.jpg", "b.jpg"]


def test_other_projects_stay_and_corrections_replace(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    merge_into(path, read_tasks([task("a.jpg", annotation("cat"))], "one"), "one")
    merge_into(path, read_tasks([task("a.jpg", annotation("dog"))], "two"), "two")
    merge_into(path, read_tasks([task("a.jpg", annotation("cow"))], "two"), "two")
    assert [(row.project, row.label) for row in read_list(path)] == [("one", "cat"), ("two", "cow")]


def test_foreign_csv_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("id,label\n1,cat\n", encoding="utf-8")
    with pytest.raises(InputError, match="is no list of annotations"):
        merge_into(path, read_tasks([task("a.jpg", annotation("cat"))], "one"), "one")
    assert path.read_text(encoding="utf-8") == "id,label\n1,cat\n"


def test_export_storage_has_an_object_an_annotation() -> None:
    content = [annotation("cat", 1) | {"task": {"id": 7, "data": {"image": "s3://b/a.jpg"}}}]
    content.append(annotation("cat", 2) | {"task": {"id": 7, "data": {"image": "s3://b/a.jpg"}}})
    [row] = read_tasks(read_export_storage(json.dumps(each).encode() for each in content), "scenes").rows
    assert (row.image, row.annotator) == ("s3://b/a.jpg", "1 2")


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xd8\xff\xe0 a photo", b"[]", b"5", b"{}", b'{"task": 5}', b'{"task": {"id": "x"}}',
        b'{"task": {"id": 7}}',
        b'{"task": {"id": 7, "data": []}}', b'{"task": {"id": 7, "data": {"photo": "a.jpg"}}}',
        b'{"task": {"id": 7, "data": {"image": "a.jpg"}}, "result": 5}',
        b'{"task": {"id": 7, "data": {"image": "a.jpg"}}, "result": [5]}',
        b'{"task": {"id": 7, "data": {"image": "a.jpg"}}, "result": [{"value": {"choices": "sea"}}]}',
    ],
)  # fmt: skip
def test_other_objects_of_an_export_storage_are_one_sentence(content: bytes) -> None:
    with pytest.raises(InputError, match=r"is no annotation of Label Studio|is no choice of a label"):
        read_tasks(read_export_storage([content]), "scenes")


def test_skipped_task_may_have_null_for_its_result() -> None:
    skipped = {"result": None, "was_cancelled": True}
    assert read_tasks([task("a.jpg", skipped)], "scenes").left_out == {"skipped": ("a.jpg",)}


def test_list_runs_in_no_spreadsheet_and_is_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    (tmp_path / "=1.jpg").write_bytes(b"")
    row = Row("=1.jpg", "@cat", "-7", "2026-11-28", 1.0, "+project")
    merge_into(path, Pulled(1, (row,), {}), "+project")
    assert path.read_text(encoding="utf-8").splitlines()[1] == "'=1.jpg,'@cat,-7,2026-11-28,1.00,'+project"
    assert read_list(path) == [row]
    [photo] = read_photo_list(path, ListParams(), tmp_path / "cache").photos
    assert (photo.path.name, photo.label) == ("=1.jpg", "@cat")


def test_damaged_list_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("image,label,annotator,date,agreement,project\na.jpg,cat\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"labels\.csv is damaged in line 2"):
        read_list(path)

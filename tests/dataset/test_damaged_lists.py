"""Lists and exports with parts replaced or missing: each is read or refused in one sentence."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from lenslet.dataset.layouts import find_photos
from lenslet.dataset.photos import DatasetError

EXPORTS: dict[str, Any] = {
    "Label Studio": [
        {"data": {"image": "a.jpg"}, "annotations": [{"result": [{"value": {"choices": ["cat"]}}]}]},
        {"data": {"image": "b.jpg"}, "annotations": [{"result": [{"value": {"choices": ["dog"]}}]}]},
    ],
    "COCO": {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": [{"image_id": 1, "category_id": 1}, {"image_id": 2, "category_id": 2}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    },
    "Edge Impulse": {
        "files": [{"path": "a.jpg", "label": {"label": "cat"}}, {"path": "b.jpg", "label": {"label": "dog"}}]
    },
    "SageMaker": [
        {"source-ref": "a.jpg", "kind-metadata": {"class-name": "cat"}},
        {"source-ref": "b.jpg", "kind-metadata": {"class-name": "dog"}},
    ],
    "FiftyOne": {"classes": ["cat", "dog"], "labels": {"a": 0, "b": 1}},
    "VIA": {
        "a9": {"filename": "a.jpg", "file_attributes": {"kind": "cat"}},
        "b9": {"filename": "b.jpg", "file_attributes": {"kind": "dog"}},
    },
    "by name": {"a.jpg": "cat", "b.jpg": "dog"},
    "by label": {"cat": ["a.jpg"], "dog": ["b.jpg"]},
    "by split": {"train": [{"image": "a.jpg", "label": "cat"}], "test": [{"image": "b.jpg", "label": "dog"}]},
}
OTHERS = (None, True, 0, -1, 1.5, float("nan"), "", "\0", "%zz", "//[", "/data/upload/[", "~", "..", [], {}, [[]],
          {"id": {}}, ["a", None], {"label": ["a"]}, "a" * 5000, '["a"', "{1", "\ud800")  # fmt: skip


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value in parsed JSON."""
    if path:
        yield path
    inner = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    for key, value in inner:
        yield from places(value, (*path, key))


@pytest.mark.parametrize("name", EXPORTS)
def test_every_value_may_be_another(name: str, tmp_path: Path) -> None:
    for photo in ("a.jpg", "b.jpg"):
        (tmp_path / photo).touch()
    path = tmp_path / "list.json"
    path.write_text(json.dumps(EXPORTS[name]))
    assert sorted(photo.label for photo in find_photos(path).photos) == ["cat", "dog"]
    random = Random(name)
    for way in places(EXPORTS[name]):
        for other in random.sample(OTHERS, 8):
            content = json.loads(json.dumps(EXPORTS[name]))
            inner = content
            for key in way[:-1]:
                inner = inner[key]
            inner[way[-1]] = other
            path.write_text(json.dumps(content))
            try:
                find_photos(path)
            except DatasetError as error:
                assert "\n" not in str(error)

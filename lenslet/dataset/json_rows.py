"""Rows of a JSON list, in the forms that labelling tools and clouds write: each a mapping of column to value."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from lenslet.dataset.split_names import split_of

Row = dict[str, Any]
IMAGE_KEYS = ("image", "img", "photo", "url")  # of the data of a task in Label Studio
LABEL_KEYS = ("label", "class-name", "displayName", "name")  # of an object that stands for a label


def rows_of(content: Any) -> list[Row]:
    """The rows in parsed JSON. Raises: ValueError if none of FORMS fits."""
    for form in FORMS:
        rows = form(content)
        if rows is not None:
            return rows
    raise ValueError("it must hold objects, one for each photo")


def is_label_studio(content: Any) -> bool:
    """Whether this is a JSON export of Label Studio: a list of tasks with their annotations."""
    return isinstance(content, list) and any(_is_task(each) for each in content[:100])


def flattened(row: Mapping[Any, Any]) -> Row:
    """The row with what is said in objects of it: the label of `{"label": {"name": "cat"}}`."""
    found: Row = {}
    for name, value in row.items():
        if not isinstance(value, dict):
            found[str(name)] = value
            continue
        key = next((key for key in LABEL_KEYS if key in value), None)
        if key is None and len(value) == 1:  # `file_attributes` of VIA
            [key] = value
        found[str(name)] = value if key is None else value[key]
        if use := [each for key, each in value.items() if str(key).endswith("ml_use")]:  # Vertex AI
            found["split"] = use[0]
    for value in row.values():  # SageMaker Ground Truth has a number beside it
        if isinstance(value, dict) and "class-name" in value:
            found["label"] = value["class-name"]
    return found


def _label_studio(content: Any) -> list[Row] | None:
    if not is_label_studio(content):
        return None
    return [{"image": _image_of(task), "label": _choices_of(task)} for task in content]


def _is_task(task: Any) -> bool:
    return isinstance(task, dict) and "data" in task and {"annotations", "completions"} & task.keys() != set()


def _image_of(task: Any) -> str:
    """URL or path of a task's photo; empty if it has none."""
    data = task.get("data") if isinstance(task, dict) else None
    values = (
        {key: each for key, each in data.items() if isinstance(each, str)} if isinstance(data, dict) else {}
    )
    usual = next((values[key] for key in IMAGE_KEYS if key in values), "")
    return usual or next(iter(values.values()), "")


def _choices_of(task: Any) -> list[str]:
    """Those of the last annotation that was not cancelled."""
    if not isinstance(task, dict):
        return []
    made = [
        each
        for each in _list(task.get("annotations") or task.get("completions"))
        if isinstance(each, dict) and not each.get("was_cancelled")
    ]
    results = _list(made[-1].get("result")) if made else []
    values = [each.get("value") for each in results if isinstance(each, dict)]
    return [str(choice) for each in values if isinstance(each, dict) for choice in _list(each.get("choices"))]


def _coco(content: Any) -> list[Row] | None:
    """COCO: boxes or labels of photos by number; a photo with boxes of one category has that label."""
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= content.keys():
        return None
    # Numbers as text: they may be anything in a damaged file.
    names = {str(each.get("id")): each.get("name") for each in _objects(content["categories"])}
    labels: dict[str, dict[str, None]] = defaultdict(dict)
    for each in _objects(content["annotations"]):
        name = names.get(str(each.get("category_id")))
        if name is not None:
            labels[str(each.get("image_id"))][str(name)] = None
    return [
        {"image": each.get("file_name"), "label": [*labels[str(each.get("id"))]]}
        for each in _objects(content["images"])
    ]


def _objects_in_list(content: Any) -> list[Row] | None:
    """A list of objects, or the only one in an object, as `files` of Edge Impulse."""
    if isinstance(content, dict):
        lists = [each for each in content.values() if isinstance(each, list) and _objects(each)]
        content = lists[0] if len(lists) == 1 else None
    is_list = isinstance(content, list) and all(isinstance(row, dict) for row in content)
    return [flattened(row) for row in content] if is_list else None


def _lists_of_splits(content: Any) -> list[Row] | None:
    """`{"train": [{"image": "a.jpg", "label": "cat"}, …], "test": […]}`."""
    if not isinstance(content, dict) or len(content) < 2 or not all(split_of(str(name)) for name in content):
        return None
    if not all(_objects(rows) == rows for rows in content.values()):
        return None
    return [flattened(row) | {"split": name} for name, rows in content.items() for row in rows]


def _label_by_name(content: Any) -> list[Row] | None:
    """`{"a.jpg": "cat", …}`, or `{"a.jpg": {"label": "cat"}, …}`; FiftyOne has numbers, and names of classes beside."""
    if isinstance(content, dict) and isinstance(content.get("labels"), dict):
        classes, labels = _list(content.get("classes")), content["labels"]
        numbers = [label for label in labels.values() if isinstance(label, int)]
        if len(numbers) == len(labels) and all(0 <= number < len(classes) for number in numbers):
            return [{"image": name, "label": str(classes[number])} for name, number in labels.items()]
        content = labels
    if not isinstance(content, dict) or len(content) < 2:
        return None
    if all(isinstance(value, str | int) for value in content.values()):
        return [{"image": name, "label": label} for name, label in content.items()]
    if all(isinstance(value, dict) for value in content.values()):
        return [flattened({"id": name, **value}) for name, value in content.items()]
    return None


def _names_by_label(content: Any) -> list[Row] | None:
    """`{"cat": ["a.jpg", …], "dog": […]}`."""
    if not isinstance(content, dict) or len(content) < 2 or all(split_of(str(name)) for name in content):
        return None
    if not all(isinstance(names, list) for names in content.values()):
        return None
    pairs = [(name, label) for label, names in content.items() for name in names]
    are_names = all(isinstance(name, str) for name, _ in pairs)
    return [{"image": name, "label": label} for name, label in pairs] if are_names else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _objects(value: Any) -> list[Row]:
    return [each for each in _list(value) if isinstance(each, dict)]


FORMS: tuple[Callable[[Any], list[Row] | None], ...] = (
    _label_studio,
    _coco,
    _lists_of_splits,
    _objects_in_list,
    _label_by_name,
    _names_by_label,
)

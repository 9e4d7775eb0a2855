"""JSON of files that anybody may have written."""

import json
from collections.abc import Callable
from typing import Any


def parse_json(
    text: str | bytes, object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> Any:
    """As `json.loads`. Raises: ValueError also for thousands of nested brackets."""
    try:
        return json.loads(text, object_pairs_hook=object_pairs_hook)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def has_shape(value: Any, shape: Any) -> bool:
    """Whether parsed JSON is of this shape.

    `shape`: `str`; `float`, for any number that a float can hold; `[shape]`, for a list; `{str: shape}`, for an object.
    """
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(has_shape(each, shape[str]) for each in value.values())
    if isinstance(shape, list):
        return isinstance(value, list) and all(has_shape(each, shape[0]) for each in value)
    if shape is float:
        return type(value) is float or (type(value) is int and abs(value) < 2**63)
    return type(value) is shape

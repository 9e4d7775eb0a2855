"""JSON documents that somebody has tampered with: each value, at any depth, replaced by odd ones."""

import copy
import json
from collections.abc import Iterator
from typing import Any

ODD: tuple[Any, ...] = (
    None,
    "",
    [],
    {},
    -1,
    0,
    float("nan"),
    float("inf"),
    10**30,
    True,
    {"a": 1},
    [None, None],
    [[]],
    "\x1b[31m",
    "\ud800",
)


def tampered(document: Any) -> Iterator[str]:
    """Texts, each with one value replaced, removed, or accompanied by one that was not there."""
    for place in _places(document):
        for odd in ODD:
            yield json.dumps(
                _changed(document, place, lambda parent, key, odd=odd: parent.__setitem__(key, odd))
            )
        if place:
            yield json.dumps(_changed(document, place, lambda parent, key: parent.__delitem__(key)))
    if isinstance(document, dict):
        yield json.dumps({**document, "odd": 1})


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from _places(value[key], (*place, key))


def _changed(document: Any, place: tuple[Any, ...], change: Any) -> Any:
    holder = copy.deepcopy([document])
    parent: Any = holder
    key: Any = 0
    for step in place:
        parent, key = parent[key], step
    change(parent, key)
    return holder[0]

"""Parsed YAML or JSON → frozen dataclasses: types, ranges, and a sentence for each thing that is wrong."""

import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from difflib import get_close_matches
from reprlib import Repr
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from lenslet.inference.errors import InputError


class ParamsError(InputError):
    """A key of `params.yaml` is unknown, missing, or has a value that is not allowed."""


@dataclass(frozen=True)
class Range:
    """Both ends are allowed."""

    low: float
    high: float


Seed = Annotated[int, Range(0, 2**32 - 1)]  # what every library's generator takes
Count = Annotated[int, Range(1, 1_000_000)]
Share = Annotated[float, Range(0, 1)]
ShareLimit = Annotated[float | None, Range(0, 1)]  # None: no limit
Fraction = Annotated[float, Range(0, 0.95)]  # of something that must not vanish
LearningRate = Annotated[float, Range(1e-9, 100)]

# Keys of version 0.1.0 → their names since 0.2.0; each keeps its place in its section.
RENAMED = {
    "judges_at_least": "min_validation_photos",
    "steps_at_least": "min_steps_per_epoch",
    "mixup_from": "mixup_min_photos",
    "slower_allowed": "max_slowdown",
    "accuracy_loss_allowed": "max_accuracy_loss",
    "agreement_required": "min_agreement",
    "familiar_share": "ood_true_positive_rate",
    "worst_recall": "min_recall",
    "ladder_photos": "corruption_photos",
    "at_least": "min",
    "at_most": "max",
}


SHORT = Repr()
SHORT.maxlevel, SHORT.maxdict, SHORT.maxlist, SHORT.maxstring, SHORT.maxother = 2, 6, 6, 60, 60


def shown(value: object) -> str:
    """A value for an error's sentence, however large or deep it is."""
    return SHORT.repr(value)


def parse_params(content: Any, kind: Any, key: str = "") -> Any:
    """Make a value of type `kind` (dataclasses, tuples, literals, unions and plain types) from parsed YAML or JSON.

    A number is not negative, and within the Range that annotates its type, if one does.
    Raises: ParamsError, naming the dotted `key` and what is allowed there.
    """
    if get_origin(kind) is Annotated:
        kind, allowed = get_args(kind)
        number = parse_params(content, kind, key)
        if isinstance(number, int | float) and not allowed.low <= number <= allowed.high:
            raise ParamsError(f"{key} must be from {allowed.low:g} to {allowed.high:g}, not {shown(content)}")
        return number
    if is_dataclass(kind):
        return _parse_dataclass(content, kind, key)
    if get_origin(kind) is Mapping:
        return _parse_mapping(content, get_args(kind)[1], key)
    if get_origin(kind) is tuple:
        if not isinstance(content, list) or not content:
            raise ParamsError(f"{key} must be a list, not {shown(content)}")
        return tuple(parse_params(each, get_args(kind)[0], key) for each in content)
    if type(content) is int and abs(content) >= 2**63:  # Python prints no number of thousands of digits
        raise ParamsError(f"{key} must be a number of at most 18 digits")
    if (kind is float or float in get_args(kind)) and type(content) is int:
        content = float(content)
    if not _fits(content, kind):
        raise ParamsError(f"{key} must be {_allowed(kind)}, not {shown(content)}")
    if isinstance(content, int | float) and not 0 <= content < math.inf:
        raise ParamsError(f"{key} must be a number from 0 on, not {shown(content)}")
    return content


def _parse_mapping(content: Any, kind: Any, key: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ParamsError(f"{key} must hold names and values, not {content!r}")
    return {str(name): parse_params(each, kind, f"{key}.{name}") for name, each in content.items()}


def _parse_dataclass(content: Any, kind: Any, key: str) -> Any:
    known = [each.name for each in fields(kind)]
    if not isinstance(content, dict):
        raise ParamsError(f"{key or 'the file'} must hold {', '.join(known)}, not {shown(content)}")
    prefix = f"{key}." if key else ""
    for name in content:
        if name not in known:
            raise ParamsError(f"{prefix}{name} {_remedy(str(name), known)}")
    optional = [
        each.name for each in fields(kind) if (each.default, each.default_factory) != (MISSING, MISSING)
    ]
    for name in known:
        if name not in content and name not in optional:
            raise ParamsError(f"{prefix}{name} is missing")
    hints = get_type_hints(kind, include_extras=True)
    return kind(**{name: parse_params(content[name], hints[name], prefix + name) for name in content})


def _remedy(name: str, known: Sequence[str]) -> str:
    """The remedy for an unknown key."""
    if RENAMED.get(name) in known:
        return f"is called {RENAMED[name]} since version 0.2.0"
    if close := get_close_matches(name, known, n=1):
        return f"is not a known key; did you mean {close[0]}?"
    return f"is not a known key; known here: {', '.join(known)}"


def _fits(content: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return content in get_args(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return any(_fits(content, each) for each in get_args(kind))
    return type(content) is kind


def _allowed(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " | ".join(str(each) for each in get_args(kind))
    if get_origin(kind) in (Union, types.UnionType):
        return " | ".join(_allowed(each) for each in get_args(kind))
    return {
        int: "a whole number",
        float: "a number",
        str: "text",
        bool: "true or false",
        types.NoneType: "null",
    }[kind]

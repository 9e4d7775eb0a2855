"""`--set section.key=value`: values of `params.yaml` replaced for one run, typed as in the file."""

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import is_dataclass
from difflib import get_close_matches
from typing import Any, get_args, get_origin, get_type_hints

from lenslet.config.gate import remove_own_limits
from lenslet.config.parsing import RENAMED, ParamsError, shown
from lenslet.config.yaml_text import load_yaml

ANY_NAME = "NAME"  # in a dotted key: a name that the file gives, as that of a model


def with_overrides(content: dict[str, Any], overrides: Sequence[str], kind: type) -> dict[str, Any]:
    """A copy of the checked `content` with the values of `overrides`, each "section.key=value".

    A value is read as YAML, as it is in the file: 3, 1e-4, all, null, [float16, int8]. `kind` is the dataclass that
    the content will be parsed into; its keys are those that can be set. A limit of `gate` replaces those that models
    have of their own.
    Raises: ParamsError for an unknown key, naming the likely one, and for a value that is not YAML.
    """
    keys = list(dotted_keys(kind))
    changed = deepcopy(content)
    for override in overrides:
        key, equals, text = override.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ParamsError(f"--set takes section.key=value, not {override!r}")
        if not text.strip():  # as of a variable that is not set: no limit would be the other meaning
            raise ParamsError(f"--set {override} has no value (null is written out)")
        path = _path_of(key, keys)
        if not path:
            raise ParamsError(f"--set {override}: {key} is not a key of params.yaml{_hint(key, keys)}")
        section: Any = changed
        *parents, name = path
        for parent in parents:
            section = section.setdefault(parent, {})
            if not isinstance(section, dict):
                raise ParamsError(f"--set {override}: {parent} is {shown(section)}, which holds no keys")
        section[name] = _read_value(override, text)
        remove_own_limits(changed, path)
    return changed


def dotted_keys(kind: Any, prefix: str = "") -> Iterator[str]:
    """Every key of a dataclass and of the dataclasses and mappings in it: train, train.seed, gate.models.NAME.min, …"""
    if get_origin(kind) is Mapping:
        yield prefix + ANY_NAME
        yield from dotted_keys(get_args(kind)[1], f"{prefix}{ANY_NAME}.")
    if is_dataclass(kind) and isinstance(kind, type):
        for name, hint in get_type_hints(kind).items():
            yield prefix + name
            yield from dotted_keys(hint, f"{prefix}{name}.")


def _path_of(key: str, keys: Sequence[str]) -> list[str]:
    """The parts of a dotted key that is one of `keys`; none if it is not. A name in it may hold dots."""
    for known in keys:
        parts = [f"({re.escape(part) if part != ANY_NAME else '.+'})" for part in known.split(".")]
        if known.endswith(ANY_NAME):
            parts[-1] = r"([^.]+)"
        if found := re.fullmatch(r"\.".join(parts), key):
            return list(found.groups())
    return []


def likely_keys(name: str, keys: Sequence[str]) -> list[str]:
    """The dotted keys that `name` may mean, likeliest first, at most three: its ending alone, an old name, a typo."""
    current = ".".join(RENAMED.get(part, part) for part in name.split("."))
    found = [key for key in keys if f".{key}".endswith(f".{current}")]
    found += get_close_matches(current, keys, n=1, cutoff=0.8)
    last_parts = {key.rpartition(".")[2] for key in keys}
    close = get_close_matches(current.rpartition(".")[2], last_parts, n=1, cutoff=0.8)
    found += [key for key in keys if key.rpartition(".")[2] in close]
    # A section cannot be set; that of a name, as of the backbone, mostly means the name.
    found = [f"{key}.name" if f"{key}.name" in keys else key for key in found]
    settings = [key for key in found if not any(other.startswith(f"{key}.") for other in keys)]
    return list(dict.fromkeys(settings))[:3]


def _hint(name: str, keys: Sequence[str]) -> str:
    likely = likely_keys(name, keys)
    return f"; did you mean {' or '.join(likely)}?" if likely else ""


def _read_value(override: str, text: str) -> Any:
    try:
        return load_yaml(text)
    except ValueError as error:
        raise ParamsError(f"--set {override[:60]}: the value is not valid YAML: {error}") from error

"""`--set section.key=value`: values of `params.yaml` replaced for one run, typed as in the file."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import is_dataclass
from difflib import get_close_matches
from typing import Any, get_type_hints

from lenslet.config.parsing import RENAMED, ParamsError
from lenslet.config.yaml_text import load_yaml


def with_overrides(content: dict[str, Any], overrides: Sequence[str], kind: type) -> dict[str, Any]:
    """A copy of the checked `content` with the values of `overrides`, each "section.key=value".

    A value is read as YAML, as it is in the file: 3, 1e-4, all, null, [float16, int8]. `kind` is the dataclass that
    the content will be parsed into; its keys are those that can be set.
    Raises: ParamsError for an unknown key, naming the likely one, and for a value that is not YAML.
    """
    keys = list(dotted_keys(kind))
    changed = deepcopy(content)
    for override in overrides:
        key, equals, text = override.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ParamsError(f"--set takes section.key=value, not {override!r}")
        if key not in keys:
            raise ParamsError(f"--set {override}: {key} is not a key of params.yaml{_hint(key, keys)}")
        section: Any = changed
        *parents, name = key.split(".")
        for parent in parents:
            section = section.setdefault(parent, {})
        section[name] = _read_value(override, text)
    return changed


def dotted_keys(kind: type, prefix: str = "") -> Iterator[str]:
    """Every key of a dataclass and of the dataclasses in it: train, train.seed, train.head.epochs, …"""
    for name, hint in get_type_hints(kind).items():
        yield prefix + name
        if is_dataclass(hint) and isinstance(hint, type):
            yield from dotted_keys(hint, f"{prefix}{name}.")


def likely_keys(name: str, keys: Sequence[str]) -> list[str]:
    """The dotted keys that `name` may mean, likeliest first, at most three: its ending alone, an old name, a typo."""
    current = ".".join(RENAMED.get(part, part) for part in name.split("."))
    found = [key for key in keys if f".{key}".endswith(f".{current}")]
    found += get_close_matches(current, keys, n=1, cutoff=0.8)
    last_parts = {key.rpartition(".")[2] for key in keys}
    close = get_close_matches(current.rpartition(".")[2], last_parts, n=1, cutoff=0.8)
    found += [key for key in keys if key.rpartition(".")[2] in close]
    return list(dict.fromkeys(found))[:3]


def _hint(name: str, keys: Sequence[str]) -> str:
    likely = likely_keys(name, keys)
    return f"; did you mean {' or '.join(likely)}?" if likely else ""


def _read_value(override: str, text: str) -> Any:
    try:
        return load_yaml(text)
    except ValueError as error:
        raise ParamsError(f"--set {override[:60]}: the value is not valid YAML: {error}") from error

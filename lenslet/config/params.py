"""All sections of `params.yaml`, the only home of tunable numbers: find, read and write the file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from lenslet.config.convert import ConvertParams
from lenslet.config.endpoint import EndpointParams
from lenslet.config.evaluate import EvaluateParams
from lenslet.config.gate import GateParams
from lenslet.config.overrides import with_overrides
from lenslet.config.parsing import ParamsError, parse_params
from lenslet.config.train import TrainParams
from lenslet.config.tune import TuneParams
from lenslet.config.yaml_text import load_yaml
from lenslet.inference.atomic import write_text
from lenslet.inference.elsewhere import folder_above
from lenslet.shipped import shipped

NAME = "params.yaml"


@dataclass(frozen=True)
class Params:
    train: TrainParams
    convert: ConvertParams
    evaluate: EvaluateParams
    gate: GateParams
    endpoint: EndpointParams
    tune: TuneParams


def find_params(places: Sequence[Path] = ()) -> Path:
    """The first of `places` that exists: by default the current folder's file, then the one that Lenslet ships.

    Raises: ParamsError, naming them all, if none does.
    """
    places = places or (Path(NAME), shipped(NAME))
    for place in places:
        if place.exists():
            return place
    looked = ", ".join(str(place.resolve()) for place in places)
    raise ParamsError(f"there is no {NAME}: looked for {looked}; give one with --params")


def note_of_other_params() -> str:
    """A sentence about the file in a folder above, which `find_params` does not take; empty if there is none."""
    folder = folder_above(NAME)
    if not folder or (folder / NAME).samefile(find_params()):
        return ""
    return f"note: {folder / NAME} is not used here: go to its folder, or give --params {folder / NAME}"


def read_params(path: Path | None = None, overrides: Sequence[str] = ()) -> Params:
    """Read and check the whole file, then with `overrides`, each "section.key=value".

    Without a `path`, the file is that of `find_params`. Raises: ParamsError, naming the file, the key and what is
    allowed.
    """
    path = path or find_params()
    content = _read_yaml(path)
    try:
        params: Params = parse_params(content, Params)
    except ParamsError as error:
        raise ParamsError(f"{path}: {error}") from None
    if not overrides:
        return params
    content = with_overrides(content, overrides, Params)
    try:
        params = parse_params(content, Params)
    except ParamsError as error:
        raise ParamsError(f"--set {' --set '.join(overrides)}: {error}") from None
    return params


def _read_yaml(path: Path) -> Any:
    try:
        return load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParamsError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path} is not text in UTF-8") from error
    except ValueError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from error


def write_params(path: Path | None, values: Mapping[str, int | float | str]) -> Path:
    """Put `values` (dotted key → value) into the file; its other keys, comments and order stay as they are.

    Without a `path`, the file is that of the current folder; where it has none, a copy of the shipped one is written.
    Returns: the file that was written. Raises: ParamsError if a key is not in the file.
    """
    source, path = path or find_params(), path or Path(NAME)
    from ruamel.yaml import YAML

    document = YAML()  # ruamel's: PyYAML drops comments
    document.preserve_quotes = True
    document.width = 4096  # no line is folded
    content = document.load(source.read_text(encoding="utf-8"))
    for key, value in values.items():
        *parents, name = key.split(".")
        section = content
        for parent in parents:
            section = section.get(parent, {})
        if name not in section:
            raise ParamsError(f"{source}: {key} is missing")
        section[name] = value
    text = StringIO()
    document.dump(content, text)
    write_text(path, text.getvalue())
    return path

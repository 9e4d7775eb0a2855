"""`params.yaml`, the only home of tunable numbers, as frozen dataclasses; an unknown key is an error."""

import math
import types
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from lenslet.inference.atomic import write_text


class ParamsError(Exception):
    """A key of `params.yaml` is unknown, missing, or has a value that is not allowed."""


@dataclass(frozen=True)
class Range:
    """Both ends are allowed."""

    low: float
    high: float


Count = Annotated[int, Range(1, 1_000_000)]
Share = Annotated[float, Range(0, 1)]
Fraction = Annotated[float, Range(0, 0.95)]  # of something that must not vanish
LearningRate = Annotated[float, Range(1e-9, 100)]


@dataclass(frozen=True)
class BackboneParams:
    name: str
    weights: str
    layers_unfrozen: int | Literal["all"]


@dataclass(frozen=True)
class HeadParams:
    hidden_units: int
    dropout: Fraction
    batch_size: Count
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"]
    learning_rate: LearningRate
    weight_decay: float
    label_smoothing: Fraction
    epochs: Count
    patience: int


@dataclass(frozen=True)
class FineTuneParams:
    batch_size: Count
    learning_rate: LearningRate
    warmup_epochs: float
    weight_decay: float
    label_smoothing: Fraction
    epochs: int
    min_steps_per_epoch: int
    patience: int
    min_validation_photos: int


@dataclass(frozen=True)
class AugmentationParams:
    flip: Literal["none", "horizontal", "both"]
    shift: Share
    zoom: Fraction
    contrast: Share
    mixup: float
    mixup_min_photos: int


@dataclass(frozen=True)
class TrainParams:
    seed: int
    split_seed: int
    image_size: Annotated[int, Range(8, 2048)]
    validation_fraction: Fraction
    test_fraction: Fraction
    class_weights: Literal["none", "balanced"]
    backbone: BackboneParams
    head: HeadParams
    fine_tune: FineTuneParams
    augmentation: AugmentationParams


@dataclass(frozen=True)
class ConvertParams:
    precisions: tuple[Literal["float32", "float16", "dynamic_range", "int8"], ...]
    calibration_photos: Count
    max_accuracy_loss: Share
    min_agreement: Share
    max_slowdown: float
    conformal_alpha: Annotated[float, Range(0.001, 0.5)]
    ood_true_positive_rate: Annotated[float, Range(0.5, 1)]


@dataclass(frozen=True)
class EvaluateParams:
    ladder_photos: int


@dataclass(frozen=True)
class TuneParams:
    objective: Literal["log_loss", "auc", "accuracy"]
    trials: Count
    backbones: tuple[str, ...]
    optimizers: tuple[Literal["adam", "adamw", "sgd", "rmsprop"], ...]
    hidden_units: tuple[int, ...]
    learning_rate_factor: Range
    weight_decay: Range
    dropout: Range
    label_smoothing: Range

    def __post_init__(self) -> None:
        for key in ("learning_rate_factor", "weight_decay", "dropout", "label_smoothing"):
            ends: Range = getattr(self, key)
            if ends.low > ends.high:
                raise ParamsError(f"tune.{key}.low must not be above high, but is {ends.low:g}")
            if key in ("learning_rate_factor", "weight_decay") and ends.low == 0:
                raise ParamsError(f"tune.{key}.low must be above 0: it is drawn on a log scale")
            if key in ("dropout", "label_smoothing") and ends.high >= 1:
                raise ParamsError(f"tune.{key}.high must be below 1, but is {ends.high:g}")


@dataclass(frozen=True)
class MinLimits:
    accuracy: float
    roc_auc: float
    min_recall: float
    robustness_mean: float
    robustness_worst: float
    agreement_with_keras: float


@dataclass(frozen=True)
class MaxLimits:
    calibration_error: float
    megabytes: float
    time_ms: float


@dataclass(frozen=True)
class GateParams:
    min: MinLimits
    max: MaxLimits


@dataclass(frozen=True)
class EndpointMinLimits:
    accuracy: float
    robustness_mean: float
    robustness_worst: float
    agreement: float


@dataclass(frozen=True)
class EndpointMaxLimits:
    errors: float
    p95_ms: float


@dataclass(frozen=True)
class EndpointParams:
    photos: int
    ladder_photos: int
    clients: int
    probability_tolerance: float
    min: EndpointMinLimits
    max: EndpointMaxLimits

    def __post_init__(self) -> None:
        for key in ("photos", "ladder_photos", "clients"):
            if getattr(self, key) == 0:
                raise ParamsError(f"endpoint.{key} must be at least 1")
        if self.ladder_photos > self.photos:
            raise ParamsError(f"endpoint.ladder_photos must not be above photos, but is {self.ladder_photos}")


@dataclass(frozen=True)
class Params:
    train: TrainParams
    convert: ConvertParams
    evaluate: EvaluateParams
    gate: GateParams
    endpoint: EndpointParams
    tune: TuneParams


def read_params(path: Path) -> Params:
    """Read and check the whole file. Raises ParamsError, naming the file, the key and what is allowed."""
    try:
        # As `write_params` writes it. PyYAML reads 1e-05 as text, and takes the last of two keys of one name.
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParamsError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path} is not text in UTF-8") from error
    except YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from error
    try:
        params: Params = parse_params(content, Params)
    except ParamsError as error:
        raise ParamsError(f"{path}: {error}") from None
    return params


def parse_params(content: Any, kind: Any, key: str = "") -> Any:
    """Make a value of type `kind` (dataclasses, tuples, literals, unions and plain types) from parsed YAML or JSON.

    A number is not negative, and within the Range that annotates its type, if one does.
    Raises: ParamsError, naming the dotted `key` and what is allowed there.
    """
    if get_origin(kind) is Annotated:
        kind, allowed = get_args(kind)
        number = parse_params(content, kind, key)
        if not allowed.low <= number <= allowed.high:
            raise ParamsError(f"{key} must be from {allowed.low:g} to {allowed.high:g}, not {content!r}")
        return number
    if is_dataclass(kind):
        return _parse_dataclass(content, kind, key)
    if get_origin(kind) is tuple:
        if not isinstance(content, list) or not content:
            raise ParamsError(f"{key} must be a list, not {content!r}")
        return tuple(parse_params(each, get_args(kind)[0], key) for each in content)
    if kind is float and type(content) is int:
        content = float(content)
    if not _fits(content, kind):
        raise ParamsError(f"{key} must be {_allowed(kind)}, not {content!r}")
    if isinstance(content, int | float) and not 0 <= content < math.inf:
        raise ParamsError(f"{key} must be a number from 0 on, not {content}")
    return content


def _parse_dataclass(content: Any, kind: Any, key: str) -> Any:
    if not isinstance(content, dict):
        raise ParamsError(f"{key or 'the file'} must hold keys and values, not {content!r}")
    known = [each.name for each in fields(kind)]
    prefix = f"{key}." if key else ""
    for name in content:
        if name not in known:
            raise ParamsError(f"{prefix}{name} is not a known key; known here: {', '.join(known)}")
    for name in known:
        if name not in content:
            raise ParamsError(f"{prefix}{name} is missing")
    hints = get_type_hints(kind, include_extras=True)
    return kind(**{name: parse_params(content[name], hints[name], prefix + name) for name in known})


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
    return {int: "a whole number", float: "a number", str: "text", bool: "true or false"}[kind]


def write_params(path: Path, values: Mapping[str, int | float | str]) -> None:
    """Put `values` (dotted key → value) into the file; its other keys, comments and order stay as they are.

    Raises: ParamsError if a key is not in the file.
    """
    document = YAML()  # ruamel's: PyYAML drops comments
    document.preserve_quotes = True
    document.width = 4096  # no line is folded
    content = document.load(path.read_text(encoding="utf-8"))
    for key, value in values.items():
        *parents, name = key.split(".")
        section = content
        for parent in parents:
            section = section.get(parent, {})
        if name not in section:
            raise ParamsError(f"{path}: {key} is missing")
        section[name] = value
    text = StringIO()
    document.dump(content, text)
    write_text(path, text.getvalue())

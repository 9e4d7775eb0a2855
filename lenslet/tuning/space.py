"""The search space: what is drawn, what makes two searches comparable, and what a trial has drawn."""

from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial

from lenslet.config import HeadParams, Params, TrainParams, TuneParams
from lenslet.dataset.dataset import Dataset

SEARCHED = (
    "solver",
    "hidden_units",
    "dropout",
    "optimizer",
    "learning_rate",
    "weight_decay",
    "label_smoothing",
)


def search_space(dataset: Dataset, params: Params, backbones: list[str]) -> dict[str, Any]:
    """The settings that all trials of a study must share, as JSON values; `backbones` by `searched_name`."""
    space = asdict(params.tune) | {"backbones": backbones}
    del space["trials"]  # more trials of the same space are the same search
    del space["image_sizes"]  # those that are searched are named with the backbones
    head = {key: getattr(params.train.head, key) for key in ("batch_size", "epochs", "patience")}
    facts = {
        "photos": dataset.fingerprint,
        "class_weights": params.train.class_weights,
        "weights": params.train.backbone.weights,
    }
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in space.items()}
    return {**plain, **head, **facts, "image_size": params.train.image_size, "seed": params.train.seed}


def draw_head(
    trial: optuna.Trial, space: TuneParams, head: HeadParams, rate_of: Callable[[str], float]
) -> HeadParams:
    """The head settings that the sampler suggests; those that are not searched stay as in `head`.

    `rate_of`: optimizer → suggested learning rate. Numbers have three significant digits, so that params.yaml can
    hold exactly what was tried.
    """
    optimizer: Any = trial.suggest_categorical("optimizer", space.optimizers)
    factor = _draw(trial, "learning_rate_factor", space, log=True)
    return replace(
        head,
        solver="gradient",
        optimizer=optimizer,
        hidden_units=trial.suggest_categorical("hidden_units", space.hidden_units),
        learning_rate=three_digits(rate_of(optimizer) * factor),
        weight_decay=0.0
        if optimizer == "adam"
        else three_digits(_draw(trial, "weight_decay", space, log=True)),
        dropout=three_digits(_draw(trial, "dropout", space)),
        label_smoothing=three_digits(_draw(trial, "label_smoothing", space)),
    )


def _draw(trial: optuna.Trial, key: str, space: TuneParams, log: bool = False) -> float:
    ends = getattr(space, key)
    return trial.suggest_float(key, ends.low, ends.high, log=log)


def three_digits(value: float) -> float:
    return float(f"{value:.3g}")


def found_params(trial: FrozenTrial, params: TrainParams) -> TrainParams:
    """`params` with the backbone, the size of the pictures and the head of a trial."""
    name, size = backbone_of(trial)
    found = with_backbone(params, name, size or params.image_size)
    return replace(found, head=HeadParams(**trial.user_attrs["head"]))


def found_values(trial: FrozenTrial) -> dict[str, int | float | str]:
    """Settings of a trial as entries of params.yaml: dotted key → value."""
    head = {f"train.head.{key}": trial.user_attrs["head"][key] for key in SEARCHED}
    name, size = backbone_of(trial)
    return {"train.backbone.name": name, **({"train.image_size": size} if size else {}), **head}


def searched_name(backbone: str, size: int, sizes: Collection[int]) -> str:
    """What a backbone is called in the search: with the side of its pictures in pixels, where several are searched."""
    return f"{backbone}@{size}" if len(sizes) > 1 else backbone


def backbone_of(trial: FrozenTrial) -> tuple[str, int]:
    """Name, and size of the pictures; 0 where one size was searched."""
    name, _, size = trial.params["backbone"].partition("@")
    return name, int(size or 0)


def with_backbone(params: TrainParams, name: str, size: int | Literal["auto"]) -> TrainParams:
    return replace(params, backbone=replace(params.backbone, name=name), image_size=size)


def with_weights(params: TrainParams, weights: str) -> TrainParams:
    return replace(params, backbone=replace(params.backbone, weights=weights))

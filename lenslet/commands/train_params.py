"""The settings of a training: section `train` of params.yaml, changed by the options of `lenslet train`."""

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lenslet.commands.parser import overrides_of, params_of
from lenslet.config import ParamsError, TrainParams


def chosen_params(arguments: argparse.Namespace) -> TrainParams:
    """Section `train` of params.yaml, changed by the options. Raises: ParamsError, RegistryError."""
    params = params_of(arguments).train
    weights = arguments.weights or params.backbone.weights
    if weights.startswith("registry:"):
        from lenslet.registry.versions import pinned

        weights = pinned(weights)
    params = starting_from(weights, params, arguments)
    given = overrides_of(arguments).get("overrides", {})
    params = for_fine_tuning(for_descent(params, given), given)
    if "train.distill.doubtful_weight" in given and params.distill.teachers == "none":
        raise ParamsError(
            "train.distill.doubtful_weight is of labels that teachers deny: name them in train.distill.teachers"
        )
    if arguments.time_budget:
        params = within_budget(params, arguments)
    if arguments.no_fine_tune:
        params = replace(params, fine_tune=replace(params.fine_tune, epochs=0))
    if weights not in ("imagenet", "none") and ":" not in weights and not Path(weights).is_file():
        raise ParamsError(f"the initial weights {weights} do not exist: give a .keras file, imagenet or none")
    if params.backbone.weights == "none" and arguments.seeds > 1:
        raise ParamsError(
            "--seeds averages networks that begin with the same weights, which a backbone without weights does not: "
            "give --weights, or leave --seeds out"
        )
    if params.distill.teachers != "none" and not params.fine_tune.epochs:
        raise ParamsError(
            "train.distill.teachers label photos for fine-tuning, which is off: let the network be fine-tuned, or set "
            "train.distill.teachers=none"
        )
    if params.backbone.weights == "none" and not params.fine_tune.epochs:
        raise ParamsError("a backbone without weights has nothing to build a head on: let it be fine-tuned")
    return params


def starting_from(weights: str, params: TrainParams, arguments: argparse.Namespace) -> TrainParams:
    """With these initial weights, and with the backbone that they are of unless --set gave another."""
    name = params.backbone.name
    if "train.backbone.name" not in overrides_of(arguments).get("overrides", {}):
        name = recorded_backbone(weights) or name
    if name != params.backbone.name:
        print(f"{weights} is of this backbone: train.backbone.name={name}")
    return replace(params, backbone=replace(params.backbone, name=name, weights=weights))


def recorded_backbone(weights: str) -> str | None:
    """The backbone of a trained model, from the record beside its weights or in the registry; None of other weights."""
    if weights in ("imagenet", "none"):
        return None
    from lenslet.registry.mlflow_registry import RegistryError
    from lenslet.registry.versions import record_at_hand
    from lenslet.training.record import RecordError

    try:
        record = record_at_hand(weights)
    except (RecordError, RegistryError):  # loading the weights says what is wrong with them
        return None
    return record.params.backbone.name if record else None


def for_descent(params: TrainParams, given: Mapping[str, str]) -> TrainParams:
    """With gradient descent for the head where --set gave one of its settings, which would have no effect otherwise."""
    keys = [key for key in given if key.startswith("train.head.")]
    asked = [key for key in keys if key not in ("train.head.solver", "train.head.hidden_units")]
    if not asked or params.head.solver != "auto":
        return params
    print(f"{asked[0]} is a setting of gradient descent: train.head.solver=gradient")
    return replace(params, head=replace(params.head, solver="gradient"))


def for_fine_tuning(params: TrainParams, given: Mapping[str, str]) -> TrainParams:
    """With fine-tuning of however few photos where --set gave one of its settings, or there are teachers."""
    sections = ("train.fine_tune.", "train.augmentation.", "train.distill.", "train.backbone.layers_unfrozen")
    asked = [key for key in given if key.startswith(sections)] + ["train.distill.teachers"] * (
        params.distill.teachers != "none"
    )
    if not asked or "train.fine_tune.min_photos_per_class" in given or not params.fine_tune.epochs:
        return params
    return replace(params, fine_tune=replace(params.fine_tune, min_photos_per_class=0))


def within_budget(params: TrainParams, arguments: argparse.Namespace) -> TrainParams:
    """Size and epochs as --time-budget allows; prints what was chosen and why. Raises: ParamsError; InputError."""
    from lenslet.dataset.image_size import usual_side
    from lenslet.dataset.layouts import find_photos
    from lenslet.training.small_folders import without_needless_fine_tuning
    from lenslet.training.time_budget import plan

    photos = find_photos(arguments.data, params.list, arguments.cache).photos
    files, classes = [photo.path for photo in photos], len({photo.label for photo in photos})
    tests = sum(photo.split == "test" for photo in photos) or round(params.test_fraction * len(photos))
    params, _ = without_needless_fine_tuning(params, len(photos) - tests, classes)
    chosen = plan(params, len(files), usual_side(files), arguments.time_budget / arguments.seeds)
    print(chosen.sentence + (f", for each of {arguments.seeds} seeds" if arguments.seeds > 1 else ""))
    return chosen.params


def without_overrun(params: TrainParams, deadline: float) -> TrainParams:
    """`params` without fine-tuning if the time budget is spent already."""
    if time.monotonic() < deadline or not params.fine_tune.epochs:
        return params
    print("time budget: it is spent, so that the head alone is trained")
    return replace(params, fine_tune=replace(params.fine_tune, epochs=0))

"""Train a classifier on a folder of labelled photos.

    python train.py --data my_photos --out out/mine

`my_photos` holds a folder per class (the splits are drawn), or train/, val/ and test/ with a folder per class
each. Numbers come from params.yaml. Prints what it found, a progress bar for each long step, and the validation
accuracy; writes model.keras and training.json into the --out folder. convert.py makes them servable.
"""

import argparse
import os
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault(
    "TF_CPP_MIN_LOG_LEVEL", "2"
)  # before TensorFlow loads: its notices drown the progress bars

import keras

from inference.artifact import JSON_NAME
from inference.atomic import replacing
from training.backbones import WeightsUnavailable, build_backbone
from training.dataset import Dataset, DatasetError, describe, read_dataset
from training.features import cached_features
from training.fit import Fold, History, fine_tune, fit_head, validate
from training.network import build_feature_extractor, build_network, set_head
from training.params import ParamsError, TrainParams, read_params
from training.record import KERAS_NAME, TrainingRecord, installed_versions, write_record


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    started = time.monotonic()
    try:
        params = chosen_params(arguments)
        dataset = read_dataset(arguments.data, params, arguments.cache)
        print(describe(dataset, arguments.data))
        backbone = build_backbone(params.backbone)
    except (DatasetError, ParamsError, WeightsUnavailable) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    keras.utils.set_random_seed(params.seed)
    network = build_network(backbone, len(dataset.labels), params)
    history: dict[str, History] = {}
    if params.backbone.weights != "none":
        history["head"] = train_head(network, backbone, dataset, params, arguments.cache)
        report("head", validate(network, dataset, params))
    if params.fine_tune.epochs:
        run = arguments.runs / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{arguments.out.name}"
        history["fine_tune"] = fine_tune(network, dataset, params, run)
    validation = validate(network, dataset, params)
    report("network", validation)
    record = TrainingRecord(
        name=arguments.name or arguments.data.resolve().name,
        params=params,
        data_fingerprint=dataset.fingerprint,
        photos=dict(Counter(photo.split for photo in dataset.photos if photo.split)),
        validation=validation,
        history=history,
        minutes=round((time.monotonic() - started) / 60, 1),
        versions=installed_versions(),
    )
    save(network, record, arguments.out)
    print(f"{arguments.out / KERAS_NAME} written after {record.minutes:g} minutes; make it servable with")
    print(f"  python convert.py --data {arguments.data} --model {arguments.out}")
    return 0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled photos")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--name", help="what the model is called (default: the name of the data folder)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: %(default)s")
    parser.add_argument(
        "--weights", help="instead of train.backbone.weights: imagenet, none, or a .keras file"
    )
    parser.add_argument(
        "--no-fine-tune", action="store_true", help="stop after the head: seconds, not minutes"
    )
    parser.add_argument(
        "--cache", type=Path, default=Path(".cache"), help="decoded photos, features (%(default)s)"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="logs and checkpoints (%(default)s)")
    return parser.parse_args(argv)


def chosen_params(arguments: argparse.Namespace) -> TrainParams:
    """`params.yaml`, with what the command line says instead."""
    params = read_params(arguments.params).train
    if arguments.weights:
        params = replace(params, backbone=replace(params.backbone, weights=arguments.weights))
    if arguments.no_fine_tune:
        params = replace(params, fine_tune=replace(params.fine_tune, epochs=0))
    if params.backbone.weights == "none" and not params.fine_tune.epochs:
        raise ParamsError("a backbone without weights has nothing to build a head on: let it be fine-tuned")
    return params


def train_head(
    network: keras.Model, backbone: keras.Model, dataset: Dataset, params: TrainParams, cache: Path
) -> History:
    """Fit the head on cached features and put it into the network."""
    extractor = build_feature_extractor(backbone, params)
    train, validation = (
        Fold(cached_features(extractor, dataset, members, cache), dataset.targets[members])
        for members in (dataset.members("train"), dataset.members("validation"))
    )
    weights, history = fit_head(train, validation, len(dataset.labels), params.head)
    set_head(network, weights)
    return history


def report(what: str, validation: dict[str, float]) -> None:
    print(f"{what}: validation accuracy {validation['accuracy']:.4f}, log loss {validation['log_loss']:.4f}")


def save(network: keras.Model, record: TrainingRecord, folder: Path) -> None:
    """Write the network and its record; until it is converted again, the folder is not a whole model folder."""
    with replacing(folder / KERAS_NAME) as temporary:
        network.save(temporary)
        (folder / JSON_NAME).unlink(missing_ok=True)
    write_record(record, folder)


if __name__ == "__main__":
    sys.exit(main())

"""Train a classifier on a folder of labelled photos.

    python train.py --data my_photos --out out/mine

`my_photos` holds a folder per class (the splits are drawn), or train/, val/ and test/ with a folder per class
each. Numbers come from params.yaml. Prints what it found and the validation accuracy; writes model.keras and
training.json into --out, which convert.py makes servable. Killed while it fine-tunes, it goes on with --resume.
The training is a run of MLflow, too, with its epochs as they end: in .mlflow/, which `make mlflow` shows, or on the
server that MLFLOW_TRACKING_URI names; MLFLOW_TRACKING_URI=off goes without.
"""

import argparse
import sys
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import keras

from lenslet.commands.options import DATA_OPTIONS, add_options
from lenslet.config import ParamsError, TrainParams, read_params
from lenslet.dataset.array_file import CacheFull
from lenslet.dataset.dataset import Dataset, photos_per_split
from lenslet.dataset.description import describe
from lenslet.dataset.lint import lint, mislabelled, report_findings
from lenslet.dataset.photos import DatasetError
from lenslet.dataset.reading import read_dataset
from lenslet.network.assembly import build_network, set_head
from lenslet.network.backbones import WeightsUnavailable, build_backbone
from lenslet.network.devices import Acceleration, acceleration_here
from lenslet.registry.mlflow_registry import RegistryError
from lenslet.registry.tracking import Tracker
from lenslet.registry.versions import pinned, weights_at_hand
from lenslet.training.features import features_by_split, head_features
from lenslet.training.fine_tuning import fine_tune
from lenslet.training.head_fit import fit_head
from lenslet.training.record import KERAS_NAME, History, record_of, save
from lenslet.training.run import CheckpointError, Run, finish_run, start_run, unfinished_run
from lenslet.training.validation import validate

REFUSALS = CacheFull, CheckpointError, DatasetError, ParamsError, RegistryError, WeightsUnavailable


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        with Tracker() as tracker:
            train(arguments, tracker)
    except REFUSALS as error:
        print(f"lenslet train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\nlenslet train: stopped; fine-tuning goes on after its last epoch with --resume",
            file=sys.stderr,
        )
        return 130
    return 0


def train(arguments: argparse.Namespace, tracker: Tracker) -> None:
    started = time.monotonic()
    params = chosen_params(arguments)
    dataset = read_dataset(arguments.data, params, arguments.cache)
    print(describe(dataset))
    photos = photos_per_split(dataset)
    first_batch = min(photos["train"], photos["validation"], params.fine_tune.batch_size)
    accelerated = Acceleration() if arguments.no_acceleration else acceleration_here(first_batch)
    run = Run(str(arguments.out.resolve()), asdict(params), dataset.fingerprint, accelerated.precision)
    folder = arguments.runs / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{arguments.out.name}"
    killed = find_killed(arguments, run) if arguments.resume else None
    if killed:
        folder, run = killed
        started -= 60 * run.minutes
    name = arguments.name or arguments.data.resolve().name
    tracker.begin(name, {"train": asdict(params)}, dataset.fingerprint, unfinished=folder)
    keras.utils.set_random_seed(params.seed)
    with accelerated.strategy.scope(), weights_at_hand(params.backbone.weights) as weights:
        backbone = build_backbone(replace(params.backbone, weights=weights))
        network = build_network(backbone, len(dataset.labels), params)
    check_photos(dataset, params, arguments, backbone)
    history = dict(run.history)
    if params.backbone.weights != "none" and not killed:
        history["head"] = train_head(network, backbone, dataset, params, arguments.cache)
        report("head", validate(network, dataset, params))
    if params.fine_tune.epochs:
        if not killed:
            start_run(folder, replace(run, history=history, minutes=(time.monotonic() - started) / 60))
        tracker.note(folder)
        epochs = keras.callbacks.LambdaCallback(on_epoch_end=partial(tracker.add_epoch, "fine_tune"))
        history["fine_tune"] = fine_tune(network, dataset, params, folder, run.precision, [epochs])
    validation = validate(network, dataset, params)
    report("network", validation)
    minutes = (time.monotonic() - started) / 60
    record = record_of(name, params, dataset.fingerprint, photos, validation, history, minutes)
    save(network, record, arguments.out)
    if params.fine_tune.epochs:
        finish_run(folder, arguments.out)
    print(f"{arguments.out / KERAS_NAME} written after {record.minutes:g} minutes; make it servable with")
    print(f"  python convert.py --data {arguments.data} --model {arguments.out}")
    tracker.log_training(record, arguments.out)


def check_photos(
    dataset: Dataset, params: TrainParams, arguments: argparse.Namespace, backbone: keras.Model
) -> None:
    """Lint the photos. Raises: DatasetError if splits share photos and train.leaks is refuse; CacheFull."""
    findings = lint(dataset, arguments.cache)
    is_refused = params.leaks == "refuse" and any(finding.kind == "leak" for finding in findings)
    if params.backbone.weights == "none":
        print("labels are not judged: a training that starts from weights does that")
    elif not is_refused:  # else the refusal comes first, before the backbone has run for a minute
        # Training does not look at the test photos, not even at their labels.
        features = features_by_split(backbone, dataset, params, ("train", "validation"), arguments.cache)
        findings += mislabelled(dataset, features, arguments.cache)
    report_findings(findings, arguments.lint_csv, params.leaks)


def find_killed(arguments: argparse.Namespace, wanted: Run) -> tuple[Path, Run] | None:
    """The folder of the run to go on with, and the run; says what it found."""
    found = unfinished_run(arguments.runs, wanted)
    if not found:
        # No error: whatever starts a killed training again may say --resume each time, also the first.
        print(f"nothing to resume for {arguments.out} in {arguments.runs}: starting afresh")
        return None
    folder, run, epochs = found
    print(f"resuming {folder} after {epochs} finished epochs")
    return folder, run


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of labelled photos")
    add("--out", type=Path, required=True, help="model folder to write")
    add("--name", help="what the model is called (default: the name of the data folder)")
    add("--params", type=Path, default=Path("params.yaml"), help="default: %(default)s")
    add("--weights", help="for train.backbone.weights: imagenet, none, a .keras file, registry:production")
    add("--no-fine-tune", action="store_true", help="stop after the head, within seconds")
    add("--cache", type=Path, default=Path(".cache"), help="decoded photos, features (%(default)s)")
    add("--resume", action="store_true", help="go on with the run for --out that was killed")
    add("--no-acceleration", action="store_true", help="float32 on one device, as without GPUs")
    add("--runs", type=Path, default=Path("runs"), help="logs and checkpoints (%(default)s)")
    add_options(parser, *DATA_OPTIONS, "--lint-csv")
    return parser.parse_args(argv)


def chosen_params(arguments: argparse.Namespace) -> TrainParams:
    """`params.yaml`, with what the command line says instead."""
    params = read_params(arguments.params, arguments.overrides).train
    weights = pinned(arguments.weights or params.backbone.weights)
    params = replace(params, backbone=replace(params.backbone, weights=weights))
    if arguments.no_fine_tune:
        params = replace(params, fine_tune=replace(params.fine_tune, epochs=0))
    if params.backbone.weights == "none" and not params.fine_tune.epochs:
        raise ParamsError("a backbone without weights has nothing to build a head on: let it be fine-tuned")
    return params


def train_head(
    network: keras.Model, backbone: keras.Model, dataset: Dataset, params: TrainParams, cache: Path
) -> History:
    """Fit the head on cached features and put it into the network."""
    train, validation = head_features(backbone, dataset, params, cache)
    weights, history = fit_head(train, validation, len(dataset.labels), params.head, params.class_weights)
    set_head(network, weights)
    return history


def report(what: str, validation: dict[str, float]) -> None:
    print(f"{what}: validation accuracy {validation['accuracy']:.4f}, log loss {validation['log_loss']:.4f}")


if __name__ == "__main__":
    sys.exit(main())

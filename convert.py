"""Make a trained model servable: calibrated, converted to TFLite, and checked in the runtime that will serve it.

    python convert.py --data my_photos --model out/mine

Builds every precision that params.yaml lists, loads each in the installed TFLite runtime, measures accuracy and
time on the validation photos, and keeps the smallest among the fastest that answer as the Keras network does.
Writes model.tflite, MODEL_CARD.md and, last, model.json into the model folder.
"""

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow loads: its notices drown the table

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from evaluation.calibration import conformal_threshold, coverage, fit_temperature
from evaluation.metrics import score
from evaluation.model_card import write_model_card
from evaluation.trial import run_apart
from inference.artifact import JSON_NAME, TFLITE_NAME, Artifact, sha256_of, write_artifact
from inference.atomic import replacing
from inference.classifier import runtime_name
from inference.decode import RESIZE_RULE
from inference.errors import ArtifactError
from training.dataset import Dataset, DatasetError, read_dataset
from training.network import logits_of, with_temperature
from training.params import ParamsError, read_params
from training.quantize import Candidate, ConversionRefused, choose, comparison, convert, judge
from training.record import KERAS_NAME, RecordError, TrainingRecord, read_record


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        artifact = make_servable(arguments)
    except (DatasetError, ParamsError, RecordError, ConversionRefused) as error:
        print(f"convert.py: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.model} holds {artifact.name} {artifact.version}; serve it with")
    print(f"  make serve MODEL={arguments.model}")
    return 0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder that train.py was given")
    parser.add_argument("--model", type=Path, default=Path("model"), help="model folder (%(default)s)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: %(default)s")
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="decoded photos (%(default)s)")
    return parser.parse_args(argv)


def make_servable(arguments: argparse.Namespace) -> Artifact:
    """All steps from model.keras to a whole model folder."""
    params = read_params(arguments.params).convert
    record = read_record(arguments.model)
    dataset = same_photos(arguments, record)
    validation = dataset.members("validation")
    pixels, targets = dataset.pixels[dataset.rows[validation]], dataset.targets[validation]

    network = keras.models.load_model(arguments.model / KERAS_NAME, compile=False)
    temperature = fit_temperature(logits_of(network).predict(pixels, verbose=0), targets)
    network = with_temperature(network, temperature)
    expected = network.predict(pixels, verbose=0)["probabilities"]
    keras_accuracy = float(np.mean(expected.argmax(axis=1) == targets))

    draft = Artifact(
        name=record.name,
        labels=dataset.labels,
        image_size=record.params.image_size,
        resize=RESIZE_RULE,
        sha256="",
        precision="",
        runtime=runtime_name(),
        temperature=temperature,
        conformal_alpha=params.conformal_alpha,
        conformal_threshold=0.0,
    )
    calibration = calibration_pixels(dataset, params.calibration_photos, record.params.seed)
    models: dict[str, bytes] = {
        precision: convert(network, precision, calibration)
        for precision in tqdm(params.precisions, "converting", unit=" precisions", leave=False)
    }
    candidates = try_out(models, draft, pixels, targets, expected)
    print(comparison(candidates, keras_accuracy, params))
    chosen = choose(candidates, keras_accuracy, params)
    print(f"chosen: {chosen.precision}, the smallest file among the fastest in {draft.runtime}")

    threshold = conformal_threshold(chosen.probabilities, targets, params.conformal_alpha)
    metrics = {"data_fingerprint": dataset.fingerprint} | measured(chosen, dataset.labels, targets, threshold)
    artifact = replace(
        draft,
        sha256=sha256_of(chosen.model),
        precision=chosen.precision,
        conformal_threshold=threshold,
        metrics={"validation": metrics},
    )
    save(artifact, chosen.model, arguments.model)
    return artifact


def same_photos(arguments: argparse.Namespace, record: TrainingRecord) -> Dataset:
    """The photos the model was trained on, in the same splits: others could not say how well it generalises."""
    dataset = read_dataset(arguments.data, record.params, arguments.cache)
    if dataset.fingerprint != record.data_fingerprint:
        raise RecordError(
            f"{arguments.data} does not hold the photos that {arguments.model} was trained on: "
            "give the same folder, or train again"
        )
    return dataset


def calibration_pixels(dataset: Dataset, count: int, seed: int) -> NDArray[np.uint8]:
    """Some training photos, drawn by the seed: uint8 RGB, shape (count, size, size, 3)."""
    train = dataset.members("train")
    drawn = np.random.default_rng(seed).choice(train, size=min(count, len(train)), replace=False)
    pixels: NDArray[np.uint8] = dataset.pixels[dataset.rows[np.sort(drawn)]]
    return pixels


def try_out(
    models: dict[str, bytes],
    draft: Artifact,
    pixels: NDArray[np.uint8],
    targets: NDArray[np.int64],
    expected: NDArray[np.float32],
) -> list[Candidate]:
    """Load and run each precision's file exactly as it would be served, in a model folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / precision for precision in models]
        for folder, (precision, model) in zip(folders, models.items(), strict=True):
            save(replace(draft, sha256=sha256_of(model), precision=precision), model, folder)
        trials = run_apart(folders, pixels)
    return [
        Candidate(precision, model, failure=str(trial))
        if isinstance(trial, ArtifactError)
        else judge(precision, model, trial.probabilities, trial.time_ms, targets, expected)
        for (precision, model), trial in zip(models.items(), trials, strict=True)
    ]


def measured(
    chosen: Candidate, labels: tuple[str, ...], targets: NDArray[np.int64], threshold: float
) -> dict[str, float]:
    """What model.json says of the validation photos."""
    covered, set_size = coverage(chosen.probabilities, targets, threshold)
    return {
        **score(labels, targets, chosen.probabilities),
        "coverage": covered,
        "mean_set_size": set_size,
        "agreement_with_keras": chosen.agreement,
        "time_ms": chosen.time_ms,
    }


def save(artifact: Artifact, model: bytes, folder: Path) -> None:
    """model.json goes first and comes back last: while it is away, the folder is not whole."""
    (folder / JSON_NAME).unlink(missing_ok=True)
    with replacing(folder / TFLITE_NAME) as temporary:
        temporary.write_bytes(model)
    write_model_card(artifact, folder)
    write_artifact(artifact, folder)


if __name__ == "__main__":
    sys.exit(main())

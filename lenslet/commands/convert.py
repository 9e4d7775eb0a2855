"""Make a trained model servable: calibrated, converted to TFLite, and checked in the runtime that will serve it.

    python convert.py --data my_photos --model out/mine

Builds every precision that params.yaml lists, loads each in the installed TFLite runtime, measures accuracy and
time on the validation photos, and keeps the smallest among the fastest that answer as the Keras network does.
Writes model.tflite, MODEL_CARD.md and, last, model.json into the model folder.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lenslet.config import ConvertParams, ParamsError, read_params
from lenslet.conversion.candidates import (
    ConversionRefused,
    TFLiteCandidate,
    calibration_pixels,
    candidate_table,
    choose_candidate,
    compare_with_keras,
    convert,
)
from lenslet.dataset.photos import DatasetError
from lenslet.dataset.reading import read_dataset
from lenslet.evaluation.calibration import conformal_threshold, fit_temperature
from lenslet.evaluation.metrics import accuracy
from lenslet.evaluation.ood import ood_threshold
from lenslet.evaluation.runtime_check import RuntimeCheck, check_runtime_in_subprocess, served_metrics
from lenslet.inference.artifact import JSON_NAME, TFLITE_NAME, Artifact, sha256_of, write_model_folder
from lenslet.inference.classifier import runtime_name
from lenslet.inference.decode import RESIZE_RULE
from lenslet.inference.errors import ArtifactError
from lenslet.network.assembly import logits_of, with_temperature
from lenslet.registry.tracking import add_to_run
from lenslet.reporting.model_card import CARD_NAME, write_model_card
from lenslet.training.record import (
    RecordError,
    TrainingRecord,
    check_fingerprint,
    load_network,
    read_record,
)


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        artifact = make_servable(arguments)
    except (DatasetError, ParamsError, RecordError, ConversionRefused) as error:
        print(f"lenslet convert: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.model} holds {artifact.name} {artifact.version}; serve it with")
    print(f"  make serve MODEL={arguments.model}")
    files = [arguments.model / name for name in (TFLITE_NAME, JSON_NAME, CARD_NAME)]
    add_to_run(arguments.model, "converted", artifact.metrics["validation"], {"model": files})
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
    dataset = read_dataset(arguments.data, record.params, arguments.cache)
    check_fingerprint(record, dataset.fingerprint, arguments.data)
    validation = dataset.members("validation")
    pixels, targets = dataset.pixels[dataset.rows[validation]], dataset.targets[validation]

    network = load_network(arguments.model)
    temperature = fit_temperature(logits_of(network).predict(pixels, verbose=0), targets)
    network = with_temperature(network, temperature)
    expected = network.predict(pixels, verbose=0)["probabilities"]
    keras_accuracy = accuracy(targets, expected)

    calibration = calibration_pixels(dataset, params.calibration_photos, record.params.seed)
    models: dict[str, bytes] = {
        precision: convert(network, precision, calibration)
        for precision in tqdm(params.precisions, "converting", unit=" precisions", leave=False, disable=None)
    }
    draft = draft_artifact(record, dataset.labels, temperature, params.conformal_alpha)
    candidates, trials = try_out(models, draft, pixels, targets, expected)
    print(candidate_table(candidates, keras_accuracy, params))
    chosen = choose_candidate(candidates, keras_accuracy, params)
    print(f"chosen: {chosen.precision}, the smallest file among the fastest in {draft.runtime}")
    trial = trials[chosen.precision]
    artifact = finished_artifact(draft, chosen, trial, targets, params, dataset.fingerprint)
    write_model_card(artifact, arguments.model)
    write_model_folder(artifact, chosen.model, arguments.model)
    return artifact


def draft_artifact(
    record: TrainingRecord, labels: tuple[str, ...], temperature: float, alpha: float
) -> Artifact:
    """What is known before a file is chosen."""
    return Artifact(
        name=record.name,
        labels=labels,
        image_size=record.params.image_size,
        resize=RESIZE_RULE,
        sha256="",
        precision="",
        runtime=runtime_name(),
        temperature=temperature,
        conformal_alpha=alpha,
        conformal_threshold=0.0,
        ood_threshold=0.0,
    )


def finished_artifact(
    draft: Artifact,
    chosen: TFLiteCandidate,
    trial: RuntimeCheck,
    targets: NDArray[np.int64],
    params: ConvertParams,
    fingerprint: str,
) -> Artifact:
    """The draft with the chosen file, its prediction sets, and its figures on the validation photos."""
    threshold = conformal_threshold(trial.probabilities, targets, draft.conformal_alpha)
    figures = served_metrics(draft.labels, targets, trial, threshold)
    validation = {"data_fingerprint": fingerprint, **figures, "agreement_with_keras": chosen.agreement}
    return replace(
        draft,
        sha256=sha256_of(chosen.model),
        precision=chosen.precision,
        conformal_threshold=threshold,
        ood_threshold=ood_threshold(trial.ood_score, params.ood_true_positive_rate),
        metrics={"validation": validation},
    )


def try_out(
    models: dict[str, bytes],
    draft: Artifact,
    pixels: NDArray[np.uint8],
    targets: NDArray[np.int64],
    expected: NDArray[np.float32],
) -> tuple[list[TFLiteCandidate], dict[str, RuntimeCheck]]:
    """Load and run each precision's file exactly as it would be served, in a model folder of its own.

    Returns: what was measured, and what those that loaded answered, by precision.
    """
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / precision for precision in models]
        for folder, (precision, model) in zip(folders, models.items(), strict=True):
            write_model_folder(replace(draft, sha256=sha256_of(model), precision=precision), model, folder)
        trials = check_runtime_in_subprocess(folders, pixels)
    tried = dict(zip(models, trials, strict=True))
    candidates = [
        TFLiteCandidate(precision, models[precision], failure=str(trial))
        if isinstance(trial, ArtifactError)
        else compare_with_keras(
            precision, models[precision], trial.probabilities, trial.time_ms, targets, expected
        )
        for precision, trial in tried.items()
    ]
    return candidates, {name: trial for name, trial in tried.items() if isinstance(trial, RuntimeCheck)}


if __name__ == "__main__":
    sys.exit(main())

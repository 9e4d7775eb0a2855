"""From a trained network to the artifact and the TFLite file that will be served."""

import tempfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lenslet.config import ConvertParams, TrainParams
from lenslet.conversion.candidates import (
    TFLiteCandidate,
    calibration_pixels,
    candidate_table,
    choose_candidate,
    compare_with_keras,
    convert,
)
from lenslet.dataset.dataset import Dataset
from lenslet.evaluation.calibration import conformal_threshold, fit_temperature
from lenslet.evaluation.few_photos import carried
from lenslet.evaluation.metrics import accuracy
from lenslet.evaluation.ood import ood_threshold
from lenslet.evaluation.reference import reference_of, to_json
from lenslet.evaluation.runtime_check import RuntimeCheck, check_runtime_in_subprocess, served_metrics
from lenslet.inference.artifact import Artifact, sha256_of, write_model_folder
from lenslet.inference.classifier import runtime_name
from lenslet.inference.decode import RESIZE_RULE
from lenslet.inference.errors import ArtifactError
from lenslet.network.assembly import logits_of, with_temperature


def make_servable(
    network: keras.Model, dataset: Dataset, name: str, trained: TrainParams, params: ConvertParams
) -> tuple[Artifact, bytes]:
    """Calibrate, convert, check in the runtime, and choose; prints a table of the candidates.

    `name`: of the model; `trained`: the settings of its training. Returns: the artifact with its figures on the
    validation photos, and the content of its TFLite file. Raises: ConversionRefused if no candidate keeps the limits.
    """
    validation = dataset.members("validation")
    pixels, targets = dataset.pixels[dataset.rows[validation]], dataset.targets[validation]
    temperature = temperature_of(network, dataset)
    network = with_temperature(network, temperature)
    expected = network.predict(pixels, verbose=0)["probabilities"]
    keras_accuracy = accuracy(targets, expected)

    calibration = calibration_pixels(dataset, params.calibration_photos, trained.seed)
    models: dict[str, bytes] = {
        precision: convert(network, precision, calibration)
        for precision in tqdm(params.precisions, "converting", unit=" precisions", leave=False, disable=None)
    }
    draft = draft_artifact(name, dataset.labels, trained.image_size, temperature, params.conformal_alpha)
    candidates, checks = try_out(models, draft, pixels, targets, expected)
    print(candidate_table(candidates, keras_accuracy, params))
    chosen = choose_candidate(candidates, keras_accuracy, params)
    print(f"chosen: {chosen.precision}, the smallest file among the fastest in {draft.runtime}")
    check = checks[chosen.precision]
    return finished_artifact(draft, chosen, check, targets, params, dataset.fingerprint), chosen.model


def temperature_of(network: keras.Model, dataset: Dataset) -> float:
    """The temperature with the lowest log loss on the validation photos."""
    validation = dataset.members("validation")
    pixels = dataset.pixels[dataset.rows[validation]]
    return fit_temperature(logits_of(network).predict(pixels, verbose=0), dataset.targets[validation])


def draft_artifact(
    name: str, labels: tuple[str, ...], image_size: int, temperature: float, alpha: float
) -> Artifact:
    """What is known before a file is chosen."""
    return Artifact(
        name=name,
        labels=labels,
        image_size=image_size,
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
    check: RuntimeCheck,
    targets: NDArray[np.int64],
    params: ConvertParams,
    fingerprint: str,
) -> Artifact:
    """The draft with the chosen file, its prediction sets, and its figures on the validation photos."""
    threshold = conformal_threshold(check.probabilities, targets, draft.conformal_alpha)
    figures = served_metrics(draft.labels, targets, check, threshold, draft.conformal_alpha)
    validation = {
        "data_fingerprint": fingerprint,
        **carried(figures),
        "agreement_with_keras": chosen.agreement,
    }
    return replace(
        draft,
        sha256=sha256_of(chosen.model),
        precision=chosen.precision,
        conformal_threshold=threshold,
        ood_threshold=ood_threshold(check.ood_score, params.ood_true_positive_rate),
        metrics={"validation": validation},
        reference=to_json(reference_of(targets, check.probabilities, check.ood_score)),
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
        checks = check_runtime_in_subprocess(folders, pixels)
    tried = dict(zip(models, checks, strict=True))
    candidates = [
        TFLiteCandidate(precision, models[precision], failure=str(check))
        if isinstance(check, ArtifactError)
        else compare_with_keras(
            precision, models[precision], check.probabilities, check.time_ms, targets, expected
        )
        for precision, check in tried.items()
    ]
    return candidates, {name: check for name, check in tried.items() if isinstance(check, RuntimeCheck)}

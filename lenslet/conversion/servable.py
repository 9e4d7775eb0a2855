"""From a trained network to the artifact and the TFLite file that will be served."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from lenslet.config import ConvertParams, TrainParams
from lenslet.conversion.candidates import (
    TFLiteCandidate,
    candidate_table,
    choose_candidate,
    compare_with_keras,
    convert,
    drawn_training_photos,
    pixels_of,
    reason_to_refuse,
    slow_candidates,
)
from lenslet.dataset.dataset import Dataset
from lenslet.dataset.out_of_fold import OutOfFold
from lenslet.dataset.sampling import evenly_spaced
from lenslet.evaluation.calibration import conformal_threshold, fit_temperature
from lenslet.evaluation.explanations import judge_in_subprocess
from lenslet.evaluation.few_photos import carried
from lenslet.evaluation.metrics import accuracy
from lenslet.evaluation.ood import (
    auroc,
    ood_threshold,
    out_of_fold_residual,
    principal_subspace,
    unlike_photos,
)
from lenslet.evaluation.reference import reference_of, to_json
from lenslet.evaluation.runtime_check import RuntimeCheck, check_runtime_in_subprocess, served_metrics
from lenslet.inference.artifact import ENERGY, FEATURE_RESIDUAL, Artifact, sha256_of, write_model_folder
from lenslet.inference.classifier import runtime_name
from lenslet.inference.decode import RESIZE_RULE
from lenslet.inference.errors import ArtifactError
from lenslet.network.assembly import logits_and_features_of, served_network

TRAINING_PHOTOS = 500  # whose features span what is in distribution; 200 found hardly less
TIMED = 50  # pictures that tell how fast a file is
AGREEMENT_PHOTOS = 500  # at least, on which a file must answer as Keras: of 60, a single one would be 1.7 %


def make_servable(
    network: keras.Model,
    dataset: Dataset,
    name: str,
    trained: TrainParams,
    params: ConvertParams,
    answers: OutOfFold | None = None,
) -> tuple[Artifact, bytes]:
    """Calibrate, convert, check in the runtime, and choose; prints a table of the candidates.

    `name`: of the model; `trained`: the settings of its training; `answers`: for the training photos, out of fold,
    where no others validate. Returns: the artifact with its figures on the validation photos, or out of fold, and the
    content of its TFLite file. Raises: ConversionRefused if no candidate keeps the limits.
    """
    drawn = drawn_training_photos(dataset, TRAINING_PHOTOS, trained.seed)
    judged = dataset.members("train" if answers else "validation")
    keras_answers = ask_keras(network, dataset, np.union1d(judged, drawn))
    temperature = temperature_of(keras_answers, dataset, answers)
    subspace = principal_subspace(keras_answers.features[keras_answers.rows(drawn)])
    # A precision is compared with Keras on photos with labels, by which it may lose little; those that trained will do.
    compared = drawn if answers else judged
    # Agreement needs no labels: where there are few validation photos, training photos join them.
    joining = drawn[: 0 if answers else max(0, AGREEMENT_PHOTOS - len(judged))]
    shown = np.concatenate([compared, joining])
    expected = softmax(keras_answers.logits[keras_answers.rows(shown)] / temperature, axis=1)
    pixels, targets = pixels_of(dataset, shown), dataset.targets[compared]
    keras_accuracy = accuracy(targets, expected[: len(targets)])
    ranges = drawn_training_photos(dataset, params.calibration_photos, trained.seed)
    served = served_network(network, temperature, subspace)
    models = convert(served, params.precisions, pixels_of(dataset, ranges))
    draft = draft_artifact(name, dataset.labels, trained.input_size, temperature, params.conformal_alpha)
    candidates, checks = try_out(models, draft, pixels, targets, expected, keras_accuracy, params)
    print(candidate_table(candidates, keras_accuracy, params, "training" if answers else "validation"))
    chosen = choose_candidate(candidates, keras_accuracy, params)
    print(f"chosen: {chosen.precision}, the smallest file among the fastest in {draft.runtime}")
    check = checks[chosen.precision]
    draft = replace(draft, sha256=sha256_of(chosen.model), precision=chosen.precision)
    if answers:
        check = out_of_fold_check(keras_answers.features, answers, temperature, check.time_ms)
        targets = dataset.targets[judged]
    draft, check = with_ood_kind(draft, chosen.model, check, unlike_photos(pixels[: len(compared)]))
    draft = replace(draft, explanation=judged_explanation(draft, chosen.model, pixels, params))
    facts = {"data_fingerprint": dataset.fingerprint} | ({"folds": float(answers.count)} if answers else {})
    return finished_artifact(draft, chosen, check, targets, params, facts), chosen.model


@dataclass(frozen=True)
class KerasAnswers:
    """What the network answers in Keras for some photos of a dataset."""

    members: NDArray[np.int64]  # positions of the photos in the dataset, ascending
    logits: NDArray[np.float32]  # shape (photos, classes)
    features: NDArray[np.float32]  # average-pooled, shape (photos, channels)

    def rows(self, members: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the answers for these photos are; they must be among those that were asked for."""
        return np.searchsorted(self.members, members)


def ask_keras(network: keras.Model, dataset: Dataset, members: NDArray[np.int64]) -> KerasAnswers:
    """All answers at once: each network that Keras runs is traced first, which takes as long as a hundred photos."""
    found = logits_and_features_of(network).predict(pixels_of(dataset, members), verbose=0)
    return KerasAnswers(members, found["logits"], found["features"])


def temperature_of(keras_answers: KerasAnswers, dataset: Dataset, answers: OutOfFold | None = None) -> float:
    """The temperature with the lowest log loss on the validation photos, or of out-of-fold `answers`."""
    if answers:
        return fit_temperature(answers.logits, dataset.targets[dataset.members("train")])
    validation = dataset.members("validation")
    return fit_temperature(keras_answers.logits[keras_answers.rows(validation)], dataset.targets[validation])


def out_of_fold_check(
    features: NDArray[np.float32], answers: OutOfFold, temperature: float, time_ms: float
) -> RuntimeCheck:
    """The answers for the training photos as a check of the model on photos that it has not seen.

    `features`: of the training photos, shape (photos, channels).
    """
    return RuntimeCheck(
        softmax(answers.logits / temperature, axis=1),
        out_of_fold_residual(features, answers.folds, TRAINING_PHOTOS),
        -logsumexp(answers.logits.astype(np.float64), axis=1),
        time_ms,
    )


def draft_artifact(
    name: str, labels: tuple[str, ...], image_size: int, temperature: float, alpha: float
) -> Artifact:
    """The artifact as far as it is known before a file is chosen."""
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
        ood_kind=FEATURE_RESIDUAL,
    )


def with_ood_kind(
    draft: Artifact, model: bytes, check: RuntimeCheck, unlike: NDArray[np.uint8]
) -> tuple[Artifact, RuntimeCheck]:
    """The draft and its check with the OOD score that separates the `unlike` pictures best; prints both.

    A file of low precision may round the feature residual away.
    """
    outside = check_in_folders({draft.precision: model}, draft, unlike)[draft.precision]
    if isinstance(outside, ArtifactError):
        raise outside
    areas = {
        FEATURE_RESIDUAL: auroc(check.ood_score, outside.ood_score),
        ENERGY: auroc(check.energy, outside.energy),
    }
    kind = max(areas, key=areas.__getitem__)
    print(f"OOD score: {kind}, AUROC " + ", ".join(f"{area:.3f} ({name})" for name, area in areas.items()))
    if kind == FEATURE_RESIDUAL:
        return draft, check
    return replace(draft, ood_kind=kind), replace(check, ood_score=check.energy)


def finished_artifact(
    draft: Artifact,
    chosen: TFLiteCandidate,
    check: RuntimeCheck,
    targets: NDArray[np.int64],
    params: ConvertParams,
    facts: Mapping[str, Any],
) -> Artifact:
    """The draft with the chosen file, its prediction sets, and its figures on the photos of `check`, with `facts`."""
    threshold = conformal_threshold(check.probabilities, targets, draft.conformal_alpha)
    figures = served_metrics(draft.labels, targets, check, threshold, draft.conformal_alpha)
    validation = {
        **facts,
        **carried(figures),
        "agreement_with_keras": chosen.agreement,
    }
    return replace(
        draft,
        conformal_threshold=threshold,
        ood_threshold=ood_threshold(check.ood_score, params.ood_true_positive_rate),
        metrics={"validation": validation},
        reference=to_json(reference_of(targets, check.probabilities, check.ood_score)),
    )


def judged_explanation(
    draft: Artifact, model: bytes, pixels: NDArray[np.uint8], params: ConvertParams
) -> Mapping[str, Any]:
    """The kind of explanation that is best on some of the pictures, of any label; prints a table. Empty if on none."""
    if not params.explanation_photos:
        return {}
    places = evenly_spaced(len(pixels), params.explanation_photos)  # photos are in the order of their classes
    with tempfile.TemporaryDirectory() as name:
        write_model_folder(draft, model, Path(name))
        return judge_in_subprocess(Path(name), pixels[places])


def check_in_folders(
    models: dict[str, bytes], draft: Artifact, pixels: NDArray[np.uint8]
) -> dict[str, RuntimeCheck | ArtifactError]:
    """Answers of the files of these precisions in the runtime, each in a model folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / precision for precision in models]
        for folder, (precision, model) in zip(folders, models.items(), strict=True):
            write_model_folder(replace(draft, sha256=sha256_of(model), precision=precision), model, folder)
        return dict(zip(models, check_runtime_in_subprocess(folders, pixels), strict=True))


def try_out(
    models: dict[str, bytes],
    draft: Artifact,
    pixels: NDArray[np.uint8],
    targets: NDArray[np.int64],
    expected: NDArray[np.float32],
    keras_accuracy: float,
    params: ConvertParams,
) -> tuple[list[TFLiteCandidate], dict[str, RuntimeCheck]]:
    """Load and run each precision's file exactly as it would be served, in a model folder of its own.

    Files that are much slower than the fastest one are run on all pictures only if no other may be served.

    Args: uint8 RGB pictures, shape (pictures, size, size, 3), and Keras's probabilities for them; `targets` are the
        classes of the first ones, the validation photos, and `keras_accuracy` is on these.
    Returns: what was measured, and what those that ran on all answered for the validation photos, by precision.
    """

    def candidate(precision: str, check: RuntimeCheck | ArtifactError) -> TFLiteCandidate:
        model = models[precision]
        if isinstance(check, ArtifactError):
            return TFLiteCandidate(precision, model, failure=str(check))
        return compare_with_keras(precision, model, check.probabilities, check.time_ms, targets, expected)

    is_timed = len(models) > 1 and len(pixels) > 2 * TIMED
    first = ran(check_in_folders(models, draft, pixels[:TIMED])) if is_timed else {}
    slow = slow_candidates({name: check.time_ms for name, check in first.items()}, params)
    tried = check_in_folders({name: models[name] for name in models if name not in slow}, draft, pixels)
    candidates = {name: candidate(name, check) for name, check in tried.items()}
    if slow and all(reason_to_refuse(each, keras_accuracy, params) for each in candidates.values()):
        tried |= check_in_folders({name: models[name] for name in slow}, draft, pixels)
        candidates |= {name: candidate(name, tried[name]) for name in slow}
    else:
        candidates |= {name: TFLiteCandidate(name, models[name], failure=why) for name, why in slow.items()}
    checks = {name: check.first(len(targets)) for name, check in ran(tried).items()}
    return [candidates[name] for name in models], checks


def ran(tried: Mapping[str, RuntimeCheck | ArtifactError]) -> dict[str, RuntimeCheck]:
    """Without the files that the runtime could not load."""
    return {name: check for name, check in tried.items() if isinstance(check, RuntimeCheck)}

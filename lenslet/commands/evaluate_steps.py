"""Steps of `lenslet evaluate`: check that photos and model fit, measure, and say how the model was trained."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lenslet.config import EvaluateParams

if TYPE_CHECKING:
    from lenslet.dataset.dataset import Dataset
    from lenslet.inference.artifact import Artifact
    from lenslet.inference.classifier import Classifier
    from lenslet.reporting.learning_curves import TrainingCurves
    from lenslet.reporting.report import Evidence
    from lenslet.training.record import TrainingRecord


def check_labels(dataset: "Dataset", artifact: "Artifact", data: Path, model: Path) -> None:
    from lenslet.dataset.photos import DatasetError

    validation = artifact.metrics.get("validation", {})
    if "agreement_with_keras" not in validation or validation.get("photos", 0) < 1:
        raise DatasetError(f"model.json in {model} lacks the figures of lenslet convert: run that again")
    if dataset.labels != artifact.labels:
        raise DatasetError(
            f"{data} has the classes {', '.join(dataset.labels)}; "
            f"the model in {model} knows {', '.join(artifact.labels)}"
        )


def measure_photos(
    classifier: "Classifier", dataset: "Dataset", params: EvaluateParams, arguments: argparse.Namespace
) -> "Evidence":
    """The answers of the model on the test photos, on corrupted ones unless these are few, and on foreign ones."""
    from lenslet.batch.files import find_files
    from lenslet.evaluation.few_photos import MIN_TEST_PHOTOS
    from lenslet.evaluation.ood import ood_auroc, ood_sets
    from lenslet.inference.artifact import TFLITE_NAME
    from lenslet.reporting.measurement import measure_model

    foreign = find_files([arguments.ood]) if arguments.ood else None
    sets = ood_sets(classifier.artifact.image_size, foreign)
    if foreign:
        print(f"{len(sets['photos']):,} of the {len(foreign):,} files of --ood are photos that can be read")
    few = len(dataset.members("test")) < MIN_TEST_PHOTOS
    megabytes = (arguments.model / TFLITE_NAME).stat().st_size / 1e6
    evidence = measure_model(classifier, dataset, 0 if few else params.corruption_photos, megabytes)
    return replace(evidence, ood_auroc=ood_auroc(classifier, evidence.check.ood_score, sets))


def training_facts(record: "TrainingRecord", dataset: "Dataset") -> dict[str, str]:
    """How the model was trained, and on which photos it was evaluated."""
    backbone = record.params.backbone
    epochs = (f"{len(each['loss'])} ({step})" for step, each in record.history.items() if "loss" in each)
    return {
        "backbone": f"{backbone.name}, initial weights {backbone.weights}",
        "trained on": ", ".join(f"{count:,} photos ({split})" for split, count in record.photos.items()),
        "training": f"{' + '.join(epochs)} epochs, {record.minutes:g} minutes",
        "trained with": ", ".join(f"{name} {version}" for name, version in record.versions.items()),
        "training data": f"fingerprint {record.data_fingerprint[:12]}",
        "evaluation data": f"fingerprint {dataset.fingerprint[:12]}",
    }


def curves_of(record: "TrainingRecord") -> "TrainingCurves":
    """The curves of the training, for the report."""
    from lenslet.reporting.learning_curves import TrainingCurves

    keeps_best = record.photos.get("validation", 0) >= record.params.fine_tune.min_validation_photos
    return TrainingCurves(record.history, record.validation, keeps_best)

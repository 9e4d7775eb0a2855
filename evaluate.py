"""Judge a model folder on photos that did not train it, through the very file and runtime that serve.

    python evaluate.py --data my_photos --model out/mine

Uses the test split of the folder (drawn again exactly as train.py drew it, where the folder has none of its
own); --all takes every photo of a folder that the model never saw. Prints the figures: how right the model is, how
well its probabilities are calibrated, and how it holds under nine kinds of damage. Writes into report/: report.html,
a page to read, with the most confident mistakes and what speaks for them; metrics.json; and PNG plots. With
--record, the overall figures also go into model.json and MODEL_CARD.md.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from evaluation.corruptions import ladder
from evaluation.familiarity import NoStrangers, strangers, told_apart
from evaluation.gallery import galleries
from evaluation.metrics import accuracy
from evaluation.model_card import CARD_NAME, write_model_card
from evaluation.page import Background, Finding
from evaluation.report import Evidence, figures, table, write_report
from evaluation.trial import run
from inference.artifact import JSON_NAME, TFLITE_NAME, Artifact, write_artifact
from inference.classifier import Classifier
from inference.errors import ArtifactError
from training.dataset import Dataset, DatasetError, read_dataset
from training.lint import KINDS, lint
from training.params import ParamsError, read_params
from training.record import RecordError, TrainingRecord, read_record
from training.tracking import TrackingUnavailable, run_of

REFUSALS = ArtifactError, DatasetError, NoStrangers, ParamsError, RecordError, TrackingUnavailable


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        tracker = run_of(arguments.model)
        classifier = Classifier.load(arguments.model)
        record = read_record(arguments.model)
        params = read_params(arguments.params).evaluate
        dataset = read_dataset(arguments.data, record.params, arguments.cache, only_test=arguments.all)
        check_photos(dataset, classifier.artifact, arguments)
        others = strangers(classifier.artifact.image_size, arguments.strangers)
    except REFUSALS as error:
        print(f"evaluate.py: {error}", file=sys.stderr)
        return 2
    if dataset.fingerprint != record.data_fingerprint:
        print("note: these are not the photos that the model came from; make sure that it never saw them")
    megabytes = (arguments.model / TFLITE_NAME).stat().st_size / 1e6
    evidence = gather(classifier, dataset, params.ladder_photos, megabytes)
    evidence = replace(evidence, told_apart=told_apart(classifier, evidence.trial.familiarity, others))
    found = figures(evidence)
    print(table(found, dataset.labels))
    background = gather_background(classifier, dataset, evidence, record, arguments)
    written = write_report(evidence, found, dataset.fingerprint, background, arguments.report)
    print(f"written into {arguments.report}: {', '.join(written)}")
    if arguments.record:
        record_figures(classifier.artifact, found, dataset.fingerprint, arguments.model)
    told = [arguments.model / name for name in (JSON_NAME, CARD_NAME)]
    tracker.add("test", found, {"report": [arguments.report / name for name in written], "model": told})
    return 0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled photos")
    parser.add_argument("--model", type=Path, default=Path("model"), help="model folder (%(default)s)")
    parser.add_argument("--all", action="store_true", help="judge on every photo, not only the test split")
    parser.add_argument("--strangers", type=Path, help="folder of photos of something else, to be told apart")
    parser.add_argument("--record", action="store_true", help="write the figures into the model folder, too")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: %(default)s")
    parser.add_argument("--report", type=Path, default=Path("report"), help="where to write (%(default)s)")
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="decoded photos (%(default)s)")
    return parser.parse_args(argv)


def check_photos(dataset: Dataset, artifact: Artifact, arguments: argparse.Namespace) -> None:
    if dataset.labels != artifact.labels:
        raise DatasetError(
            f"{arguments.data} has the classes {', '.join(dataset.labels)}; "
            f"the model in {arguments.model} knows {', '.join(artifact.labels)}"
        )


def gather(classifier: Classifier, dataset: Dataset, ladder_photos: int, megabytes: float) -> Evidence:
    """Classify the test photos, and some of them once more under every kind of damage."""
    test = dataset.members("test")
    targets = dataset.targets[test]
    [trial] = run([classifier], dataset.pixels[dataset.rows[test]])
    if not ladder_photos:
        return Evidence(classifier.artifact, targets, trial, ladder={}, ladder_clean=0.0, megabytes=megabytes)
    # Evenly spread, because the classes lie one after the other; the same photos each time.
    some = np.unique(np.linspace(0, len(test) - 1, min(ladder_photos, len(test))).astype(int))
    climbed = ladder(
        lambda pixels: np.stack([classifier.classify(picture).probabilities for picture in pixels]),
        dataset.pixels[dataset.rows[test[some]]],
        targets[some],
    )
    clean = accuracy(targets[some], trial.probabilities[some])
    return Evidence(classifier.artifact, targets, trial, climbed, clean, megabytes)


def gather_background(
    classifier: Classifier,
    dataset: Dataset,
    evidence: Evidence,
    record: TrainingRecord,
    arguments: argparse.Namespace,
) -> Background:
    """The photos worth a look, what is odd about the folder, and how the model came to be."""
    test = dataset.members("test")
    paths = [dataset.photos[number].path.relative_to(arguments.data) for number in test]
    answers = (evidence.targets, evidence.trial.probabilities)
    rows = dataset.rows[test]
    shown = galleries(classifier, *answers, paths, lambda number: dataset.pixels[rows[number]])
    # Which labels may be wrong is not asked here: the most confident mistakes show it.
    odd: dict[str, list[Finding]] = {}
    for each in lint(dataset, arguments.cache):
        places = [str(place.relative_to(arguments.data)) for place in (each.path, each.other) if place]
        odd.setdefault(f"{each.kind}: {KINDS[each.kind]}", []).append(Finding(each.detail, *places))
    return Background(shown, odd, facts(record, dataset))


def facts(record: TrainingRecord, dataset: Dataset) -> dict[str, str]:
    """How the model was trained, and on which photos it was judged."""
    backbone = record.params.backbone
    epochs = (
        f"{len(values['loss'])} ({step})" for step, values in record.history.items() if "loss" in values
    )
    return {
        "backbone": f"{backbone.name}, started from {backbone.weights}",
        "trained on": ", ".join(f"{count:,} photos ({split})" for split, count in record.photos.items()),
        "training": f"{' + '.join(epochs)} epochs, {record.minutes:g} minutes",
        "trained with": ", ".join(f"{name} {version}" for name, version in record.versions.items()),
        "photos of the training": f"fingerprint {record.data_fingerprint[:12]}",
        "photos judged here": f"fingerprint {dataset.fingerprint[:12]}",
    }


def record_figures(artifact: Artifact, found: dict[str, float], fingerprint: str, folder: Path) -> None:
    """Put the test figures beside the validation figures of model.json and the card."""
    overall = {key: value for key, value in found.items() if not key.startswith("robustness.")}
    metrics = {**artifact.metrics, "test": {"data_fingerprint": fingerprint, **overall}}
    recorded = replace(artifact, metrics=metrics)
    write_model_card(recorded, folder)
    write_artifact(recorded, folder)


if __name__ == "__main__":
    sys.exit(main())

"""Judge a model folder on photos that did not train it, through the very file and runtime that serve.

    lenslet evaluate --data my_photos --model out/mine

Uses the test split of the folder (drawn again exactly as train.py drew it); --all takes every photo of a folder that
the model never saw. Prints how right the model is, how well it is calibrated, and how it holds under nine kinds of
damage. Writes report.html, a page to read, metrics.json and plots into report/; --record also into the model folder.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from lenslet.config import ParamsError, read_params
from lenslet.dataset.dataset import Dataset
from lenslet.dataset.lint import KINDS, lint
from lenslet.dataset.photos import DatasetError
from lenslet.dataset.reading import read_dataset
from lenslet.dataset.sampling import evenly_spaced
from lenslet.evaluation.metrics import accuracy
from lenslet.evaluation.ood import NoOodPhotos, ood_auroc, ood_sets
from lenslet.evaluation.runtime_check import corruption_accuracy, run
from lenslet.inference.artifact import JSON_NAME, TFLITE_NAME, Artifact, write_artifact
from lenslet.inference.classifier import Classifier
from lenslet.inference.errors import ArtifactError
from lenslet.registry.tracking import add_to_run
from lenslet.reporting.gallery import galleries
from lenslet.reporting.model_card import CARD_NAME, write_model_card
from lenslet.reporting.page import Background, Finding
from lenslet.reporting.report import Evidence, figures, table, write_report
from lenslet.training.record import RecordError, TrainingRecord, read_record

REFUSALS = ArtifactError, DatasetError, NoOodPhotos, ParamsError, RecordError, OSError


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        classifier = Classifier.load(arguments.model)
        record = read_record(arguments.model)
        params = read_params(arguments.params).evaluate
        # Now: if it cannot be, the work would be in vain.
        arguments.report.mkdir(parents=True, exist_ok=True)
        dataset = read_dataset(arguments.data, record.params, arguments.cache, only_test=arguments.all)
        check_photos(dataset, classifier.artifact, arguments)
        others = ood_sets(classifier.artifact.image_size, arguments.ood)
    except REFUSALS as error:
        print(f"lenslet evaluate: {error}", file=sys.stderr)
        return 2
    if dataset.fingerprint != record.data_fingerprint:
        print("note: these are not the photos that the model came from; make sure that it never saw them")
    megabytes = (arguments.model / TFLITE_NAME).stat().st_size / 1e6
    evidence = gather(classifier, dataset, params.ladder_photos, megabytes)
    evidence = replace(evidence, ood_auroc=ood_auroc(classifier, evidence.trial.ood_score, others))
    found = figures(evidence)
    print(table(found, dataset.labels))
    photos = {"data_fingerprint": dataset.fingerprint, "test_fingerprint": dataset.test_fingerprint}
    background = gather_background(classifier, dataset, evidence, record, arguments)
    written = write_report(evidence, found, photos, background, arguments.report)
    print(f"written into {arguments.report}: {', '.join(written)}")
    if arguments.record:
        record_figures(classifier.artifact, found, photos, arguments.model)
    files = {"report": [arguments.report / name for name in written]}
    files["model"] = [arguments.model / name for name in (JSON_NAME, CARD_NAME)]
    add_to_run(arguments.model, "test", found, files)
    return 0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled photos")
    parser.add_argument("--model", type=Path, default=Path("model"), help="model folder (%(default)s)")
    parser.add_argument("--all", action="store_true", help="judge on every photo, not only the test split")
    parser.add_argument("--ood", type=Path, help="folder of photos of something else, to be told apart")
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
    some = evenly_spaced(len(test), ladder_photos)
    climbed = corruption_accuracy(classifier, dataset.pixels[dataset.rows[test[some]]], targets[some])
    clean = accuracy(targets[some], trial.probabilities[some]) if climbed else 0.0
    return Evidence(classifier.artifact, targets, trial, climbed, len(some), clean, megabytes)


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
    epochs = (f"{len(each['loss'])} ({step})" for step, each in record.history.items() if "loss" in each)
    return {
        "backbone": f"{backbone.name}, started from {backbone.weights}",
        "trained on": ", ".join(f"{count:,} photos ({split})" for split, count in record.photos.items()),
        "training": f"{' + '.join(epochs)} epochs, {record.minutes:g} minutes",
        "trained with": ", ".join(f"{name} {version}" for name, version in record.versions.items()),
        "photos of the training": f"fingerprint {record.data_fingerprint[:12]}",
        "photos judged here": f"fingerprint {dataset.fingerprint[:12]}",
    }


def record_figures(artifact: Artifact, found: dict[str, float], photos: dict[str, str], folder: Path) -> None:
    """Put the test figures beside the validation figures of model.json and the card."""
    overall = {key: value for key, value in found.items() if not key.startswith("robustness.")}
    recorded = replace(artifact, metrics={**artifact.metrics, "test": {**photos, **overall}})
    write_model_card(recorded, folder)
    write_artifact(recorded, folder)


if __name__ == "__main__":
    sys.exit(main())

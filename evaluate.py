"""Judge a model folder on photos that did not train it, through the very file and runtime that serve.

    python evaluate.py --data my_photos --model out/mine

Uses the test split of the folder (drawn again exactly as train.py drew it, where the folder has none of its
own); --all takes every photo of a folder that the model never saw. Prints the figures: how right the model is, how
well its probabilities are calibrated, and how it holds under nine kinds of damage. Writes metrics.json and PNG plots
into report/. With --record, the overall figures also go into model.json and MODEL_CARD.md.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from evaluation.corruptions import ladder
from evaluation.metrics import accuracy
from evaluation.model_card import write_model_card
from evaluation.report import Evidence, figures, table, write_report
from evaluation.trial import run
from inference.artifact import TFLITE_NAME, Artifact, write_artifact
from inference.classifier import Classifier
from inference.errors import ArtifactError
from training.dataset import Dataset, DatasetError, read_dataset
from training.params import ParamsError, read_params
from training.record import RecordError, read_record


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        classifier = Classifier.load(arguments.model)
        record = read_record(arguments.model)
        params = read_params(arguments.params).evaluate
        dataset = read_dataset(arguments.data, record.params, arguments.cache, only_test=arguments.all)
        check_photos(dataset, classifier.artifact, arguments)
    except (ArtifactError, DatasetError, ParamsError, RecordError) as error:
        print(f"evaluate.py: {error}", file=sys.stderr)
        return 2
    if dataset.fingerprint != record.data_fingerprint:
        print(
            "note: these are not the photos that the model was trained with; make sure that it never saw them"
        )
    megabytes = (arguments.model / TFLITE_NAME).stat().st_size / 1e6
    evidence = gather(classifier, dataset, params.ladder_photos, megabytes)
    found = figures(evidence)
    print(table(found, dataset.labels))
    print(f"written into {arguments.report}: {', '.join(write_report(evidence, arguments.report))}")
    if arguments.record:
        record_figures(classifier.artifact, found, dataset.fingerprint, arguments.model)
    return 0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled photos")
    parser.add_argument("--model", type=Path, default=Path("model"), help="model folder (%(default)s)")
    parser.add_argument("--all", action="store_true", help="judge on every photo, not only the test split")
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


def record_figures(artifact: Artifact, found: dict[str, float], fingerprint: str, folder: Path) -> None:
    """Put the test figures beside the validation figures of model.json and the card."""
    overall = {key: value for key, value in found.items() if not key.startswith("robustness.")}
    metrics = {**artifact.metrics, "test": {"data_fingerprint": fingerprint, **overall}}
    recorded = replace(artifact, metrics=metrics)
    write_model_card(recorded, folder)
    write_artifact(recorded, folder)


if __name__ == "__main__":
    sys.exit(main())

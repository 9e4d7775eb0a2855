"""Judge a model folder on photos that did not train it, through the very file and runtime that serve.

    python evaluate.py --data my_photos --model out/mine

Uses the test split of the folder (drawn again exactly as train.py drew it, where the folder has none of its
own); --all takes every photo of a folder that the model never saw. Prints the figures; writes metrics.json and
PNG plots into report/. With --record, the figures also go into model.json and MODEL_CARD.md.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics import confusion
from evaluation.model_card import write_model_card
from evaluation.plots import confusion_figure, roc_figure
from evaluation.trial import figures_of, run
from inference.artifact import Artifact, write_artifact
from inference.atomic import replacing, write_text
from inference.classifier import Classifier
from inference.errors import ArtifactError
from training.dataset import Dataset, DatasetError, read_dataset
from training.record import RecordError, read_record


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        classifier = Classifier.load(arguments.model)
        record = read_record(arguments.model)
        dataset = read_dataset(arguments.data, record.params, arguments.cache, only_test=arguments.all)
        check_photos(dataset, classifier.artifact, arguments)
    except (ArtifactError, DatasetError, RecordError) as error:
        print(f"evaluate.py: {error}", file=sys.stderr)
        return 2
    if dataset.fingerprint != record.data_fingerprint:
        print(
            "note: these are not the photos that the model was trained with; make sure that it never saw them"
        )
    test = dataset.members("test")
    targets = dataset.targets[test]
    [trial] = run([classifier], dataset.pixels[dataset.rows[test]])
    figures = figures_of(dataset.labels, targets, trial, classifier.artifact.conformal_threshold)
    print(table(figures, dataset.labels))
    write_report(arguments.report, figures, dataset.labels, targets, trial.probabilities)
    print(f"written: metrics.json, confusion_matrix.png and roc.png in {arguments.report}")
    if arguments.record:
        record_figures(classifier.artifact, figures, dataset.fingerprint, arguments.model)
    return 0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled photos")
    parser.add_argument("--model", type=Path, default=Path("model"), help="model folder (%(default)s)")
    parser.add_argument("--all", action="store_true", help="judge on every photo, not only the test split")
    parser.add_argument("--record", action="store_true", help="write the figures into the model folder, too")
    parser.add_argument("--report", type=Path, default=Path("report"), help="where to write (%(default)s)")
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="decoded photos (%(default)s)")
    return parser.parse_args(argv)


def check_photos(dataset: Dataset, artifact: Artifact, arguments: argparse.Namespace) -> None:
    if dataset.labels != artifact.labels:
        raise DatasetError(
            f"{arguments.data} has the classes {', '.join(dataset.labels)}; "
            f"the model in {arguments.model} knows {', '.join(artifact.labels)}"
        )


def table(figures: dict[str, float], labels: tuple[str, ...]) -> str:
    """Overall figures, then precision, recall and F1 per class."""
    lines = [f"{key:<16}{value:>10.4f}" for key, value in figures.items() if "." not in key]
    width = max(len(label) for label in (*labels, "class"))
    lines += ["", f"{'class':<{width}}" + "".join(f"{name:>11}" for name in ("precision", "recall", "f1"))]
    for label in labels:
        values = (figures[f"{name}.{label}"] for name in ("precision", "recall", "f1"))
        lines.append(f"{label:<{width}}" + "".join(f"{value:>11.4f}" for value in values))
    return "\n".join(lines)


def write_report(
    folder: Path,
    figures: dict[str, float],
    labels: tuple[str, ...],
    targets: NDArray[np.int64],
    probabilities: NDArray[np.float32],
) -> None:
    plots = {
        "confusion_matrix.png": confusion_figure(labels, confusion(len(labels), targets, probabilities)),
        "roc.png": roc_figure(labels, targets, probabilities),
    }
    for name, figure in plots.items():
        with replacing(folder / name) as temporary:
            figure.savefig(temporary, dpi=150)
    write_text(folder / "metrics.json", json.dumps(figures, indent=2) + "\n")


def record_figures(artifact: Artifact, figures: dict[str, float], fingerprint: str, folder: Path) -> None:
    """Put the test figures beside the validation figures of model.json and the card."""
    metrics = {**artifact.metrics, "test": {"data_fingerprint": fingerprint, **figures}}
    recorded = replace(artifact, metrics=metrics)
    write_model_card(recorded, folder)
    write_artifact(recorded, folder)


if __name__ == "__main__":
    sys.exit(main())

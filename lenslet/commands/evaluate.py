"""Evaluate a model on photos that did not train it, with the file and the runtime that serve.

    lenslet evaluate --data my_photos --model out/mine

Uses the test split of the folder, drawn again as `lenslet train` drew it; --all uses every photo of a folder that the
model never saw. Measures accuracy, calibration, prediction sets, OOD detection, robustness to corruptions, and speed.
Prints the main figures, and writes report.html, metrics.json and plots into report/ of the model folder. Figures on the
test photos of the training are recorded in model.json and MODEL_CARD.md, too, unless --no-record; others with --record.
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lenslet.commands.options import add_options, report_folder
from lenslet.commands.output import json_output
from lenslet.commands.parser import CommandParser, params_of, parser_for

if TYPE_CHECKING:
    from lenslet.dataset.dataset import Dataset
    from lenslet.inference.artifact import Artifact
    from lenslet.reporting.learning_curves import TrainingCurves
    from lenslet.training.record import TrainingRecord


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    # Before the imports, which take seconds: a wrong file is said at once.
    params = params_of(arguments).evaluate

    from lenslet.batch.files import find_files
    from lenslet.dataset.reading import read_dataset
    from lenslet.evaluation.few_photos import MIN_TEST_PHOTOS
    from lenslet.evaluation.metric_table import headline_table
    from lenslet.evaluation.ood import ood_auroc, ood_sets
    from lenslet.inference.artifact import JSON_NAME, TFLITE_NAME
    from lenslet.inference.atomic import probe_folder, write_or_keep
    from lenslet.inference.classifier import Classifier
    from lenslet.registry.tracking import add_to_run
    from lenslet.reporting.measurement import collect_background, measure_model
    from lenslet.reporting.model_card import CARD_NAME, record_figures
    from lenslet.reporting.page import summary_sentences
    from lenslet.reporting.report import measured_metrics, write_report
    from lenslet.training.record import read_record

    classifier = Classifier.load(arguments.model)
    record = read_record(arguments.model)
    report = arguments.report or report_folder(arguments.model)
    probe_folder(report, "--report")
    if arguments.record is not False:
        probe_folder(arguments.model, "--record in")
    dataset = read_dataset(arguments.data, record.params, arguments.cache, only_test=arguments.all)
    check_labels(dataset, classifier.artifact, arguments.data, arguments.model)
    foreign = find_files([arguments.ood]) if arguments.ood else None
    sets = ood_sets(classifier.artifact.image_size, foreign)
    with json_output(arguments.json) as print_json:
        if foreign:
            print(
                f"{len(sets['photos']):,} of the {len(foreign):,} files of --ood are photos that can be read"
            )
        if dataset.fingerprint != record.data_fingerprint:
            print("note: the model was trained on other photos; make sure that these are not among them")
        megabytes = (arguments.model / TFLITE_NAME).stat().st_size / 1e6
        few = len(dataset.members("test")) < MIN_TEST_PHOTOS
        corrupted = 0 if few else params.corruption_photos
        evidence = measure_model(classifier, dataset, corrupted, megabytes)
        evidence = replace(evidence, ood_auroc=ood_auroc(classifier, evidence.check.ood_score, sets))
        figures = measured_metrics(evidence)
        cross_validated = classifier.artifact.metrics.get("cross_validation")
        print("\n".join(summary_sentences(figures, dataset.labels, cross_validated)))
        print(headline_table(figures))
        photos = {"data_fingerprint": dataset.fingerprint, "test_fingerprint": dataset.test_fingerprint}
        facts = training_facts(record, dataset)
        background = collect_background(
            classifier, dataset, evidence, facts, arguments.cache, curves_of(record)
        )
        write = partial(write_report, evidence, figures, photos, background)
        written = write_or_keep(write, report)
        print(f"written: {report / 'report.html'}, and all figures beside it")
        is_its_test = dataset.fingerprint == record.data_fingerprint and not arguments.all
        if is_its_test if arguments.record is None else arguments.record:
            record_figures(classifier.artifact, figures, photos, arguments.model)
        files = {"report": [report / name for name in written]}
        files["model"] = [arguments.model / name for name in (JSON_NAME, CARD_NAME)]
        add_to_run(arguments.model, "test", figures, files)
        print_json(
            {"model": classifier.artifact.name, "version": classifier.artifact.version, **photos, **figures}
        )
    return 0


def make_parser() -> CommandParser:
    parser = parser_for("evaluate", __doc__, sections=["evaluate"])
    add_options(parser, "--data", "--model", "--cache", "--json")
    add_options(parser, "--report", default=None, help="where to write figures and plots (MODEL/report)")
    add = parser.add_argument
    add("--all", action="store_true", help="evaluate on every photo, not only on the test split")
    add("--ood", type=Path, metavar="FOLDER", help="out-of-distribution photos, of none of the classes")
    recorded = (
        "write the figures into model.json and the model card (default: those on the photos of the training)"
    )
    add("--record", action=argparse.BooleanOptionalAction, help=recorded)
    return parser


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
    """What the report shows of the training."""
    from lenslet.reporting.learning_curves import TrainingCurves

    keeps_best = record.photos.get("validation", 0) >= record.params.fine_tune.min_validation_photos
    return TrainingCurves(record.history, record.validation, keeps_best)

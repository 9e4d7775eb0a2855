"""Evaluate a model on photos that did not train it, with the file and the runtime that serve.

    lenslet evaluate --data my_photos --model out/mine

Uses the test split of the folder, drawn again as `lenslet train` drew it; --all uses every photo of a folder that the
model never saw. Measures accuracy, calibration, prediction sets, OOD detection, robustness to corruptions, and speed.
Prints the main figures, and writes report.html, metrics.json and plots into report/ of the model folder. Figures on the
test photos of the training are recorded in model.json and MODEL_CARD.md, too, unless --no-record; others with --record.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from lenslet.commands.evaluate_steps import check_labels, curves_of, measure_photos, training_facts
from lenslet.commands.options import add_options
from lenslet.commands.output import json_output
from lenslet.commands.parser import CommandParser, params_of, parser_for
from lenslet.commands.report_places import report_folder


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    # Before the imports, which take seconds: a wrong file is said at once.
    params = params_of(arguments).evaluate

    from lenslet.dataset.reading import read_dataset
    from lenslet.evaluation.metric_table import headline_table
    from lenslet.inference.atomic import probe_folder, write_or_keep
    from lenslet.inference.classifier import Classifier
    from lenslet.reporting.measurement import collect_background
    from lenslet.reporting.model_card import record_figures
    from lenslet.reporting.model_facts import cross_validated_figures
    from lenslet.reporting.page import summary_sentences
    from lenslet.reporting.report import measured_metrics, write_report
    from lenslet.training.record import read_record, what_is_known_of

    classifier = Classifier.load(arguments.model)
    record = read_record(arguments.model)
    artifact, report = classifier.artifact, arguments.report or report_folder(arguments.model)
    probe_folder(report, "--report")
    if arguments.record is not False:
        probe_folder(arguments.model, "--record in")
    dataset = read_dataset(arguments.data, record.params, arguments.cache, arguments.all, record.recorded)
    check_labels(dataset, artifact, arguments.data, arguments.model)
    with json_output(arguments.json) as print_json:
        is_of_training = dataset.fingerprint == record.data_fingerprint
        if not is_of_training:
            print(f"note: {what_is_known_of(dataset, record)}")
        evidence = measure_photos(classifier, dataset, params, arguments)
        figures = measured_metrics(evidence)
        print("\n".join(summary_sentences(figures, dataset.labels, cross_validated_figures(artifact))))
        print(headline_table(figures))
        photos = {"data_fingerprint": dataset.fingerprint, "test_fingerprint": dataset.test_fingerprint}
        shown = (training_facts(record, dataset), arguments.cache, curves_of(record))
        background = collect_background(classifier, dataset, evidence, *shown)
        written = write_or_keep(partial(write_report, evidence, figures, photos, background), report)
        print(f"written: {report / 'report.html'}, and all figures beside it")
        is_its_test = is_of_training and not arguments.all
        if is_its_test if arguments.record is None else arguments.record:
            record_figures(artifact, figures, photos, arguments.model)
        add_to_run_of(arguments, figures, [report / name for name in written])
        print_json({"model": artifact.name, "version": artifact.version, **photos, **figures})
    return 0


def add_to_run_of(arguments: argparse.Namespace, figures: dict[str, Any], report: list[Path]) -> None:
    """Add figures and files to the MLflow run of the model."""
    from lenslet.inference.artifact import JSON_NAME
    from lenslet.registry.tracking import add_to_run
    from lenslet.reporting.model_card import CARD_NAME

    files = {"report": report, "model": [arguments.model / name for name in (JSON_NAME, CARD_NAME)]}
    add_to_run(arguments.model, "test", figures, files, arguments.overrides)


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

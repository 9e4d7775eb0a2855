"""Train a classifier on a folder of labelled photos.

    lenslet train --data my_photos --out out/mine --set train.fine_tune.epochs=3

`my_photos` holds a folder per class (the splits are drawn), or train/, val/ and test/ with a folder per class
each. Settings come from params.yaml. Prints the dataset and the validation accuracy; writes model.keras and
training.json into --out, which lenslet convert makes servable. If fine-tuning was interrupted, --resume continues it.
With --seeds 2, two networks that differ in train.seed are trained, and the average of their weights is written.
The training is also an MLflow run, with its epochs as they end: in .mlflow/, which `make mlflow` shows, or on the
server in MLFLOW_TRACKING_URI; MLFLOW_TRACKING_URI=off switches it off.
"""

import argparse
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lenslet.commands.options import DATA_OPTIONS, add_options
from lenslet.commands.output import command_line, json_output
from lenslet.commands.parser import CommandParser, params_of, parser_for, whole_number
from lenslet.commands.report_places import report_folder
from lenslet.commands.train_params import chosen_params, without_overrun
from lenslet.commands.train_seeds import train_seeds, wanted_seeds
from lenslet.commands.train_steps import (
    begin_run,
    checked_in_words,
    fine_tune_run,
    judged,
    network_with_head,
    read_photos,
)
from lenslet.config import TrainParams

if TYPE_CHECKING:
    from lenslet.registry.tracking import Tracker
    from lenslet.training.record import TrainingRecord
    from lenslet.training.small_folders import Chosen


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    arguments.began = time.monotonic()
    arguments.deadline = arguments.began + 60 * (arguments.time_budget or math.inf)
    arguments.name = arguments.name or arguments.data.resolve().name
    arguments.lint_csv = arguments.lint_csv or report_folder(arguments.out) / "lint.csv"
    with json_output(arguments.json) as print_json:
        params = chosen_params(arguments)  # before the imports, which take seconds

        from lenslet.registry.tracking import Tracker
        from lenslet.training.record import newest_training, read_record, record_json
        from lenslet.training.run import RunFinished, claimed

        with claimed(arguments.out, arguments.runs, arguments.lint_csv), Tracker() as tracker:
            try:
                record = train(params, arguments, tracker)
            except RunFinished as reason:
                print(reason)
                record = read_record(newest_training(arguments.out))
        print_json({"folder": arguments.out, **record_json(record)})
    return 0


def unfinished_training(words: list[str]) -> str:
    """How to continue an interrupted training with this command line, as the end of a sentence."""
    from lenslet.training.run import unfinished_epochs
    from lenslet.training.seeds import seed_folder, seeds_from

    arguments, _ = make_parser().parse_known_args(words)
    seeds = seeds_from(params_of(arguments).train.seed, arguments.seeds)
    places = [seed_folder(arguments.out, seed) for seed in reversed(seeds)]
    for out in places if len(seeds) > 1 else [arguments.out]:
        if found := unfinished_epochs(arguments.runs, out):
            return f"; --resume continues it after {found[1]} epochs"
    return ""


AFTER_CTRL_C = unfinished_training


def make_parser() -> CommandParser:
    parser = parser_for("train", __doc__, sections=["train"])
    add = parser.add_argument
    add_options(parser, "--data")
    add("--out", type=Path, required=True, metavar="FOLDER", help="model folder to write")
    add("--name", help="name of the model (default: that of the data folder)")
    add_options(parser, "--weights")
    budget = "choose picture size and epochs that fit, and end fine-tuning that takes longer"
    add("--time-budget", type=whole_number(1, 100_000), metavar="MINUTES", help=budget)
    seeds = "train so many networks, which differ in train.seed, and average their weights (%(default)s)"
    add("--seeds", type=whole_number(1, 100), default=1, metavar="N", help=seeds)
    add("--no-fine-tune", action="store_true", help="train the head only, within seconds")
    add("--resume", action="store_true", help="continue the interrupted run for --out, if any")
    add_options(parser, "--cache", "--runs", "--no-acceleration", *DATA_OPTIONS, "--lint-csv", "--json")
    return parser


def train(params: TrainParams, arguments: argparse.Namespace, tracker: "Tracker") -> "TrainingRecord":
    """All steps from photos to model.keras and training.json."""
    from lenslet.training.record import KERAS_NAME, place_of_training

    chosen = read_photos(params, arguments)
    seeds = wanted_seeds(chosen, arguments.seeds)
    if len(seeds) > 1:
        record = train_seeds(chosen, seeds, arguments, tracker, train_one)
    else:
        record = train_one(chosen, arguments, tracker)
    place = place_of_training(arguments.out)
    if place != arguments.out:
        print(f"{arguments.out} serves its former model until the new one is converted")
    print(f"{place / KERAS_NAME} written after {record.minutes:g} minutes; make it servable with")
    print(command_line("lenslet", "convert", "--data", arguments.data, "--model", arguments.out))
    return record


def train_one(
    chosen: "Chosen",
    arguments: argparse.Namespace,
    tracker: "Tracker",
    checked: "Mapping[str, float] | None" = None,
) -> "TrainingRecord":
    """Train one network in its run, and write it into --out; `checked` is as `network_with_head` takes it."""
    from lenslet.training.record import record_of
    from lenslet.training.run import save_trained
    from lenslet.training.validation import in_words

    dataset = chosen.dataset
    folder, run, accelerated = begin_run(chosen.params, dataset, arguments, tracker)
    started = arguments.began - 60 * run.minutes
    network, history, checked, answers = network_with_head(chosen, run, accelerated, arguments, checked)
    params, doubtful = without_overrun(chosen.params, arguments.deadline), None
    if params.fine_tune.epochs:
        run = replace(run, history=history, minutes=(time.monotonic() - started) / 60)
        tuned = fine_tune_run(network, dataset, params, (folder, run), arguments, tracker)
        history["fine_tune"], doubtful = tuned
    validation, photos = judged(network, dataset, params, answers)
    print(f"network: {in_words(validation, photos)}")
    if said := checked_in_words(checked, photos):
        print(said)
    minutes = (time.monotonic() - started) / 60
    record = record_of(
        arguments.name, params, dataset, validation, history, minutes, checked, answers, doubtful
    )
    place = save_trained(network, record, arguments.out, folder)
    tracker.log_training(record, place)
    return record

"""Average the weights of two trainings that began with the same weights: often better than either, as fast to serve.

    lenslet average --data my_photos --first out/one --second out/two --out out/averaged

Tries weighted averages from all of the first to all of the second, calibrates each, and keeps the one with the lowest
log loss on the validation photos (model soup: Wortsman et al. 2022). Prints a table; writes model.keras and
training.json into --out, and an MLflow run as lenslet train does; lenslet convert makes them servable. Train the two
with different `train.seed` or augmentation, and the same `train.split_seed`: a photo that one of them was trained on
cannot validate the other.
"""

import argparse
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenslet.commands.options import add_options
from lenslet.commands.output import command_line, json_output
from lenslet.commands.parser import CommandParser, parser_for

if TYPE_CHECKING:
    from lenslet.registry.tracking import Tracker


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)

    from lenslet.inference.atomic import probe_folder
    from lenslet.inference.folder_lock import folder_lock
    from lenslet.registry.tracking import Tracker

    probe_folder(arguments.out, "--out")
    with json_output(arguments.json) as print_json:
        with folder_lock(arguments.out, "lenslet average"), Tracker() as tracker:
            averaged = average(arguments, tracker)
        print_json({"folder": arguments.out, **averaged})
    return 0


def make_parser() -> CommandParser:
    parser = parser_for("average", __doc__)
    add_options(parser, "--data", help="the folder that both were trained on")
    add = parser.add_argument
    add("--first", type=Path, required=True, metavar="FOLDER", help="folder of a trained model")
    add("--second", type=Path, required=True, metavar="FOLDER", help="folder of another, trained on --data")
    add("--out", type=Path, required=True, metavar="FOLDER", help="model folder to write")
    add_options(parser, "--cache", "--json")
    return parser


def average(arguments: argparse.Namespace, tracker: "Tracker") -> dict[str, Any]:
    """All steps from two trained networks to one. Returns: its figures, and those of all that were tried."""
    from lenslet.dataset.reading import read_dataset
    from lenslet.inference.atomic import write_or_keep
    from lenslet.network.weight_averaging import AveragingRefused, average_into
    from lenslet.training.averaging import SHARES, try_shares, validation_pixels
    from lenslet.training.record import (
        KERAS_NAME,
        check_fingerprint,
        load_network,
        place_of_training,
        read_record,
        record_json,
        save_network,
    )

    record = read_record(arguments.second)
    if read_record(arguments.first).data_fingerprint != record.data_fingerprint:
        raise AveragingRefused(
            f"{arguments.first} and {arguments.second} were trained on other photos or other splits of them, so that "
            "no photo could validate both: train both with the same --data, train.split_seed and fractions"
        )
    if record.out_of_fold:
        raise AveragingRefused(
            f"the head of {arguments.second} was trained on all photos, so that none is left to choose the share by: "
            "train both with train.calibration=validation"
        )
    dataset = read_dataset(arguments.data, record.params, arguments.cache, recorded=record.recorded)
    check_fingerprint(record, dataset, arguments.data)
    first, second = (load_network(folder) for folder in (arguments.first, arguments.second))
    if read_record(arguments.second) != record:  # a training that ended meanwhile
        raise AveragingRefused(f"{arguments.second} changed while it was read: run this again")

    found = try_shares(first, second, *validation_pixels(dataset))
    tried, best = found.figures, found.best
    parents = {"first": arguments.first, "second": arguments.second}
    tracker.begin(record.name, {"average": parents, "train": asdict(record.params)}, dataset.fingerprint)
    print("of the second   accuracy   log loss   on the validation photos, calibrated")
    for share, figures in zip(SHARES, tried, strict=True):
        print(f"{share:>13.0%}{figures['accuracy']:>11.4f}{figures['log_loss']:>11.4f}")
    average_into(second, first, second, SHARES[best])

    steps = {**record.history, "average": found.history}
    averaged = replace(record, validation=tried[best], history=steps, seeds={})
    place = place_of_training(arguments.out)
    write_or_keep(partial(save_network, second, averaged), place)
    print(f"{place / KERAS_NAME} holds {SHARES[best]:.0%} of the second; make it servable with")
    print(command_line("lenslet", "convert", "--data", arguments.data, "--model", arguments.out))
    tracker.log_training(averaged, place)
    shares = [{"share": share, **figures} for share, figures in zip(SHARES, tried, strict=True)]
    return {"share": SHARES[best], **record_json(averaged), "tried": shares}

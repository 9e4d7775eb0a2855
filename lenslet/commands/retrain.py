"""Train a model again when people have labelled photos since, and register it as a candidate if it passes the gate.

    lenslet retrain --data my_photos --model out/mine --project scenes
    lenslet retrain --data my_photos --model out/mine --labels labels.csv

Takes the annotations of the projects from Label Studio (or a list of `lenslet label pull`), adds the photos to the
training photos of --data, trains, converts, evaluates, and compares with --model, the model in use, on the same test
photos. A model that keeps the limits and is no worse is registered with the alias `candidate`; to release it, say
`lenslet register promote candidate production`. Without new labels nothing happens. One at a time; a killed one is
continued by the same command; fewer than half of the last labels are refused without --yes. Everything is in --folder:
training.log has what the stages print. A model in use that was measured on other photos, because there are more of
them now, is measured on these, too. Exit code 0: registered, or nothing new; 1: refused by the gate.
"""

import argparse
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from lenslet.commands.options import add_options
from lenslet.commands.output import json_output
from lenslet.commands.parser import CommandParser, params_of, parser_for
from lenslet.inference.errors import InputError


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    params = params_of(arguments).train

    from lenslet.commands.retrain_stages import run_stages
    from lenslet.inference.artifact import read_artifact
    from lenslet.inference.folder_lock import folder_lock
    from lenslet.labelling.annotations import read_list
    from lenslet.labelling.pull import pull_into
    from lenslet.labelling.retraining import REFUSED, begin, compose, read_state

    folder: Path = arguments.folder
    if arguments.model.resolve() == (folder / "model").resolve():
        raise InputError(
            f"--model {arguments.model} is where the new model is written: give the model in use, which "
            "`lenslet register fetch production --out out/second` brings, or another --folder"
        )
    name = read_artifact(arguments.model).name
    with json_output(arguments.json) as print_json, folder_lock(folder, "lenslet retrain"):
        labels = arguments.labels or folder / "labels.csv"
        for project in arguments.project:
            pulled, rows = pull_into(labels, project, arguments.export, arguments.cache)
            print(
                f"{project}: {pulled.tasks:,} tasks, {len(pulled.rows):,} labelled; {rows:,} rows in {labels}"
            )
        if not labels.is_file():
            raise InputError(
                f"{labels} does not exist: give --project, or --labels with a list of `label pull`"
            )
        identity = arguments.id or datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        labelled = read_list(labels)
        state = begin(read_state(folder), labelled, identity, name, arguments.yes)
        if state is None:
            print(f"nothing is new: {len(labelled):,} labels, on which the last training was")
            print_json({"result": "nothing new", "rows": len(labelled)})
            return 0
        print(compose(folder / "photos.csv", arguments.data, labelled, params, arguments.cache).text())
        state.save(folder)
        state = run_stages(state, folder, arguments)
        print_json(asdict(state))
    return 1 if state.result == REFUSED else 0


def make_parser() -> CommandParser:
    parser = parser_for("retrain", __doc__, sections=["train", "convert", "evaluate", "gate"])
    add = parser.add_argument
    add_options(parser, "--data")
    add_options(parser, "--model", help="model in use, which gives name and figures to beat (%(default)s)")
    add("--project", action="append", default=[], metavar="NAME", help="of Label Studio; can be repeated")
    add(
        "--export",
        metavar="S3",
        help="read this S3 export storage of the project instead of asking Label Studio",
    )
    add("--labels", type=Path, metavar="LIST", help="list of `lenslet label pull` (labels.csv in --folder)")
    add("--folder", type=Path, default=Path("out/retrain"), help="where everything is written (%(default)s)")
    add("--id", help=argparse.SUPPRESS)  # of `lenslet serve --with-training`
    add("--yes", action="store_true", help="train on fewer than half of the last labels, too")
    add_options(parser, "--weights")
    add("--no-fine-tune", action="store_true", help="train the head only, within seconds")
    add_options(parser, "--cache", "--json")
    return parser

"""Register models that pass the gate as numbered versions, promote them to staging and production, and fetch them.

    lenslet register register --model out/mine --alias staging    a whole model folder, after lenslet evaluate
    lenslet register promote staging production                   the version in staging goes into production, too
    lenslet register promote 3 production                         back to version 3
    lenslet register list
    lenslet register fetch production --out out/champion          the whole model folder, verified

A model that `lenslet gate` refuses is not registered: by the figures in its model.json it must keep the limits of
params.yaml, and not be worse than the model in production. A version consists of the model folder, report.html,
checksums, the fingerprint of the photos and, if the training was tracked, its git commit. Registering the same weights
again updates figures, card and report of their version. Where several names are registered, write name@production.
`registry:production` can be given to lenslet train and lenslet tune as --weights, and to lenslet gate as --champion.
The registry is MLflow's: in .mlflow/, which `make mlflow` shows, or on the server at MLFLOW_TRACKING_URI.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

from lenslet.commands.gate import limits_of
from lenslet.commands.options import add_options
from lenslet.commands.output import json_output
from lenslet.commands.parser import CommandParser, parser_for
from lenslet.commands.report_places import report_folder

ALIASES = (
    "candidate",
    "staging",
    "production",
)  # as in lenslet.registry.versions, which is not imported for --help


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    code: int = arguments.run(arguments)
    return code


def make_parser() -> CommandParser:
    parser = parser_for("register", __doc__)
    parser.sections = ["gate"]  # checked by the outer parser, which has the words of the inner one
    commands = parser.add_subparsers(required=True, metavar="register | promote | list | fetch")
    new = commands.add_parser("register", help="register a model that passes the gate as a new version")
    new.sections = ["gate"]
    add_options(new, "--model", help="whole model folder (%(default)s)")
    add_options(new, "--report", default=None, help="report folder of lenslet evaluate (MODEL/report)")
    new.add_argument("--alias", choices=ALIASES, help="promote it to this alias")
    add_options(new, "--params", "--set", "--json")
    new.set_defaults(run=run_register)
    promoted = commands.add_parser("promote", help="point an alias to another version")
    add_reference(promoted)
    promoted.add_argument("to", choices=ALIASES)
    add_options(promoted, "--json")
    promoted.set_defaults(run=run_promote)
    listed = commands.add_parser("list", help="list all versions")
    add_options(listed, "--json")
    listed.set_defaults(run=run_list)
    got = commands.add_parser("fetch", help="write the model folder of a version")
    add_reference(got)
    got.add_argument("--out", type=Path, required=True, help="model folder to write")
    got.add_argument("--report", type=Path, help="folder for its report.html, too")
    add_options(got, "--json")
    got.set_defaults(run=run_fetch)
    return parser


def add_reference(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "reference", metavar="version", help="staging, production, a number, or any of these after name@"
    )


def run_register(arguments: argparse.Namespace) -> int:
    from lenslet.evaluation.gate import decide, read_figures
    from lenslet.inference.artifact import JSON_NAME, read_artifact
    from lenslet.registry.versions import PREFIX, fetched, matching_versions, open_registry, register

    registry = open_registry()
    production = f"{PREFIX}{read_artifact(arguments.model).name}@production"
    champion = None
    if matching_versions(registry, production):
        with fetched(production, JSON_NAME) as folder:
            champion = read_figures(folder)
    figures = read_figures(arguments.model)
    limits = limits_of(arguments, str(figures["model"]))
    decision = decide(figures, limits, champion, (str(arguments.model), production))
    with json_output(arguments.json) as print_json:
        print(decision.table)
        if not decision.is_passed:
            print_json({"gate": decision.as_json(), "version": None})
            return 1
        report = arguments.report or report_folder(arguments.model)
        version, is_new = register(registry, arguments.model, report, decision.table, arguments.alias)
        aliases = f", in {' and '.join(version.aliases)}" if version.aliases else ""
        print(
            f"{arguments.model} is {version}{aliases}" + ("" if is_new else ", as it was registered before")
        )
        print_json({"gate": decision.as_json(), "version": asdict(version), "is_new": is_new})
    return 0


def run_promote(arguments: argparse.Namespace) -> int:
    from lenslet.registry.versions import open_registry, promote

    with json_output(arguments.json) as print_json:
        version = promote(open_registry(), arguments.reference, arguments.to)
        print(f"{version} is in {' and '.join(version.aliases)}")
        print_json(asdict(version))
    return 0


def run_list(arguments: argparse.Namespace) -> int:
    from lenslet.registry.versions import open_registry, require_registry, versions_table

    require_registry()
    nothing = "no model is registered yet: `lenslet register register` does that"
    with json_output(arguments.json) as print_json:
        versions = open_registry().versions()
        print(versions_table(versions) if versions else nothing)
        print_json([asdict(version) for version in versions])
    return 0


def run_fetch(arguments: argparse.Namespace) -> int:
    from lenslet.registry.versions import fetch_version, open_registry

    with json_output(arguments.json) as print_json:
        version = fetch_version(open_registry(), arguments.reference, arguments.out, arguments.report)
        print(f"{arguments.out} holds {version}")
        print_json(asdict(version))
    return 0

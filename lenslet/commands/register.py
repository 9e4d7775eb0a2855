"""Keep models that pass the gate under numbers, say which is in staging and production, and get them back.

    lenslet register register --model out/mine --alias staging    a whole model folder, after lenslet evaluate --record
    lenslet register promote staging production                   the one in staging goes into production, too
    lenslet register promote 3 production                         back to version 3
    lenslet register list
    lenslet register fetch production --out out/champion          the whole model folder, checked

What lenslet gate refuses is not registered: it is held against the limits of params.yaml and against the model that
is in production, by the figures in its model.json. A version carries the model folder, report.html, checksums, the
fingerprint of the photos and the git commit of its training, if that was tracked. The same weights are one version,
however often they are registered; figures, card and report are brought up to date. Where models of several names
are registered, write name@production. `registry:production` is what train.py and lenslet tune take as --weights,
and lenslet gate as --champion. The registry is MLflow's: in .mlflow/, which `make mlflow` shows, or on the server
that MLFLOW_TRACKING_URI names.
"""

import argparse
import sys
from pathlib import Path

from lenslet.commands import gate
from lenslet.inference.artifact import read_artifact
from lenslet.registry.versions import ALIASES, PREFIX, fetch, matching, open_store, promote, register, table
from lenslet.training.record import RecordError


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        code: int = arguments.run(arguments)
    except (*gate.REFUSALS, RecordError) as error:
        print(f"lenslet register: {error}", file=sys.stderr)
        return 2
    return code


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="register | promote | list | fetch")
    new = commands.add_parser("register", help="number a model that passes the gate")
    new.add_argument("--model", type=Path, default=Path("model"), help="whole model folder (%(default)s)")
    new.add_argument(
        "--report", type=Path, default=Path("report"), help="where lenslet evaluate wrote (%(default)s)"
    )
    new.add_argument("--alias", choices=ALIASES, help="let it mean this version from now on")
    new.add_argument("--params", type=Path, default=Path("params.yaml"), help="limits (%(default)s)")
    new.set_defaults(run=register_model)
    promoted = commands.add_parser("promote", help="let an alias mean another version")
    add_reference(promoted)
    promoted.add_argument("to", choices=ALIASES)
    promoted.set_defaults(run=promote_version)
    commands.add_parser("list", help="all versions").set_defaults(run=list_versions)
    got = commands.add_parser("fetch", help="write the model folder of a version")
    add_reference(got)
    got.add_argument("--out", type=Path, required=True, help="model folder to write")
    got.add_argument("--report", type=Path, help="folder for its report.html, if that is wanted, too")
    got.set_defaults(run=fetch_version)
    return parser.parse_args(argv)


def add_reference(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "reference", metavar="version", help="staging, production, a number, or any of these after name@"
    )


def register_model(arguments: argparse.Namespace) -> int:
    store = open_store()
    production = f"{PREFIX}{read_artifact(arguments.model).name}@production"
    champion = production if matching(store, production) else None
    is_passed, words = gate.decide(str(arguments.model), champion, arguments.params)
    print(words)
    if not is_passed:
        return 1
    version, is_new = register(store, arguments.model, arguments.report, words, arguments.alias)
    aliases = f", in {' and '.join(version.aliases)}" if version.aliases else ""
    print(f"{arguments.model} is {version}{aliases}" + ("" if is_new else ", as it was registered before"))
    return 0


def promote_version(arguments: argparse.Namespace) -> int:
    version = promote(open_store(), arguments.reference, arguments.to)
    print(f"{version} is in {' and '.join(version.aliases)}")
    return 0


def list_versions(arguments: argparse.Namespace) -> int:
    versions = open_store().versions()
    print(
        table(versions) if versions else "no model is registered yet: `lenslet register register` does that"
    )
    return 0


def fetch_version(arguments: argparse.Namespace) -> int:
    version = fetch(open_store(), arguments.reference, arguments.out, arguments.report)
    print(f"{arguments.out} holds {version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

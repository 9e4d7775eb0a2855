"""Keep models under numbers, say which is in staging and which in production, and get them back.

    python register.py --model out/mine --alias staging --gate    register a whole model folder
    python register.py promote staging production                 the one in staging goes into production, too
    python register.py promote 3 production                       back to version 3
    python register.py list
    python register.py fetch production --out out/champion        the whole model folder, checked

The same weights are one version, however often they are registered; figures and card are brought up to date.
--gate registers only what gate.py lets pass: the limits of params.yaml, and no fall behind the model in production;
the figures are those that `evaluate.py --record` put into the model folder. Where models of several names are
registered, write name@production. `registry:production` is what train.py and tune.py take as --weights, and
gate.py as --champion.
The registry is on the server that MLFLOW_TRACKING_URI names; without one, in the folder registry/, or
the one that LENSLET_REGISTRY names.
"""

import argparse
import sys
from pathlib import Path

import gate
from inference.artifact import read_artifact
from inference.errors import ArtifactError
from training.record import RecordError
from training.registry import ALIASES, PREFIX, fetch, matching, open_store, promote, register, table
from training.stores import RegistryError


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        return COMMANDS[arguments.command](arguments)
    except (ArtifactError, RecordError, RegistryError) as error:
        print(f"register.py: {error}", file=sys.stderr)
        return 2


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="whole model folder to register")
    parser.add_argument("--alias", choices=ALIASES, help="what the version is from now on")
    parser.add_argument("--gate", action="store_true", help="register it only if gate.py lets it pass")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="limits (%(default)s)")
    commands = parser.add_subparsers(dest="command", metavar="promote | list | fetch")
    promoted = commands.add_parser("promote", help="let an alias mean another version")
    promoted.add_argument(
        "reference", metavar="version", help="staging, production, a number, or name@ and one"
    )
    promoted.add_argument("to", choices=ALIASES)
    commands.add_parser("list", help="all versions")
    got = commands.add_parser("fetch", help="write the model folder of a version")
    got.add_argument("reference", metavar="version", help="staging, production, a number, or name@ and one")
    got.add_argument("--out", type=Path, required=True, help="model folder to write")
    arguments = parser.parse_args(argv)
    if bool(arguments.model) == bool(arguments.command):
        parser.error("give --model to register one, or one of promote, list and fetch")
    return arguments


def register_model(arguments: argparse.Namespace) -> int:
    store = open_store()
    name = read_artifact(arguments.model).name
    if arguments.gate:
        champion = [f"{PREFIX}{name}@production"] if matching(store, f"{name}@production") else []
        options = [option for place in champion for option in ("--champion", place)]
        refused = gate.main(["--metrics", str(arguments.model), "--params", str(arguments.params), *options])
        if refused:
            return refused
    version, is_new = register(store, arguments.model, arguments.alias)
    aliases = f", in {' and '.join(version.aliases)}" if version.aliases else ""
    print(f"{arguments.model} is {version}{aliases}" + ("" if is_new else ", as it was registered before"))
    return 0


def promote_version(arguments: argparse.Namespace) -> int:
    version = promote(open_store(), arguments.reference, arguments.to)
    print(f"{version} is in {' and '.join(version.aliases)}")
    return 0


def list_versions(arguments: argparse.Namespace) -> int:
    versions = open_store().versions()
    print(table(versions) if versions else "no model is registered yet: give one with --model")
    return 0


def fetch_version(arguments: argparse.Namespace) -> int:
    version = fetch(open_store(), arguments.reference, arguments.out)
    print(f"{arguments.out} holds {version}")
    return 0


COMMANDS = {None: register_model, "promote": promote_version, "list": list_versions, "fetch": fetch_version}


if __name__ == "__main__":
    sys.exit(main())

"""Decide whether a model may be released, by the figures of its evaluation and the limits in params.yaml.

    lenslet evaluate --data my_photos --model out/mine
    lenslet gate --metrics out/mine

Prints which model was measured, and each limit with the measured value and a verdict. Exit code 0 if all limits are
kept, 1 if one is not, 2 if the figures cannot be read. With --champion, the figures of the model in use, accuracy
must not be below their 95 % interval. Figures are a metrics.json, a model folder after `lenslet evaluate`, or a
registered model such as `registry:production`. Champions measured on other test photos are refused. A model is not
compared with itself, so that its figures can be updated. `--set gate.min.accuracy=0.9` is the limit of every model,
also of one that params.yaml gives its own; `--set gate.models.NAME.min.accuracy=0.9` is that of one model, besides.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenslet.commands.options import add_options
from lenslet.commands.output import json_output
from lenslet.commands.parser import CommandParser, params_of, parser_for
from lenslet.inference.errors import InputError

if TYPE_CHECKING:
    from lenslet.evaluation.limits import Limits

REGISTRY = "registry:"  # begins a reference to a registered model, where a path may stand too


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)

    from lenslet.evaluation.gate import decide

    params_of(arguments)  # before the figures are read: a wrong file is said at once
    figures = figures_at(arguments.metrics)
    limits = limits_of(arguments, str(figures.get("model", "")))
    champion = figures_at(arguments.champion) if arguments.champion else None
    with json_output(arguments.json) as print_json:
        decision = decide(figures, limits, champion, (arguments.metrics, arguments.champion or ""))
        print(decision.table)
        print_json(decision.as_json())
    return 0 if decision.is_passed else 1


def limits_of(arguments: argparse.Namespace, model: str) -> "Limits":
    """The limits of a model by its name. Raises: ParamsError; InputError for a --set of another model's limits."""
    own, others = f"gate.models.{model}", "gate.models."
    for override in arguments.overrides:
        key = override.partition("=")[0].strip()
        if key.startswith(others) and not f"{key}.".startswith(f"{own}."):
            raise InputError(f"--set {override} would change nothing: the limits of this model are {own}.…")
    return params_of(arguments).gate.of(model)


def figures_at(place: str) -> dict[str, Any]:
    """Figures in a file, a model folder or the registry. Raises: InputError."""
    from lenslet.evaluation.gate import read_figures

    if not place.startswith(REGISTRY):
        return read_figures(Path(place))

    from lenslet.inference.artifact import JSON_NAME
    from lenslet.registry.versions import fetched  # here only: the other figures need no MLflow

    with fetched(place, JSON_NAME) as folder:
        return read_figures(folder)


def make_parser() -> CommandParser:
    parser = parser_for("gate", __doc__, sections=["gate"])
    add = parser.add_argument
    add("--metrics", default="model", metavar="PLACE", help="figures of the new model (%(default)s)")
    add("--champion", help="figures of the model in use")
    add_options(parser, "--json")
    return parser

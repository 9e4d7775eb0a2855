"""Decide whether a model may be released, by the figures of its evaluation and the limits in params.yaml.

    python evaluate.py --data my_photos --model out/mine
    python gate.py

Prints each limit with the figure that was measured and a verdict. Exit code 0 if all are kept, 1 if one is not,
2 if the figures cannot be read. --champion takes the figures of the model in use: the new one must not be worse
than their 95 % interval. Figures are a metrics.json, a model folder that `evaluate.py --record` has put them into, or
a registered one, as `registry:production`; those of other photos than the new model's are refused.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluation.verdict import judge, table
from inference.artifact import JSON_NAME, read_artifact
from inference.errors import ArtifactError
from training.params import ParamsError, read_params
from training.registry import PREFIX, fetched
from training.stores import RegistryError


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        limits = read_params(arguments.params).gate
        figures = read_figures(arguments.metrics)
        champion = read_figures(arguments.champion) if arguments.champion else None
        if champion:
            check_same_photos(figures, champion, arguments)
    except (ArtifactError, ParamsError, RegistryError, OSError, ValueError) as error:
        print(f"gate.py: {error}", file=sys.stderr)
        return 2
    verdicts = judge(figures, asdict(limits.at_least), asdict(limits.at_most), champion)
    print(table(verdicts))
    failed = sum(not verdict.is_kept for verdict in verdicts)
    print(
        f"{failed} of {len(verdicts)} limits failed: not to be released" if failed else "all limits are kept"
    )
    return 1 if failed else 0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--metrics", default="report/metrics.json", help="figures of the new model (%(default)s)"
    )
    parser.add_argument("--champion", help="figures of the model in use")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: %(default)s")
    return parser.parse_args(argv)


def read_figures(place: str) -> dict[str, Any]:
    """Figures on test photos, out of a metrics.json, a model folder, or the registry.

    Raises: ArtifactError, RegistryError, OSError or ValueError, in one sentence, if there are none.
    """
    if place.startswith(PREFIX):
        with fetched(place, JSON_NAME) as folder:
            figures = read_artifact(folder).metrics.get("test")
    elif Path(place).is_dir():
        figures = read_artifact(Path(place)).metrics.get("test")
    elif Path(place).exists():
        figures = json.loads(Path(place).read_text(encoding="utf-8"))
    else:
        raise FileNotFoundError(f"{place} does not exist: evaluate.py writes it")
    if not isinstance(figures, dict) or not isinstance(figures.get("accuracy_low"), float):
        raise ValueError(
            f"{place} does not hold the figures of evaluate.py, which --record puts into a model folder"
        )
    return figures


def check_same_photos(
    figures: dict[str, Any], champion: dict[str, Any], arguments: argparse.Namespace
) -> None:
    """Raises ValueError if the champion was measured on other photos, where it says on which."""
    expected, found = (each.get("data_fingerprint") for each in (champion, figures))
    if expected and not found:
        raise ValueError(
            f"{arguments.metrics} does not say on which photos it was measured: give --metrics the model folder, "
            "after `evaluate.py --record`"
        )
    if expected and found != expected:
        raise ValueError(
            f"{arguments.champion} was measured on other photos than {arguments.metrics}: evaluate both on the same"
        )


if __name__ == "__main__":
    sys.exit(main())

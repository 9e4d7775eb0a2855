"""Decide whether a model may be released, by the figures of its evaluation and the limits in params.yaml.

    python evaluate.py --data my_photos --model out/mine
    python gate.py

Prints each limit with the figure that was measured and a verdict. Exit code 0 if all are kept, 1 if one is not,
2 if the figures cannot be read. --champion takes the figures of the model in use: the new one must not be worse
than their 95 % interval. Figures are a metrics.json, a model folder that `evaluate.py --record` has put them into, or
a registered one, as `registry:production`; those on other test photos than the new model's are refused.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluation.verdict import Verdict, judge, table
from inference.artifact import JSON_NAME, read_artifact
from inference.errors import ArtifactError
from training.params import ParamsError, read_params
from training.registry import PREFIX, fetched
from training.stores import RegistryError

REFUSALS = ArtifactError, ParamsError, RegistryError, OSError, ValueError


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        verdicts = verdicts_on(arguments.metrics, arguments.champion, arguments.params)
    except REFUSALS as error:
        print(f"gate.py: {error}", file=sys.stderr)
        return 2
    print(said(verdicts))
    return 0 if all(verdict.is_kept for verdict in verdicts) else 1


def verdicts_on(place: str, champion_place: str | None, params: Path) -> list[Verdict]:
    """Every limit of `params`, and of the champion, held against the figures in `place`. Raises one of REFUSALS."""
    limits = read_params(params).gate
    figures = read_figures(place)
    champion = read_figures(champion_place) if champion_place else None
    if champion:
        check_same_photos(figures, champion, place, champion_place)
    return judge(figures, asdict(limits.at_least), asdict(limits.at_most), champion)


def said(verdicts: Sequence[Verdict]) -> str:
    """The table, and in one line whether the model passes."""
    failed = sum(not verdict.is_kept for verdict in verdicts)
    end = (
        f"{failed} of {len(verdicts)} limits failed: not to be released" if failed else "all limits are kept"
    )
    return f"{table(verdicts)}\n{end}"


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
    figures: dict[str, Any], champion: dict[str, Any], place: str, champion_place: str | None
) -> None:
    """Raises ValueError if the champion was measured on other test photos, where it says on which.

    Figures of before they said so, alone, are held against those of all splits.
    """
    both_say = "test_fingerprint" in figures and "test_fingerprint" in champion
    key = "test_fingerprint" if both_say else "data_fingerprint"
    expected, found = champion.get(key), figures.get(key)
    if expected and not found:
        raise ValueError(
            f"{place} does not say on which photos it was measured: give --metrics the model folder, "
            "after `evaluate.py --record`"
        )
    if expected != found and expected:
        raise ValueError(
            f"{champion_place} was measured on other photos than {place}: evaluate both on the same"
        )


if __name__ == "__main__":
    sys.exit(main())

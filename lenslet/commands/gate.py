"""Decide whether a model may be released, by the figures of its evaluation and the limits in params.yaml.

    lenslet evaluate --data my_photos --model out/mine
    lenslet gate

Prints whose figures they are, and each limit with the figure that was measured and a verdict. Exit code 0 if all
are kept, 1 if one is not, 2 if the figures cannot be read. --champion takes the figures of the model in use: the
new one must not be worse than their 95 % interval. Figures are a metrics.json, a model folder that `lenslet
evaluate --record` has put them into, or a registered one, as `registry:production`; those on other test photos than
the new model's are refused. A model is not held against itself, so that its figures can be brought up to date.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lenslet.config import ParamsError, read_params
from lenslet.evaluation.limits import judge, table
from lenslet.inference.artifact import JSON_NAME, read_artifact
from lenslet.inference.errors import ArtifactError
from lenslet.registry.mlflow_registry import RegistryError
from lenslet.registry.versions import PREFIX, fetched

REFUSALS = ArtifactError, ParamsError, RegistryError, OSError, ValueError


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        is_passed, words = decide(arguments.metrics, arguments.champion, arguments.params)
    except REFUSALS as error:
        print(f"lenslet gate: {error}", file=sys.stderr)
        return 2
    print(words)
    return 0 if is_passed else 1


def decide(place: str, champion_place: str | None, params: Path) -> tuple[bool, str]:
    """Hold the figures in `place` against every limit of `params`, and against the champion's.

    Returns: whether all are kept, and a table of whose figures they are and what is kept. Raises one of REFUSALS.
    """
    limits = read_params(params).gate
    figures = read_figures(place)
    champion = read_figures(champion_place) if champion_place else None
    lines = [f"model: {named(figures)}", *([f"champion: {named(champion)}"] if champion else [])]
    if champion and "version" in champion and champion["version"] == figures.get("version"):
        lines[1] += ", which is not held against itself"
        champion = None
    if champion:
        check_same_photos(figures, champion, place, champion_place)
    verdicts = judge(figures, asdict(limits.min), asdict(limits.max), champion)
    odd = [verdict for verdict in verdicts if not isinstance(verdict.value, int | float | None)]
    if odd:
        raise ValueError(f"{place}: {odd[0].figure} must be a number, not {odd[0].value!r}")
    failed = sum(not verdict.is_kept for verdict in verdicts)
    end = (
        f"{failed} of {len(verdicts)} limits failed: not to be released" if failed else "all limits are kept"
    )
    return not failed, "\n".join([*lines, table(verdicts), end])


def named(figures: dict[str, Any]) -> str:
    """The model whose figures they are, if they say so: those of before do not."""
    return " ".join(str(figures[key]) for key in ("model", "version") if key in figures) or "not said"


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
            figures = recorded_figures(folder)
    elif Path(place).is_dir():
        figures = recorded_figures(Path(place))
    elif Path(place).exists():
        try:
            figures = json.loads(Path(place).read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{place} cannot be read: {error}") from error
    else:
        raise FileNotFoundError(
            f"{place} does not exist: give a metrics.json or a model folder that lenslet evaluate wrote into, "
            f"or {PREFIX}production"
        )
    if not isinstance(figures, dict) or not isinstance(figures.get("accuracy_low"), float):
        raise ValueError(
            f"{place} does not hold the figures of lenslet evaluate, which --record puts into a model folder"
        )
    return figures


def recorded_figures(folder: Path) -> dict[str, Any] | None:
    """Those that `lenslet evaluate --record` put into a model folder, under the model's name, if it did."""
    artifact = read_artifact(folder)
    figures = artifact.metrics.get("test")
    named = {"model": artifact.name, "version": artifact.version}
    return {**named, **figures} if isinstance(figures, dict) else None


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
            "after `lenslet evaluate --record`"
        )
    if expected != found and expected:
        raise ValueError(
            f"{champion_place} was measured on other photos than {place}: evaluate both on the same; a registered "
            "one with `lenslet evaluate --record` after `lenslet register fetch`, and register it again: it keeps "
            "its number"
        )


if __name__ == "__main__":
    sys.exit(main())

"""Goals of the benchmarks: a figure of the report with its limit, and the verdict on it."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lenslet.evaluation.limits import Verdict, verdicts_json
from lenslet.inference.atomic import write_text


class Goal(NamedTuple):
    sentence: str
    figure: Callable[[Any], float | None]  # of the report; None or KeyError where it was not measured
    limit: float
    is_minimum: bool = False


def judge(goals: Sequence[Goal], report: Any) -> list[Verdict]:
    """A verdict on each goal, whose value is None where the figure was not measured."""
    verdicts = []
    for goal in goals:
        try:
            figure = goal.figure(report)
        except KeyError:
            figure = None
        bound = "at least" if goal.is_minimum else "at most"
        verdicts.append(Verdict(goal.sentence, bound, goal.limit, figure))
    return verdicts


def verdicts_text(verdicts: Sequence[Verdict]) -> str:
    """One line for each goal."""
    lines = []
    for verdict in verdicts:
        word, found = "not measured", ""
        if verdict.value is not None:
            word = "met" if verdict.is_kept else "MISSED"
            found = f" (found {verdict.value:,.4g}, limit {verdict.limit:,.4g})"
        lines.append(f"{word:<12} {verdict.metric}{found}")
    return "\n".join(lines)


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """All figures as JSON, with the verdicts in `goals`."""
    content = {**report, "goals": verdicts_json(report["goals"])}
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

"""Goals of the benchmarks: a figure of the report with its limit, and the verdict on it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

WORDS = {True: "met", False: "MISSED", None: "not measured"}


class Goal(NamedTuple):
    sentence: str
    figure: Callable[[Any], float | None]  # of the report; None or KeyError where it was not measured
    limit: float
    is_minimum: bool = False


def judge(goals: Sequence[Goal], report: Any) -> list[dict[str, Any]]:
    """Each goal with its figure and whether it is met; both None where the figure was not measured."""
    verdicts = []
    for goal in goals:
        try:
            figure = goal.figure(report)
        except KeyError:
            figure = None
        is_met = (
            figure if figure is None else figure >= goal.limit if goal.is_minimum else figure <= goal.limit
        )
        verdicts.append({"goal": goal.sentence, "figure": figure, "limit": goal.limit, "is_met": is_met})
    return verdicts


def verdicts_text(verdicts: Sequence[dict[str, Any]]) -> str:
    """One line for each goal."""
    lines = []
    for verdict in verdicts:
        figure = verdict["figure"]
        found = "" if figure is None else f" (found {figure:,.4g}, limit {verdict['limit']:,.4g})"
        lines.append(f"{WORDS[verdict['is_met']]:<12} {verdict['goal']}{found}")
    return "\n".join(lines)

"""Limits on metrics: which ones a model or an endpoint keeps, as a table with a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from lenslet.evaluation.metric_table import value_text


class Limits(Protocol):
    """Two dataclasses of metric → limit, as the sections `gate` and `endpoint` of params.yaml."""

    @property
    def min(self) -> Any: ...

    @property
    def max(self) -> Any: ...


@dataclass(frozen=True)
class Verdict:
    """One limit and the measured value, which is None where the evaluation did not measure it."""

    metric: str
    bound: str  # "at least" or "at most"
    limit: float
    value: float | None
    is_champions: bool = False  # a limit from the figures of the model in use

    @property
    def is_kept(self) -> bool:
        """A metric that is missing, or not a number, keeps no limit."""
        if self.value is None:
            return False
        return self.value >= self.limit if self.bound == "at least" else self.value <= self.limit


def check_limits(
    figures: Mapping[str, float], limits: Limits, champion: Mapping[str, float] | None = None
) -> list[Verdict]:
    """A verdict on every limit; `figures` as in metrics.json.

    With the figures of a `champion`, accuracy must also reach the lower end of its 95 % interval: a model that
    falls below is worse by more than the choice of test photos explains.
    """
    verdicts = [
        Verdict(metric, bound, limit, figures.get(metric))
        for bound, bounds in (("at least", limits.min), ("at most", limits.max))
        for metric, limit in asdict(bounds).items()
    ]
    if champion is not None:
        low, value = champion["accuracy_low"], figures.get("accuracy")
        verdicts.append(Verdict("accuracy", "at least", low, value, is_champions=True))
    return verdicts


def are_all_kept(verdicts: Sequence[Verdict]) -> bool:
    return all(verdict.is_kept for verdict in verdicts)


def verdicts_json(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """The verdicts as plain values, for --json."""
    return [{**asdict(verdict), "is_kept": verdict.is_kept} for verdict in verdicts]


def limits_table(verdicts: Sequence[Verdict], consequence: str) -> str:
    """A line per limit and one with the result; `consequence`: of a failed limit, as "not to be released"."""
    lines = [f"{'metric':<24}{'value':>10}  {'limit':<20}verdict"]
    for verdict in verdicts:
        name = f"{verdict.metric} (champion's)" if verdict.is_champions else verdict.metric
        value, limit = _texts(verdict)
        end = "kept" if verdict.is_kept else "FAILED"
        lines.append(f"{name:<24}{value:>10}  {f'{verdict.bound} {limit}':<20}{end}")
    failed = sum(not verdict.is_kept for verdict in verdicts)
    result = f"{failed} of {len(verdicts)} limits failed: {consequence}" if failed else "all limits are kept"
    return "\n".join([*lines, result])


def _texts(verdict: Verdict) -> tuple[str, str]:
    """Value and limit in the metric's format, or in full where that would hide their difference."""
    limit = value_text(verdict.metric, verdict.limit)
    if verdict.value is None:
        return "missing", limit
    value = value_text(verdict.metric, verdict.value)
    if value == limit and verdict.value != verdict.limit:
        return f"{verdict.value:.8g}", f"{verdict.limit:.8g}"
    return value, limit

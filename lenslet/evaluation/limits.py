"""Limits on metrics: which ones a model or an endpoint keeps, as a table with a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from lenslet.evaluation.few_photos import (
    MIN_CLASS_PHOTOS,
    MIN_TEST_PHOTOS,
    are_few,
    photos_to_decide,
    untested_classes,
)
from lenslet.evaluation.metric_table import METRICS, value_text


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
    undecided: str = ""  # why the photos cannot decide it, and what would help; empty: they do

    @property
    def is_kept(self) -> bool:
        """A metric that is missing, or not a number, keeps no limit.

        A measured one that the photos cannot decide is not held against the model.
        """
        if self.value is None or self.undecided:
            return bool(self.undecided) and self.value is not None
        return self.value >= self.limit if self.bound == "at least" else self.value <= self.limit


def check_limits(
    figures: Mapping[str, float], limits: Limits, champion: Mapping[str, float] | None = None
) -> list[Verdict]:
    """A verdict on every limit; `figures` as in metrics.json. Limits that are None are none.

    With the figures of a `champion`, accuracy must also reach the lower end of its 95 % interval: a model that
    falls below is worse by more than the choice of test photos explains.
    """
    verdicts = [
        Verdict(metric, bound, limit, figures.get(metric), undecided=_doubt(metric, limit, figures))
        for bound, bounds in (("at least", limits.min), ("at most", limits.max))
        for metric, limit in asdict(bounds).items()
        if limit is not None
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
        end = "undecided" if verdict.undecided else "kept" if verdict.is_kept else "FAILED"
        lines.append(f"{name:<24}{value:>10}  {f'{verdict.bound} {limit}':<20}{end}")
    lines += [f"{verdict.metric}: {verdict.undecided}" for verdict in verdicts if verdict.undecided]
    return "\n".join([*lines, _result(verdicts, consequence)])


def _result(verdicts: Sequence[Verdict], consequence: str) -> str:
    total = len(verdicts)
    failed = sum(not verdict.is_kept and not verdict.undecided for verdict in verdicts)
    doubtful = sum(bool(verdict.undecided) for verdict in verdicts)
    if are_all_kept(verdicts):
        return (
            f"no limit failed; the photos cannot decide {doubtful} of {total}"
            if doubtful
            else "all limits are kept"
        )
    counts = [f"{failed} of {total} limits failed"] * bool(failed)
    counts += [f"the photos cannot decide {doubtful} of {total}"] * bool(doubtful)
    return f"{', '.join(counts)}: {consequence}"


def _doubt(metric: str, limit: float, figures: Mapping[str, float]) -> str:
    """Why the number of photos cannot decide this limit; empty if it can."""
    photos = figures.get("photos", 0)
    if are_few(figures) and METRICS[metric].topic != "speed" and metric != "agreement_with_keras":
        return (
            f"{photos:,.0f} test photos are too few; {MIN_TEST_PHOTOS} and more decide it, which are a tenth of "
            f"{10 * MIN_TEST_PHOTOS} photos, or a folder test/ of their own"
        )
    if metric == "min_recall" and metric not in figures and (small := untested_classes(figures)):
        return f"classes with fewer than {MIN_CLASS_PHOTOS} test photos: {len(small):,}; so many of each decide it"
    chance, error = figures.get("calibration_error_chance", 0.0), figures.get(metric, 0.0)
    if metric != "calibration_error" or not limit < error <= chance:
        return ""
    return (
        f"perfect probabilities show up to {chance:.4f} on {photos:,.0f} photos; "
        f"about {photos_to_decide(photos, chance, max(limit, 1e-3)):,} test photos decide it"
    )


def _texts(verdict: Verdict) -> tuple[str, str]:
    """Value and limit in the metric's format, or in full where that would hide their difference."""
    limit = value_text(verdict.metric, verdict.limit)
    if verdict.value is None:
        return ("too few" if verdict.undecided else "missing"), limit
    value = value_text(verdict.metric, verdict.value)
    if value == limit and verdict.value != verdict.limit:
        return f"{verdict.value:.8g}", f"{verdict.limit:.8g}"
    return value, limit

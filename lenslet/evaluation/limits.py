"""Limits held against figures: which ones a model keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """One limit and what was measured; `value` is None where the evaluation did not measure it."""

    figure: str
    bound: str  # "at least" or "at most"
    limit: float
    value: float | None

    @property
    def is_kept(self) -> bool:
        """A figure that is missing, or not a number, keeps no limit."""
        if self.value is None:
            return False
        return self.value >= self.limit if self.bound == "at least" else self.value <= self.limit


def judge(
    figures: Mapping[str, float],
    min: Mapping[str, float],
    max: Mapping[str, float],
    champion: Mapping[str, float] | None = None,
) -> list[Verdict]:
    """Every limit held against `figures` (metrics.json).

    With the figures of a `champion`, accuracy must also reach the lower end of its 95 % interval: a model that
    falls below is worse by more than the choice of test photos explains.
    """
    verdicts = [Verdict(name, "at least", limit, figures.get(name)) for name, limit in min.items()]
    verdicts += [Verdict(name, "at most", limit, figures.get(name)) for name, limit in max.items()]
    if champion is not None:
        low = champion["accuracy_low"]
        verdicts.append(Verdict("accuracy (champion's)", "at least", low, figures.get("accuracy")))
    return verdicts


def table(verdicts: Sequence[Verdict]) -> str:
    """One line a limit."""
    lines = [f"{'figure':<24}{'value':>10}  {'limit':<18}verdict"]
    for verdict in verdicts:
        value = "missing" if verdict.value is None else f"{verdict.value:.4f}"
        limit = f"{verdict.bound} {verdict.limit:g}"
        lines.append(f"{verdict.figure:<24}{value:>10}  {limit:<18}{'kept' if verdict.is_kept else 'FAILED'}")
    return "\n".join(lines)

"""Section `gate`: the limits on test figures that a model must keep to be released."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from lenslet.config.parsing import ShareLimit

Limits = TypeVar("Limits", "MinLimits", "MaxLimits")


@dataclass(frozen=True)
class MinLimits:
    """Each key may be left out: no limit."""

    accuracy: ShareLimit = None
    accuracy_gain: ShareLimit = None
    roc_auc: ShareLimit = None
    min_recall: ShareLimit = None
    robustness_mean: ShareLimit = None
    robustness_worst: ShareLimit = None
    agreement_with_keras: ShareLimit = None


@dataclass(frozen=True)
class MaxLimits:
    """Each key may be left out: no limit."""

    calibration_error: ShareLimit = None
    megabytes: float | None = None
    time_ms: float | None = None


@dataclass(frozen=True)
class ModelLimits:
    min: MinLimits = MinLimits()
    max: MaxLimits = MaxLimits()


@dataclass(frozen=True)
class GateParams:
    min: MinLimits
    max: MaxLimits
    # Name of a model → its own limits, besides.
    models: Mapping[str, ModelLimits] = field(default_factory=dict)

    def of(self, model: str) -> ModelLimits:
        """The limits of a model by its name: those of all models and its own, the stricter of two."""
        own = self.models.get(model, ModelLimits())
        return ModelLimits(_stricter(self.min, own.min, max), _stricter(self.max, own.max, min))


def remove_own_limits(content: dict[str, Any], path: Sequence[str]) -> None:
    """Remove from the content of params.yaml the limits of single models that a limit of all, at `path`, replaces.

    `path`: parts of a dotted key, as gate, min, accuracy; nothing happens for other keys.
    """
    if len(path) < 2 or path[0] != "gate" or path[1] not in ("min", "max"):
        return
    bound = path[1]
    general, models = content["gate"][bound], content["gate"].get("models")
    names = path[2:] or (general if isinstance(general, dict) else ())
    for own in models.values() if isinstance(models, dict) else ():
        limits = own.get(bound) if isinstance(own, dict) else None
        if isinstance(limits, dict):
            own[bound] = {name: limit for name, limit in limits.items() if name not in names}


def _stricter(general: Limits, own: Limits, choose: Callable[[float, float], float]) -> Limits:
    both = {each.name: (getattr(general, each.name), getattr(own, each.name)) for each in fields(general)}
    chosen = {
        key: choose(*values) if None not in values else values[values[0] is None]
        for key, values in both.items()
    }
    return replace(general, **chosen)

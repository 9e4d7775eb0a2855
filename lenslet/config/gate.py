"""Section `gate`: the limits on test figures that a model must keep to be released."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MinLimits:
    accuracy: float
    roc_auc: float
    min_recall: float
    robustness_mean: float
    robustness_worst: float
    agreement_with_keras: float


@dataclass(frozen=True)
class MaxLimits:
    calibration_error: float
    megabytes: float
    time_ms: float


@dataclass(frozen=True)
class GateParams:
    min: MinLimits
    max: MaxLimits

"""Section `convert`: which precisions are built, and what the chosen one must keep."""

from dataclasses import dataclass
from typing import Annotated, Literal

from lenslet.config.parsing import Count, Range, Share


@dataclass(frozen=True)
class ConvertParams:
    precisions: tuple[Literal["float32", "float16", "dynamic_range", "int8"], ...]
    calibration_photos: Count
    max_accuracy_loss: Share
    min_agreement: Share
    max_slowdown: float
    conformal_alpha: Annotated[float, Range(0.001, 0.5)]
    explanation_photos: Annotated[int, Range(0, 1000)]
    ood_true_positive_rate: Annotated[float, Range(0.5, 1)]

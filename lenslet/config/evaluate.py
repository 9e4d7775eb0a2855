"""Section `evaluate`: the size of the robustness measurement."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EvaluateParams:
    corruption_photos: int

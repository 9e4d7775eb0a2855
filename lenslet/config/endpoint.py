"""Section `endpoint`: the load and the limits of the acceptance test of a deployed endpoint."""

from dataclasses import dataclass

from lenslet.config.parsing import ParamsError, Share


@dataclass(frozen=True)
class EndpointMinLimits:
    accuracy: Share
    robustness_mean: Share
    robustness_worst: Share
    agreement: Share


@dataclass(frozen=True)
class EndpointMaxLimits:
    errors: Share
    p95_ms: float


@dataclass(frozen=True)
class EndpointParams:
    photos: int
    corruption_photos: int
    clients: int
    probability_tolerance: float
    min: EndpointMinLimits
    max: EndpointMaxLimits

    def __post_init__(self) -> None:
        for key in ("photos", "corruption_photos", "clients"):
            if getattr(self, key) == 0:
                raise ParamsError(f"endpoint.{key} must be at least 1")
        if self.corruption_photos > self.photos:
            raise ParamsError(
                f"endpoint.corruption_photos must not be above photos, but is {self.corruption_photos}"
            )

"""Small test sets and classes: figures that are left out, and limits that so few photos cannot decide."""

import math
from collections.abc import Mapping

MIN_TEST_PHOTOS = 30  # with fewer, an accuracy of 80 % has a 95 % interval of at least ± 14 points
MIN_CLASS_PHOTOS = 5  # test photos of a class; fewer say nothing about its recall

# Measured on fewer photos, these say more about the photos than about the model: an AUC of 1.0000 of two photos.
KEPT = (
    "photos",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "log_loss",
    "time_ms",
    "megabytes",
    "agreement_with_keras",
)
PER_CLASS = ("precision.", "recall.", "f1.")
PHOTOS_OF = "photos."  # begins the key of the number of photos of a class


def are_few(figures: Mapping[str, float]) -> bool:
    """Whether the figures come from too few photos for a headline; figures that do not say so are taken as enough."""
    return figures.get("photos", MIN_TEST_PHOTOS) < MIN_TEST_PHOTOS


def untested_classes(figures: Mapping[str, float]) -> list[str]:
    """Labels of the classes with too few photos for figures of their own; figures that do not say so have none."""
    counted = {
        key.removeprefix(PHOTOS_OF): each for key, each in figures.items() if key.startswith(PHOTOS_OF)
    }
    return [label for label, photos in counted.items() if photos < MIN_CLASS_PHOTOS]


def carried(figures: Mapping[str, float]) -> dict[str, float]:
    """The figures that their number of photos can carry: of all, and of each class."""
    small = untested_classes(figures)
    left_out = {f"{metric}{label}" for metric in PER_CLASS for label in small}
    left_out |= {key for key in figures if small and key.startswith("min_recall")}
    kept = {key: value for key, value in figures.items() if key not in left_out}
    if not are_few(figures):
        return kept
    return {key: kept[key] for key in kept if key in KEPT or key.startswith((*PER_CLASS, PHOTOS_OF))}


def photos_to_decide(photos: float, spread: float, distance: float) -> int:
    """How many photos make a chance spread, which falls with their square root, as small as `distance`; rounded up."""
    needed = photos * (spread / distance) ** 2
    digits: int = 10 ** max(0, math.floor(math.log10(needed)) - 1)
    return math.ceil(needed / digits) * digits

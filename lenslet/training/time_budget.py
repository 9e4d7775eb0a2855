"""Size of the picture and epochs of fine-tuning that a number of minutes allows, by the photos' own size."""

from dataclasses import dataclass, replace

from lenslet.config import TrainParams
from lenslet.dataset.image_size import LEAST, SIZES, auto_size
from lenslet.inference.processors import processors

# Of fine-tuning with one processor, measured at 160 pixels (EXPERIMENTS.md); grows with the area.
CPU_S_PER_PHOTO = {"mobilenet_v2": 0.04, "efficientnet_lite0": 0.05}
FEATURES_SHARE = 0.25  # of that: one pass forward, of every photo, for the head alone
START_MINUTES = 1.0  # TensorFlow, reading the photos, the head
MIN_EPOCHS = 3  # fewer of fine-tuning are worse than the head alone


@dataclass(frozen=True)
class Plan:
    """Settings that fit into the time, and the reason in words."""

    params: TrainParams
    sentence: str


def plan(
    params: TrainParams, photos: int, side: float | None, minutes: float, count: int | None = None
) -> Plan:
    """The largest picture that the photos fill and whose fine-tuning fits; then fewer epochs; then the head alone.

    `photos`: of the whole folder; `side`: their shorter side in pixels, as `usual_side` gives it; `count`: of this
    machine's processors by default. A size that `params` names is kept.
    """
    learned = photos * (1 - params.validation_fraction) * (1 - params.test_fraction)
    tuned = params.fine_tune
    seen = max(learned, tuned.min_steps_per_epoch * tuned.batch_size)  # photos in an epoch
    seconds = CPU_S_PER_PHOTO.get(params.backbone.name, max(CPU_S_PER_PHOTO.values()))
    speed = (count or processors()) * 60 / seconds  # photos a minute at 160 pixels
    left = minutes - START_MINUTES

    def epoch_minutes(size: int) -> float:
        return seen / speed * (size / 160) ** 2

    if params.image_size == "auto":
        best, why = auto_size(params.backbone.name, side)
        sizes = [size for size in SIZES if size <= best]
    else:
        sizes, why = [params.image_size], "the size is that of the settings"
    for size in [size for size in sizes if size >= LEAST] or sizes:
        if tuned.epochs * epoch_minutes(size) <= left:
            shorter = "" if size == sizes[0] else "; more would not fit"
            return _plan(params, size, tuned.epochs, tuned.epochs * epoch_minutes(size), why + shorter)
    smallest = min([size for size in sizes if size >= LEAST] or sizes)
    epochs = int(left / epoch_minutes(smallest))
    if epochs >= min(MIN_EPOCHS, tuned.epochs):
        return _plan(params, smallest, epochs, epochs * epoch_minutes(smallest), "more would not fit")
    # The head sees each photo once, so that there is time for larger pictures than to fine-tune on.
    passes = {size: FEATURES_SHARE * photos / speed * (size / 160) ** 2 for size in sizes}
    # A part of START_MINUTES was for that.
    size = next((size for size in sizes if passes[size] <= max(left, START_MINUTES / 4)), sizes[-1])
    return _plan(params, size, 0, passes[size], "fine-tuning would not fit")


def _plan(params: TrainParams, size: int, epochs: int, minutes: float, why: str) -> Plan:
    chosen = replace(params, image_size=size, fine_tune=replace(params.fine_tune, epochs=epochs))
    steps = f"{epochs} epochs of fine-tuning" if epochs else "the head alone"
    expected = f"about {START_MINUTES + minutes:.0f} min where nothing else runs"
    return Plan(chosen, f"time budget: {size} × {size} pixels and {steps}, {expected} ({why})")

"""How a training went: loss and accuracy by epoch, which epoch was kept, and whether fine-tuning helped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure

STEPS = {"fine_tune": "fine-tuning", "head": "the head"}  # the last one that has a history is drawn
TOLERANCE = 0.01  # of the log loss: less is no difference


@dataclass(frozen=True)
class TrainingCurves:
    """From training.json: what the report shows of a training."""

    history: Mapping[str, Mapping[str, Sequence[float]]] = field(
        default_factory=dict
    )  # step → metric → by epoch
    validation: Mapping[str, float] = field(default_factory=dict)  # of the finished network
    keeps_best: bool = (
        True  # the epoch with the lowest validation loss; else, with few validation photos, the last
    )

    @property
    def step(self) -> str:
        """The step that is drawn; empty if no history is known."""
        return next((step for step in STEPS if "val_loss" in self.history.get(step, {})), "")

    @property
    def kept_epoch(self) -> int:
        """From 0; of the drawn step."""
        losses = self.history[self.step]["val_loss"]
        return (
            int(np.nanargmin(losses)) if self.is_best_kept and not np.isnan(losses).all() else len(losses) - 1
        )

    @property
    def is_best_kept(self) -> bool:
        """Whether the drawn step kept its best epoch, as a head always does."""
        return self.keeps_best or self.step == "head"


def training_sentences(curves: TrainingCurves) -> list[str]:
    """Conclusions from the curves, in words."""
    if not curves.step:
        return []
    epochs = len(curves.history[curves.step]["val_loss"])
    why = "the lowest validation loss" if curves.is_best_kept else "the last: there are few validation photos"
    sentences = [
        f"Of {epochs} epochs of {STEPS[curves.step]}, number {curves.kept_epoch + 1} was kept ({why})."
    ]
    losses = curves.history.get("head", {}).get("val_log_loss", [])
    head, network = (min(losses) if losses else None), curves.validation.get("log_loss")
    if curves.step == "fine_tune" and head is not None and network is not None and network > head + TOLERANCE:
        sentences.append(
            f"Fine-tuning ended worse than the head alone (validation log loss {network:.2f} against {head:.2f}): "
            "try --no-fine-tune, or more photos."
        )
    return sentences


def learning_figure(curves: TrainingCurves, size: tuple[float, float]) -> Figure:
    """Loss above, accuracy below, of training and validation photos, with the kept epoch marked; `size` in inches."""
    figure = Figure(figsize=size, layout="constrained")
    history = curves.history[curves.step]
    panels = figure.subplots(2, 1, sharex=True)
    for axes, metric in zip(panels, ("loss", "accuracy"), strict=True):
        for key, label in ((metric, "training"), (f"val_{metric}", "validation")):
            values = history.get(key, [])
            axes.plot(range(1, len(values) + 1), values, marker="o", markersize=3, label=label)
        axes.axvline(curves.kept_epoch + 1, color="grey", linestyle=":", label="kept epoch")
        axes.set_ylabel(metric)
    panels[0].set_title(f"Learning curves of {STEPS[curves.step]}")
    panels[1].set_xlabel("epoch")
    panels[1].xaxis.get_major_locator().set_params(integer=True)
    panels[0].legend(frameon=False)
    return figure

"""Pictures of a model's judgement, as matplotlib figures."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import auc, roc_curve


def confusion_figure(labels: Sequence[str], counts: NDArray[np.int64]) -> Figure:
    """Counts as numbers, shares of the true class as colour; `counts` as from `metrics.confusion`."""
    side = 2.4 + 0.62 * len(labels)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.add_subplot()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="predicted", ylabel="true", title="Confusion matrix")
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    return figure


def roc_figure(
    labels: Sequence[str], targets: NDArray[np.int64], probabilities: NDArray[np.float32]
) -> Figure:
    """ROC curve of each class against the rest; of two classes, only the second one's (the other mirrors it)."""
    figure = Figure(figsize=(5.6, 5), layout="constrained")
    axes = figure.add_subplot()
    shown = range(len(labels)) if len(labels) > 2 else [1]
    for column in shown:
        false_positives, true_positives, _ = roc_curve(targets == column, probabilities[:, column])
        area = auc(false_positives, true_positives)
        axes.plot(false_positives, true_positives, label=f"{labels[column]} ({area:.4f})")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="guessing (0.5)")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC", aspect="equal")
    axes.legend(title="class (area under curve)", loc="lower right")
    return figure

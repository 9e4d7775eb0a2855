"""Pictures of a model's judgement, as matplotlib figures."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import auc, roc_curve

from evaluation.calibration import ReliabilityBins
from inference.classifier import Prediction


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


def reliability_figure(bins: ReliabilityBins) -> Figure:
    """How often the model is right where it says a probability; the diagonal is perfect. Numbers are photos."""
    figure = Figure(figsize=(5.6, 5), layout="constrained")
    axes = figure.add_subplot()
    edges = np.linspace(0, 1, len(bins.photos) + 1)
    filled = bins.photos > 0
    axes.bar(edges[:-1][filled], bins.accuracy[filled], width=edges[1], align="edge", edgecolor="white")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="calibrated")
    for left, height, photos in zip(
        edges[:-1][filled], bins.accuracy[filled], bins.photos[filled], strict=True
    ):
        axes.text(left + edges[1] / 2, height + 0.01, f"{photos:,}", ha="center", fontsize=7)
    axes.set(xlabel="probability of the top label", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1.08))
    axes.set_title(f"Reliability (expected calibration error {bins.expected_error:.4f})")
    axes.legend(loc="upper left")
    return figure


def ladder_figure(accuracies: Mapping[str, Sequence[float]], clean: float) -> Figure:
    """Accuracy for each kind of damage (row) and severity (column), beside that on clean photos."""
    figure = Figure(figsize=(6.4, 0.8 + 0.5 * len(accuracies)), layout="constrained")
    axes = figure.add_subplot()
    cells = np.array([[clean, *row] for row in accuracies.values()])
    image = axes.imshow(cells, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(cells.shape):
        colour = "black" if cells[row, column] > 0.6 else "white"
        axes.text(column, row, f"{cells[row, column]:.2f}", ha="center", va="center", color=colour)
    axes.set_xticks(range(cells.shape[1]), ["clean", *map(str, range(1, cells.shape[1]))])
    axes.set_yticks(range(len(accuracies)), [name.replace("_", " ") for name in accuracies])
    axes.set(xlabel="severity", title="Accuracy under damage")
    figure.colorbar(image, label="accuracy")
    return figure


def lr_finder_figure(rates: NDArray[np.float64], losses: NDArray[np.float64], suggestion: float) -> Figure:
    """The smoothed loss against the learning rate, both of shape (steps,), with the suggested rate marked."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(rates, losses)
    axes.axvline(suggestion, color="grey", linestyle=":")
    height = losses[int(np.argmin(np.abs(rates - suggestion)))]
    axes.plot(suggestion, height, "o", label=f"steepest descent: {suggestion:.2g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="smoothed loss", title="Learning-rate finder")
    axes.legend()
    return figure


def explanation_figure(
    pixels: NDArray[np.uint8], prediction: Prediction, attributions: NDArray[np.float32]
) -> Figure:
    """The photo, the activation map over it, and the pixels that speak for (green) and against (purple) the answer.

    `pixels`: uint8 RGB, shape (size, size, 3); `attributions`: shape (size, size).
    """
    figure = Figure(figsize=(10.5, 3.9), layout="constrained")
    photo, evidence, gradients = figure.subplots(1, 3)
    label, probability = prediction.ranked()[0]
    photo.imshow(pixels)
    photo.set_title(f"{label}, {probability:.1%}")
    explanation = prediction.explanation()
    evidence.imshow(pixels)
    if explanation is None:
        evidence.set_title("this model has no activation map")
    else:
        height, width, _ = pixels.shape
        extent = (-0.5, width - 0.5, height - 0.5, -0.5)
        evidence.imshow(explanation[1], cmap="inferno", alpha=0.55, extent=extent, interpolation="bilinear")
        evidence.set_title("activation map")
    # Single pixels say little: neighbours are averaged. The extreme hundredth would hide all others.
    smooth = ndimage.gaussian_filter(attributions, sigma=3)
    limit = float(np.percentile(np.abs(smooth), 99)) or 1.0
    gradients.imshow(pixels.mean(axis=2), cmap="gray", alpha=0.5)
    gradients.imshow(smooth, cmap="PRGn", alpha=0.75, vmin=-limit, vmax=limit)
    gradients.set_title("integrated gradients")
    for axes in (photo, evidence, gradients):
        axes.set_axis_off()
    return figure

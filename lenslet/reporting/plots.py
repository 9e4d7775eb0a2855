"""Plots of an evaluation, as matplotlib figures."""

import re
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

from lenslet.dataset.sampling import evenly_spaced
from lenslet.evaluation.calibration import ReliabilityBins
from lenslet.evaluation.few_photos import MIN_CLASS_PHOTOS
from lenslet.inference.atomic import replacing
from lenslet.inference.classifier import Prediction
from lenslet.inference.explanation import Explanation
from lenslet.reporting.confusions import most_confused
from lenslet.reporting.figure_text import text_style, with_class_names
from lenslet.reporting.gallery import overlay

CHART_INCHES = (5.2, 5.0)  # small enough that the letters can still be read on a phone
CURVES_INCHES = (5.2, 6.2)  # the legend below the curves, which fill every corner of a chart of many classes
CURVES_NAMED = 3  # the worst ones; more labels than these overlap
CURVES_GREY = 50  # of the others, evenly spaced from the worst to the best

Curve = tuple[NDArray[np.float64], NDArray[np.float64], float]  # across, upward, area under it

# For pictures inside a page: text stays text, in the reader's sans-serif font and the page's text colour.
SVG_SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "lenslet"}
NOT_XML = re.compile(
    "[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)  # XML 1.0, section 2.2; of class names
SVG_INK = """<style>
svg { color: #1c2024; fill: currentColor }
@media (prefers-color-scheme: dark) { svg { color: #e6e8eb } }
</style>"""


def svg(figure: Figure) -> str:
    """The figure as a stand-alone SVG without background, which follows the reader's light or dark scheme."""
    file = StringIO()
    with matplotlib.rc_context(SVG_SETTINGS):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    picture = NOT_XML.sub("\N{REPLACEMENT CHARACTER}", file.getvalue()).replace("#000000", "currentColor")
    return picture.replace("<defs>", f"{SVG_INK}<defs>", 1)


@with_class_names
def confusion_figure(labels: Sequence[str], counts: NDArray[np.int64]) -> Figure:
    """Counts as numbers, shares of the true class as colour; `counts` as from `metrics.confusion`.

    Of very many classes, those with the most mistakes.
    """
    shown = most_confused(counts)
    title = "Confusion matrix"
    if len(shown) < len(labels):
        title += f": the {len(shown)} of {len(labels):,} classes with the most mistakes"
    photos = counts.sum(axis=1)[shown]  # those that were taken for other classes, too
    labels, counts = [labels[number] for number in shown], counts[np.ix_(shown, shown)]
    side = 2.4 + 0.62 * len(labels)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.add_subplot()
    shares = counts / np.maximum(photos, 1)[:, np.newaxis]
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    return figure


@with_class_names
def roc_figure(
    labels: Sequence[str], targets: NDArray[np.int64], probabilities: NDArray[np.float32]
) -> Figure:
    """ROC curve of each class against the rest; of two classes, only the second one's (the other mirrors it)."""

    def curve(is_class: NDArray[np.bool_], scores: NDArray[np.float32]) -> Curve:
        false_positives, true_positives, _ = roc_curve(is_class, scores)
        return false_positives, true_positives, auc(false_positives, true_positives)

    figure, axes, named = _curves_figure(labels, targets, probabilities, curve)
    named += axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="guessing (0.50)")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
    figure.legend(
        handles=named, title="lowest areas under the curve", loc="outside lower center", frameon=False
    )
    return figure


@with_class_names
def precision_recall_figure(
    labels: Sequence[str], targets: NDArray[np.int64], probabilities: NDArray[np.float32]
) -> Figure:
    """Precision against recall, of each class against the rest; of two classes, only the second one's."""

    def curve(is_class: NDArray[np.bool_], scores: NDArray[np.float32]) -> Curve:
        precision, recall, _ = precision_recall_curve(is_class, scores)
        return recall, precision, average_precision_score(is_class, scores)

    figure, axes, named = _curves_figure(labels, targets, probabilities, curve)
    axes.set(xlabel="recall: share of the class that is found", title="Precision and recall")
    axes.set_ylabel("precision: share of finds that are right")
    figure.legend(handles=named, title="lowest average precisions", loc="outside lower center", frameon=False)
    return figure


def _curves_figure(
    labels: Sequence[str],
    targets: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    curve: Callable[[NDArray[np.bool_], NDArray[np.float32]], Curve],
) -> tuple[Figure, Axes, list[Line2D]]:
    """One frame for both: a curve per class, the worst few coloured, named and labelled at the curve, others grey.

    Classes with few photos are grey: their areas are a matter of one photo. Returns also the curves of the legend;
    matplotlib itself would leave out a class called `_other`.
    """
    figure = Figure(figsize=CURVES_INCHES, layout="constrained")
    axes = figure.add_subplot()
    shown = list(range(len(labels))) if len(labels) > 2 else [1]
    curves = {column: curve(targets == column, probabilities[:, column]) for column in shown}
    photos = np.bincount(targets, minlength=len(labels))
    by_area = sorted(shown, key=lambda column: curves[column][2])
    worst = [column for column in by_area if photos[column] >= MIN_CLASS_PHOTOS][:CURVES_NAMED]
    others = [column for column in by_area if column not in worst]
    for number in evenly_spaced(len(others), CURVES_GREY):
        axes.plot(*curves[others[number]][:2], color="grey", linewidth=0.7, alpha=0.4)
    named = []
    for place, column in enumerate(worst):
        across, upward, area = curves[column]
        [line] = axes.plot(across, upward, label=f"{labels[column]} ({area:.2f}, {photos[column]:,} photos)")
        at = int(np.argmin(np.abs(across - (0.2 + 0.25 * place))))
        ground = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.7}
        put = {"textcoords": "offset points", "color": line.get_color(), "bbox": ground}
        axes.annotate(labels[column], (across[at], upward[at]), (4, -12), **put)
        named.append(line)
    if others:
        grey = f"{len(others)} other{'s' * (len(others) > 1)}"
        grey = grey if worst else f"classes with fewer than {MIN_CLASS_PHOTOS} photos"
        named += axes.plot([], [], color="grey", linewidth=0.7, label=grey)
    axes.set(aspect="equal", xlim=(-0.03, 1.03), ylim=(-0.03, 1.05))
    return figure, axes, named


def reliability_figure(bins: ReliabilityBins, before: ReliabilityBins) -> Figure:
    """Reliability diagram: accuracy by confidence, with the number of photos of each bin.

    `before`: the same photos before temperature scaling.
    """
    figure = Figure(figsize=CHART_INCHES, layout="constrained")
    axes = figure.add_subplot()
    edges = np.linspace(0, 1, len(bins.photos) + 1)
    filled = bins.photos > 0
    error = f"as served (error {bins.expected_error:.4f})"
    axes.bar(
        edges[:-1][filled], bins.accuracy[filled], edges[1] * 0.94, align="edge", alpha=0.75, label=error
    )
    filled_before = before.photos > 0
    error = f"before temperature (error {before.expected_error:.4f})"
    line = (before.confidence[filled_before], before.accuracy[filled_before])
    axes.plot(*line, "o-", color="tab:orange", markersize=4, label=error)
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="calibrated")
    for left, photos in zip(edges[:-1][filled], bins.photos[filled], strict=True):
        axes.text(
            left + edges[1] / 2, 0.012, f"{photos:,}", ha="center", va="bottom", rotation=90, fontsize=8
        )
    axes.set(xlabel="probability of the top label", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1.3))
    axes.set(yticks=np.linspace(0, 1, 6), title="Reliability")
    axes.legend(loc="upper left", frameon=False)
    return figure


def corruption_figure(accuracies: Mapping[str, Sequence[float]], clean: float) -> Figure:
    """Accuracy for each corruption (row) and severity (column), beside that on uncorrupted photos."""
    figure = Figure(figsize=(6.4, 0.8 + 0.5 * len(accuracies)), layout="constrained")
    axes = figure.add_subplot()
    cells = np.array([[clean, *row] for row in accuracies.values()])
    image = axes.imshow(cells, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(cells.shape):
        colour = "black" if cells[row, column] > 0.6 else "white"
        axes.text(column, row, f"{cells[row, column]:.2f}", ha="center", va="center", color=colour)
    axes.set_xticks(range(cells.shape[1]), ["clean", *map(str, range(1, cells.shape[1]))])
    axes.set_yticks(range(len(accuracies)), [name.replace("_", " ") for name in accuracies])
    axes.set(xlabel="severity", title="Accuracy under corruption")
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
    pixels: NDArray[np.uint8],
    prediction: Prediction,
    explanation: Explanation | None,
    attributions: NDArray[np.float32],
) -> Figure:
    """The photo, the explanation that the model serves, and the pixels for (green) or against (purple) the label.

    `pixels`: uint8 RGB, shape (size, size, 3); `attributions`: shape (size, size).
    """
    figure = Figure(figsize=(10.5, 3.9), layout="constrained")
    photo, evidence, gradients = figure.subplots(1, 3)
    label, probability = prediction.ranked()[0]
    photo.imshow(pixels)
    photo.set_title(f"{label}, {probability:.1%}", **text_style([label]))
    if explanation is None:
        evidence.imshow(pixels)
        evidence.set_title("no explanation beats a circle at the centre")
    else:
        evidence.imshow(overlay(pixels, explanation.grid))
        evidence.set_title(explanation.kind.replace("_", " "))
    # Smoothed, because single pixels are noisy; clipped at the 99th percentile, because outliers would hide the rest.
    smooth = ndimage.gaussian_filter(attributions, sigma=3)
    limit = float(np.percentile(np.abs(smooth), 99)) or 1.0
    gradients.imshow(pixels.mean(axis=2), cmap="gray", alpha=0.5)
    gradients.imshow(smooth, cmap="PRGn", alpha=0.75, vmin=-limit, vmax=limit)
    gradients.set_title("integrated gradients")
    for axes in (photo, evidence, gradients):
        axes.set_axis_off()
    return figure


def save_figure(figure: Any, path: Path) -> Path:
    """Write `figure` as its file name's ending says, whole or not at all; returns `path`."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, bbox_inches="tight")
    return path

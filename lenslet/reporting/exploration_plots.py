"""Plots of the statistics of `lenslet.reporting.exploration`, as matplotlib figures."""

from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from lenslet.reporting.figure_text import text_style, with_class_names

JPEG_QUALITY = 82
# Matplotlib's twenty colours, the strong ones before the pale ones.
COLOURS = [colormaps["tab20"](number) for number in (*range(0, 20, 2), *range(1, 20, 2))]


def jpeg(figure: Figure, dpi: int = 96) -> bytes:
    """The figure as a JPEG; with photos in it, a tenth of the size of a PNG."""
    file = BytesIO()
    figure.savefig(file, format="jpeg", dpi=dpi, pil_kwargs={"quality": JPEG_QUALITY})
    return file.getvalue()


def grid_figure(
    pictures: Sequence[NDArray[np.uint8]], captions: Sequence[str], columns: int, inches: float = 1.1
) -> Figure:
    """Pictures of one shape, row by row, each under its caption; `inches`: height of a picture."""
    rows = -(-len(pictures) // columns)
    height, width = pictures[0].shape[:2]
    lines = max(caption.count("\n") + 1 if caption else 0 for caption in captions)
    size = (columns * (inches * width / height + 0.04), rows * (inches + 0.08 + 0.15 * lines))
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0))
    for axes in (cells := figure.subplots(rows, columns, squeeze=False)).flat:
        axes.set_axis_off()
    for axes, picture, caption in zip(cells.flat, pictures, captions, strict=False):
        axes.imshow(picture)
        axes.set_title(caption, fontsize=8, pad=3, loc="left", **text_style(captions))
    return figure


@with_class_names
def balance_figure(labels: Sequence[str], counts: Mapping[str, Sequence[int]]) -> Figure:
    """Photos of each class, one bar each; `counts`: split → photos of each class, in the order of `labels`."""
    figure = Figure(figsize=(6.4, 0.9 + 0.28 * len(labels)), layout="constrained")
    axes = figure.add_subplot()
    start = np.zeros(len(labels), int)
    for split, photos in counts.items():
        axes.barh(range(len(labels)), photos, left=start, label=split, height=0.7)
        start = start + np.array(photos)
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set(xlabel="photos")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


@with_class_names
def statistics_figure(
    labels: Sequence[str], targets: NDArray[np.int64], values: Mapping[str, NDArray[np.float64]]
) -> Figure:
    """For each statistic, a box per class: the middle half of its photos, the median, and the outliers as dots."""
    rows = -(-len(values) // 3)
    figure = Figure(figsize=(9.6, rows * (0.9 + 0.26 * len(labels))), layout="constrained")
    cells = figure.subplots(rows, 3, squeeze=False, sharey=True)
    dots = {"markersize": 2.5, "markeredgewidth": 0, "markerfacecolor": "grey"}
    for axes, (name, measured) in zip(cells.flat, values.items(), strict=False):
        boxes = axes.boxplot(
            [measured[targets == number] for number in range(len(labels))],
            orientation="horizontal",
            manage_ticks=False,
            widths=0.65,
            patch_artist=True,
            flierprops={"marker": "o", **dots},
            medianprops={"color": "black"},
        )
        for number, box in enumerate(boxes["boxes"]):
            box.set(facecolor=COLOURS[number % len(COLOURS)], alpha=0.75)
        axes.set_title(name, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in cells.flat[len(values) :]:
        axes.set_axis_off()
    cells[0, 0].set_yticks(range(1, len(labels) + 1), labels)  # once: the axes share them
    cells[0, 0].invert_yaxis()
    return figure


@with_class_names
def map_figure(
    labels: Sequence[str],
    targets: NDArray[np.int64],
    places: NDArray[np.float32],
    ringed: NDArray[np.bool_] | None = None,
) -> Figure:
    """A dot per photo at its place from `flat_map`, in the colour of its class; mistakes in a ring."""
    figure = Figure(figsize=(7.6, 5.4), layout="constrained")
    axes = figure.add_subplot()
    size = float(np.clip(6000 / len(places), 4, 24))
    named = []
    for number, label in enumerate(labels):
        members = places[targets == number]
        dots = axes.scatter(
            members[:, 0],
            members[:, 1],
            s=size,
            color=COLOURS[number % len(COLOURS)],
            label=label,
            linewidths=0,
        )
        named.append(dots)
    if ringed is not None and ringed.any():
        rings = axes.scatter(
            places[ringed, 0],
            places[ringed, 1],
            s=3 * size + 20,
            facecolors="none",
            edgecolors="black",
            linewidths=0.9,
            label="mistake",
        )
        named.append(rings)
    axes.set(xticks=[], yticks=[])
    axes.legend(handles=named, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, markerscale=1.5)
    return figure


def learning_curve_figure(
    sizes: NDArray[np.int64], fitted: NDArray[np.float64], unseen: NDArray[np.float64]
) -> Figure:
    """The result of `learning_curve`: means as lines, and the lowest and highest of the repeats as bands."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for scores, label in ((fitted, "photos it was fitted to"), (unseen, "photos held out")):
        axes.plot(sizes, scores.mean(axis=1), "o-", markersize=4, label=label)
        axes.fill_between(sizes, scores.min(axis=1), scores.max(axis=1), alpha=0.2)
    axes.set(xscale="log", xlabel="photos the head is fitted to", ylabel="accuracy")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def history_figure(history: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """A row per step of training that went by epochs: accuracy and loss of training and validation photos."""
    steps = {step: metrics for step, metrics in history.items() if "val_loss" in metrics}
    figure = Figure(figsize=(8.4, 2.7 * len(steps)), layout="constrained")
    cells = figure.subplots(len(steps), 2, squeeze=False)
    for row, (step, metrics) in zip(cells, steps.items(), strict=True):
        for axes, metric in zip(row, ("accuracy", "loss"), strict=True):
            for key, label in ((metric, "training"), (f"val_{metric}", "validation")):
                axes.plot(np.arange(1, len(metrics[key]) + 1), metrics[key], ".-", label=label)
            axes.set_title(f"{step.replace('_', ' ')}: {metric}", fontsize=10)
            axes.locator_params(axis="x", integer=True)
            axes.spines[["top", "right"]].set_visible(False)
        row[1].legend(frameon=False)
    for axes in cells[-1]:
        axes.set_xlabel("epoch")
    return figure

"""Steps of `lenslet tune`: read the photos at several sizes, find a learning rate."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lenslet.config import Params, TrainParams

if TYPE_CHECKING:
    from lenslet.dataset.dataset import Dataset


def datasets_of_sizes(
    dataset: "Dataset", params: TrainParams, sizes: Sequence[int], arguments: argparse.Namespace
) -> "Mapping[int, Dataset]":
    """Size of the pictures → the photos at this size, in the splits of `dataset`, which comes first."""
    from lenslet.dataset.reading import read_dataset
    from lenslet.dataset.recorded_splits import packed_splits, unpacked_splits

    others = [size for size in sizes if size != dataset.image_size]
    if others:
        searched = ", ".join(str(size) for size in sorted([dataset.image_size, *others]))
        print(f"sizes that are searched: {searched} pixels (tune.image_sizes)")
    splits = unpacked_splits(packed_splits(dataset))
    return {dataset.image_size: dataset} | {
        size: read_dataset(arguments.data, replace(params, image_size=size), arguments.cache, recorded=splits)
        for size in others
    }


def find_learning_rate(
    dataset: "Dataset", params: Params, weights: str, arguments: argparse.Namespace
) -> dict[str, float]:
    """Print a rate and draw the sweep. Returns: dotted key → suggested value."""
    from lenslet.reporting.plots import lr_finder_figure, save_figure
    from lenslet.tuning.learning_rates import learning_rate_sweep
    from lenslet.tuning.space import with_weights

    train = with_weights(params.train, weights)
    seen = learning_rate_sweep(dataset, train, arguments.fine_tune, arguments.cache)
    figure = lr_finder_figure(seen.rates, seen.losses, seen.suggestion)
    print(f"written: {save_figure(figure, arguments.report / 'lr_finder.png')}")
    key = f"train.{'fine_tune' if arguments.fine_tune else 'head'}.learning_rate"
    print(f"suggested {key}: {seen.suggestion:.2g}")
    return {key: float(f"{seen.suggestion:.2g}")}

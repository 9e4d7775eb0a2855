"""Steps of `lenslet tune`: read the photos at several sizes, find a learning rate."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lenslet.commands.report_places import report_of_photos
from lenslet.config import Params, TrainParams

if TYPE_CHECKING:
    from lenslet.dataset.dataset import Dataset


def with_places(arguments: argparse.Namespace) -> argparse.Namespace:
    """With the places that were not given: study and report of each set of photos have their own."""
    usual = report_of_photos(arguments.data, "tune")
    arguments.study = arguments.study or f"runs/{usual.name}.db"
    arguments.report = arguments.report or usual
    arguments.lint_csv = arguments.lint_csv or arguments.report / "lint.csv"
    return arguments


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


def note_of_few_photos(dataset: "Dataset") -> str:
    """What a search on so few validation photos is worth; empty if they are enough."""
    from lenslet.evaluation.few_photos import MIN_TEST_PHOTOS

    photos = len(dataset.members("validation"))
    if photos >= MIN_TEST_PHOTOS:
        return ""
    return (
        f"note: {photos:,} validation photos are too few to choose by: these figures are a matter of chance, and the "
        f"settings of params.yaml the better choice; from {MIN_TEST_PHOTOS} on a search says something"
    )


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

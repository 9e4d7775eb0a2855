"""Steps of `lenslet tune`: find a learning rate."""

import argparse
from typing import TYPE_CHECKING

from lenslet.config import Params

if TYPE_CHECKING:
    from lenslet.dataset.dataset import Dataset


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

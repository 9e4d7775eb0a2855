"""The learning-rate finder: its suggestion on curves drawn by hand, and a sweep of a real head and network."""

from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow  # lenslet/training/lr_finder.py imports TensorFlow

DECADES = np.array([1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0])


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        # Slopes per decade, between the neighbours: 0, -0.25, -0.75, -0.5, …
        ([2.0, 2.0, 1.5, 0.5, 0.5, 4.0], 1e-3),
        # The steepest part is the last before the lowest.
        ([2.0, 1.9, 1.8, 1.7, 0.1, 0.3], 1e-2),
        # A fall behind the lowest loss is noise of a network that is already broken.
        ([2.0, 1.8, 1.0, 0.9, 9.0, 1.0], 1e-4),
    ],
)
def test_suggestion_is_where_the_loss_falls_fastest(losses: list[float], expected: float) -> None:
    from lenslet.training.lr_finder import suggest

    assert suggest(DECADES, np.array(losses)) == pytest.approx(expected)


def test_unevenly_spaced_rates_count_by_decade() -> None:
    """The loss falls by 1 in the decade before 1e-3, then by 1.2 in the two after it."""
    from lenslet.training.lr_finder import suggest

    rates = np.array([1e-5, 1e-4, 1e-3, 1e-1])
    assert suggest(rates, np.array([3.0, 3.0, 2.0, 0.8])) == pytest.approx(1e-3)


def test_loss_that_only_rises_has_no_suggestion() -> None:
    from lenslet.training.lr_finder import LearningRateNotFound, suggest

    with pytest.raises(
        LearningRateNotFound, match=r"falls at no learning rate between 1\.0e-05 and 1\.0e\+00"
    ):
        suggest(DECADES, np.array([1.0, 1.1, 1.2, 1.3, 1.4, 1.5]))


def test_average_is_corrected_for_its_start() -> None:
    """Averages 1, 1.5 and 2.75, over 0.5, 0.75 and 0.875."""
    from lenslet.training.lr_finder import smooth

    assert list(smooth([2.0, 2.0, 4.0], memory=0.5)) == pytest.approx([2.0, 2.0, 22 / 7])


@pytest.mark.parametrize(
    ("losses", "kept"),
    [
        ([1.0, 0.5, 1.9, 2.1, 0.1], 3),  # 2.1 is more than four times 0.5
        ([1.0, float("nan"), 0.5], 1),
        ([float("inf"), 0.5], 0),
        ([1.0, 0.9, 0.8], 3),
    ],
)
def test_sweep_ends_where_the_loss_diverges(losses: list[float], kept: int) -> None:
    from lenslet.training.lr_finder import until_diverged

    assert list(until_diverged(losses)) == losses[:kept]


def two_clouds(photos: int):
    """Features of two classes that a linear head tells apart."""
    from lenslet.training.features import LabelledFeatures

    targets = np.arange(photos) % 2
    noise = np.random.default_rng(4).normal(size=(photos, 8))
    return LabelledFeatures((noise + 2 * targets[:, np.newaxis]).astype(np.float32), targets)


def test_head_sweep_finds_a_rate_that_learns_and_ends_early() -> None:
    from dataclasses import replace

    from lenslet.config import read_params
    from lenslet.training.lr_finder import MIN_STEPS, sweep_head

    params = replace(read_params(Path("params.yaml")).train.head, optimizer="sgd", batch_size=16)
    sweep = sweep_head(two_clouds(64), 2, params)  # four batches a pass: 25 passes
    assert len(sweep.rates) == len(sweep.losses) <= MIN_STEPS
    assert sweep.rates[0] == pytest.approx(1e-6)
    assert 1e-3 < sweep.suggestion < 3
    assert sweep.losses.min() < 0.5 * sweep.losses[0]


def test_network_sweep_puts_the_weights_back() -> None:
    from dataclasses import replace

    from lenslet.config import BackboneParams, read_params
    from lenslet.network.assembly import build_network
    from lenslet.network.backbones import build_backbone
    from lenslet.training.lr_finder import sweep_network
    from tests.support.tiny import tiny_dataset

    params = replace(
        read_params(Path("params.yaml")).train,
        image_size=16,
        backbone=BackboneParams("small_cnn", "none", "all"),
    )
    network = build_network(build_backbone(params.backbone), 2, params)
    before = [weights.copy() for weights in network.get_weights()]
    sweep = sweep_network(network, tiny_dataset(), params)
    assert 1e-5 < sweep.suggestion < 1
    assert sweep.losses.min() < sweep.losses[0]
    for weights, expected in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, expected)


def test_figure_marks_the_suggestion() -> None:
    from lenslet.reporting.plots import lr_finder_figure

    [axes] = lr_finder_figure(DECADES, np.array([2.0, 2.0, 1.5, 0.5, 0.5, 4.0]), 1e-3).axes
    marked = axes.lines[-1]
    assert (marked.get_xdata()[0], marked.get_ydata()[0]) == (1e-3, 1.5)
    assert axes.get_xscale() == "log"

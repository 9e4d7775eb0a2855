"""Even samples: spread over all photos, and over each class."""

import numpy as np

from lenslet.dataset.sampling import evenly_spaced, evenly_spaced_by_class


def test_positions_are_spread_from_the_first_to_the_last() -> None:
    assert evenly_spaced(60, 3).tolist() == [0, 29, 59]
    assert evenly_spaced(2, 5).tolist() == [0, 1]
    assert evenly_spaced(0, 5).tolist() == []
    assert evenly_spaced(9, 0).tolist() == []


def test_sample_is_spread_over_each_class_and_keeps_rare_ones() -> None:
    targets = np.array([0] * 100 + [1] * 30 + [2] * 5)
    chosen = evenly_spaced_by_class(targets, 60)
    assert np.bincount(targets[chosen]).tolist() == [20, 20, 5]
    assert {0, 99, 100, 129} <= set(chosen.tolist())
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    # Too small a number for so many classes: ten of each stay.
    assert np.bincount(targets[evenly_spaced_by_class(targets, 3)]).tolist() == [10, 10, 5]
    assert evenly_spaced_by_class(targets, 1000).tolist() == list(range(135))

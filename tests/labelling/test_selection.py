"""Which photos to label next, on points whose right choice can be seen."""

import numpy as np
import pytest

from lenslet.labelling.selection import margins, select


def test_margin_is_between_the_two_highest() -> None:
    assert margins(np.array([[0.5, 0.4, 0.1], [0.1, 0.1, 0.8]])) == pytest.approx([0.1, 0.7])


def test_most_uncertain_first() -> None:
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.4, 0.6], [0.3, 0.7]])
    assert select(probabilities, 3).chosen.tolist() == [1, 2, 3]


def test_near_copies_stand_for_one_photo() -> None:
    probabilities = np.array([[0.6, 0.4], [0.5, 0.5], [0.7, 0.3]])
    found = select(probabilities, 3, groups=["a", "a", "b"])
    assert found.chosen.tolist() == [1, 2]
    assert found.near_copies.tolist() == [0]


def test_out_of_distribution_photos_are_set_apart() -> None:
    probabilities = np.array([[0.5, 0.5]] * 4)
    scores = np.array([-5.0, 2.0, -4.0, 3.0])
    found = select(probabilities, 4, ood_scores=scores, ood_threshold=0.0)
    assert found.chosen.tolist() == [0, 2]
    assert found.out_of_distribution.tolist() == [3, 1]


def test_every_photo_is_somewhere() -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(3), 50)
    found = select(
        probabilities,
        50,
        ood_scores=random.normal(size=50),
        ood_threshold=1.0,
        groups=[str(number % 30) for number in range(50)],
    )
    everything = np.concatenate([found.chosen, found.out_of_distribution, found.near_copies])
    assert sorted(everything.tolist()) == list(range(50))

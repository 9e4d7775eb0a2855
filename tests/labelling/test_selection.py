"""Which photos to label next, on points whose right choice can be seen."""

import numpy as np
import pytest

from lenslet.labelling.selection import k_centre, margins, select

EAST, NORTH, WEST, NORTH_EAST = (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.7, 0.7)


def points(*places: tuple[float, float]) -> np.ndarray:
    return np.array(places, np.float32)


def test_margin_is_between_the_two_highest() -> None:
    assert margins(np.array([[0.5, 0.4, 0.1], [0.1, 0.1, 0.8]])) == pytest.approx([0.1, 0.7])


def test_furthest_first() -> None:
    assert k_centre(points(EAST, NORTH_EAST, NORTH, WEST), 3).tolist() == [0, 3, 2]


def test_labelled_photos_are_already_covered() -> None:
    assert k_centre(points(EAST, NORTH, WEST), 1, labelled=points(EAST, NORTH)).tolist() == [2]


def test_length_of_features_does_not_matter() -> None:
    assert k_centre(points((1, 0), (9, 0.1), (0, 0.1)), 2).tolist() == [0, 2]


def test_uncertain_and_unlike_each_other() -> None:
    # Twelve photos for a budget of two: ten are proposed, the two surest never are.
    probabilities = np.array([[0.5, 0.5]] * 10 + [[0.99, 0.01]] * 2)
    features = points(*[EAST] * 8, NORTH, NORTH_EAST, WEST, WEST)
    assert select(probabilities, features, 2).chosen.tolist() == [0, 8]


def test_near_copies_stand_for_one_photo() -> None:
    probabilities = np.array([[0.6, 0.4], [0.5, 0.5], [0.7, 0.3]])
    found = select(probabilities, points(EAST, EAST, NORTH), 3, groups=["a", "a", "b"])
    assert found.chosen.tolist() == [1, 2]
    assert found.near_copies.tolist() == [0]


def test_out_of_distribution_photos_are_set_apart() -> None:
    probabilities = np.array([[0.5, 0.5]] * 4)
    scores = np.array([-5.0, 2.0, -4.0, 3.0])
    found = select(probabilities, points(EAST, WEST, NORTH, EAST), 4, ood_scores=scores, ood_threshold=0.0)
    assert found.chosen.tolist() == [0, 2]
    assert found.out_of_distribution.tolist() == [3, 1]


def test_every_photo_is_somewhere() -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(3), 50)
    found = select(
        probabilities,
        random.random((50, 4)).astype(np.float32),
        50,
        ood_scores=random.normal(size=50),
        ood_threshold=1.0,
        groups=[str(number % 30) for number in range(50)],
    )
    everything = np.concatenate([found.chosen, found.out_of_distribution, found.near_copies])
    assert sorted(everything.tolist()) == list(range(50))

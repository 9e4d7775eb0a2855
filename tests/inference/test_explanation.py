"""Explanations: each kind names the part that the answer rests on, and the model's own kind is the one served."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lenslet.inference.explanation import explain
from lenslet.inference.judged_explanation import ACTIVATION_MAP, NORMALISED_MAP, OCCLUSION, OCCLUSION_AND_MAP
from tests.support.explained import CornerClassifier

SIDE = 24


def noise() -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def explanation_of(judged: dict[str, Any], with_map: bool = True, kind: str = "own"):
    classifier = CornerClassifier(judged, with_map)
    pixels = noise()
    return explain(classifier, pixels, classifier.classify(pixels), kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [OCCLUSION, OCCLUSION_AND_MAP])
def test_hiding_the_corner_that_decides_changes_the_answer_most(kind: str) -> None:
    explained = explanation_of({"kind": kind})
    assert (explained.kind, explained.label) == (kind, "rough")
    rows, columns = explained.grid.shape
    assert explained.grid[: rows // 2, : columns // 2].max() == explained.grid.max() == 1
    assert explained.grid.min() == 0
    assert explained.grid[rows // 2 :].max() < 0.5
    assert explained.grid[:, columns // 2 :].max() < 0.5


def test_activation_map_is_that_of_the_label_in_the_range_0_to_1() -> None:
    explained = explanation_of({"kind": ACTIVATION_MAP})
    assert explained.grid.tolist() == [[1, 0.25], [0, 0.5]]  # CornerClassifier's 6, 3, 2, 4


def test_normalised_map_is_divided_by_each_cells_mean_size() -> None:
    judged = {"kind": NORMALISED_MAP, "cell_scale": [[6, 1], [1, 1]]}
    assert explanation_of(judged).grid.tolist() == [[0, pytest.approx(2 / 3)], [pytest.approx(1 / 3), 1]]


def test_model_that_was_not_judged_has_its_map() -> None:
    assert explanation_of({}).kind == ACTIVATION_MAP


@pytest.mark.parametrize(
    ("judged", "with_map"), [({"kind": None}, True), ({}, False), ({"kind": ACTIVATION_MAP}, False)]
)
def test_no_explanation_where_none_is_any_good(judged: dict[str, Any], with_map: bool) -> None:
    assert explanation_of(judged, with_map) is None
    assert explanation_of(judged, with_map, OCCLUSION).kind == OCCLUSION  # asked for by name


def test_picture_in_which_nothing_matters_has_an_even_map() -> None:
    classifier = CornerClassifier({"kind": OCCLUSION})
    pixels = np.full((SIDE, SIDE, 3), 7, np.uint8)
    explained = explain(classifier, pixels, classifier.classify(pixels))  # type: ignore[arg-type]
    assert explained is not None
    assert explained.grid.tolist() == np.zeros((6, 6)).tolist()

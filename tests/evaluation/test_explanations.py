"""Judged explanations: what names the deciding part beats a circle at the centre, and what does not is refused."""

import numpy as np

from lenslet.evaluation.explanations import (
    CIRCLE,
    RANDOM,
    Judgement,
    choose_explanation,
    explanation_of,
    explanation_table,
    judge,
)
from lenslet.inference.judged_explanation import ACTIVATION_MAP, NORMALISED_MAP, OCCLUSION, OCCLUSION_AND_MAP
from tests.support.explained import CornerClassifier


def noise(count: int = 4) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, 24, 24, 3), np.uint8)


def test_occlusion_finds_the_corner_and_the_circle_does_not() -> None:
    judgements, scale = judge(CornerClassifier({}), noise())  # type: ignore[arg-type]
    assert list(judgements) == [ACTIVATION_MAP, NORMALISED_MAP, OCCLUSION, OCCLUSION_AND_MAP, CIRCLE, RANDOM]
    assert judgements[OCCLUSION].deletion > 2 * judgements[CIRCLE].deletion
    assert judgements[OCCLUSION].insertion > 2 * judgements[CIRCLE].insertion
    assert judgements[OCCLUSION].beats_circle
    assert judgements[CIRCLE].deletion_gain == 0
    assert scale.tolist() == [[6, 3], [2, 4]]  # the mean size over both labels


def test_only_occlusion_is_judged_without_a_map() -> None:
    judgements, scale = judge(CornerClassifier({}, with_map=False), noise())  # type: ignore[arg-type]
    assert list(judgements) == [OCCLUSION, CIRCLE, RANDOM]
    assert choose_explanation(judgements) == OCCLUSION
    found = explanation_of(judgements, scale, 4)
    assert (found["kind"], found["photos"]) == (OCCLUSION, 4)
    assert found["deletion"] > found["circle_deletion"]


def judgement(deletion: float, gain: float, error: float = 0.1) -> Judgement:
    return Judgement(deletion, 1.0, gain, error, 0.5, 2.0)


def test_highest_deletion_among_those_that_beat_the_circle_is_chosen() -> None:
    judgements = {
        ACTIVATION_MAP: judgement(1.3, 0.3),
        NORMALISED_MAP: judgement(1.2, 0.2),
        OCCLUSION: judgement(1.5, 0.5, error=0.6),  # may be chance
        CIRCLE: judgement(1.0, 0.0),
    }
    assert choose_explanation(judgements) == ACTIVATION_MAP
    assert explanation_table(judgements).splitlines()[1].split() == [
        "activation", "map", "1.30", "1.30", "×", "1.00", "0.50", "2.0",
    ]  # fmt: skip
    assert explanation_table(judgements).splitlines()[-1] == "chosen: activation map"


def test_none_is_chosen_where_the_circle_is_as_good() -> None:
    judgements = {
        ACTIVATION_MAP: judgement(0.9, -0.1),
        OCCLUSION: judgement(1.05, 0.05),
        CIRCLE: judgement(1.0, 0.0),
    }
    assert choose_explanation(judgements) is None
    assert explanation_of(judgements, np.empty((0, 0), np.float32), 9) == {
        "kind": None,
        "photos": 9,
        "circle_deletion": 1.0,
    }
    assert (
        explanation_table(judgements).splitlines()[-1] == "chosen: none says more than a circle at the centre"
    )


def test_scale_of_the_normalised_map_is_kept() -> None:
    judgements = {NORMALISED_MAP: judgement(1.3, 0.3), CIRCLE: judgement(1.0, 0.0)}
    assert explanation_of(judgements, np.array([[6, 3]], np.float32), 9)["cell_scale"] == [[6, 3]]

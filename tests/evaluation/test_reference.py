"""Reference distributions: what is summarised, and that model.json keeps it."""

import json

import numpy as np
import pytest

from lenslet.evaluation.reference import QUANTILES, from_json, reference_of, scores_of, to_json

PROBABILITIES = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]], np.float32)
TARGETS = np.array([0, 1, 1, 1])
OOD_SCORES = np.array([-4.0, -1.0, -2.0, -3.0])


def test_scores_of_answers() -> None:
    scores = scores_of(np.array([[0.5, 0.5], [1.0, 0.0]], np.float32), np.array([-1.0, -2.0]))
    assert scores["confidence"].tolist() == [0.5, 1.0]
    assert scores["entropy"] == pytest.approx([0.6931, 0.0], abs=1e-4)
    assert scores["ood_score"].tolist() == [-1.0, -2.0]


def test_summary_of_four_photos() -> None:
    reference = reference_of(TARGETS, PROBABILITIES, OOD_SCORES)
    assert reference.photos == 4
    assert reference.accuracy == 0.75
    # Three of four are right; confidences are 0.9, 0.6, 0.7, 0.8: mean 0.75.
    assert reference.calibration_gap == pytest.approx(0.0, abs=1e-6)
    # Differences 0.1, −0.6, 0.3, 0.2: standard deviation √0.125, over √4 photos.
    assert reference.calibration_gap_error == pytest.approx(0.1768, abs=1e-4)
    assert reference.confusion.tolist() == [[1, 0], [1, 2]]
    assert len(reference.quantiles["ood_score"]) == QUANTILES
    assert reference.quantiles["ood_score"][[0, -1]].tolist() == [-4.0, -1.0]


def test_model_json_keeps_it() -> None:
    reference = reference_of(TARGETS, PROBABILITIES, OOD_SCORES)
    content = json.loads(json.dumps(to_json(reference)))
    assert content["confusion"] == [[0, 0, 1], [1, 0, 1], [1, 1, 2]]
    read = from_json(content, classes=2)
    assert read.confusion.tolist() == reference.confusion.tolist()
    assert read.quantiles["entropy"] == pytest.approx(reference.quantiles["entropy"], abs=1e-5)


@pytest.mark.parametrize("content", [{}, {"photos": 4}, {"photos": 1, "confusion": [[5, 5, 1]]}])
def test_missing_reference_names_the_remedy(content: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="convert the model again"):
        from_json(content, classes=2)

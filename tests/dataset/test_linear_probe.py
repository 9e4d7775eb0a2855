"""Out-of-fold predictions: each photo is judged by the others, and the answer is cached."""

from pathlib import Path

import numpy as np
import pytest

from lenslet.dataset import linear_probe
from lenslet.dataset.linear_probe import cached_out_of_fold, out_of_fold


def noise(photos: int = 80, numbers: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Numbers that say nothing of their two labels, and enough of them to learn every label by heart."""
    return np.random.default_rng(3).normal(size=(photos, numbers)).astype(np.float32), np.arange(photos) % 2


def test_out_of_fold_judges_photos_that_it_was_not_fitted_to() -> None:
    values, targets = noise()
    probabilities = out_of_fold(values, targets)
    assert probabilities.shape == (80, 2)
    assert 0.3 < (probabilities.argmax(axis=1) == targets).mean() < 0.7
    telling = np.column_stack([values[:, 0], targets])
    assert (out_of_fold(telling, targets).argmax(axis=1) == targets).all()


def test_answer_is_kept_for_the_same_features_and_targets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, targets = noise()
    first = cached_out_of_fold(values, targets, tmp_path)
    np.testing.assert_array_equal(first, out_of_fold(values, targets))
    other = cached_out_of_fold(values, 1 - targets, tmp_path)
    assert not np.allclose(first, other)

    def fail(*arguments: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(linear_probe, "out_of_fold", fail)
    np.testing.assert_array_equal(cached_out_of_fold(values, targets, tmp_path), first)

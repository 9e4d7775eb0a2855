"""Fits of few photos multiply matrices on one thread, those of many on as many as before."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info, threadpool_limits

from lenslet.dataset.blas_threads import MANY, suitable_threads
from lenslet.dataset.linear_probe import out_of_fold
from lenslet.reporting.exploration import learning_curve


def threads() -> set[int]:
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


@pytest.mark.parametrize(("numbers", "expected"), [(MANY - 1, {1}), (MANY, {2})])
def test_few_numbers_need_no_second_thread(numbers: int, expected: set[int]) -> None:
    with threadpool_limits(2, user_api="blas"):
        with suitable_threads(np.empty(numbers, np.int8)):
            assert threads() == expected
        assert threads() == {2}


@pytest.mark.parametrize(
    "fit",
    [out_of_fold, lambda values, targets: learning_curve(values, targets, points=2)],
    ids=["out of fold", "learning curve"],
)
def test_linear_models_of_few_photos_have_one_thread(fit, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[int]] = []
    fitted = LogisticRegression.fit

    def note(self, *arguments, **options):
        seen.append(threads())
        return fitted(self, *arguments, **options)

    monkeypatch.setattr(LogisticRegression, "fit", note)
    values = np.random.default_rng(0).normal(size=(60, 4))
    with threadpool_limits(2, user_api="blas"):
        fit(values, np.arange(60) % 2)
    assert seen
    assert all(each == {1} for each in seen)

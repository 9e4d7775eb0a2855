"""The head of few photos: exact, of the strength that generalizes best, and taken where it should be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from lenslet.config import HeadParams, read_params

pytestmark = pytest.mark.slow


@pytest.fixture
def params() -> HeadParams:
    return replace(read_params(Path("params.yaml")).train.head, hidden_units=0)


def photos(classes: int, each: int, noise: float, channels: int = 200):
    """Features of photos whose class shows in one channel, among channels that mean nothing."""
    from lenslet.training.features import LabelledFeatures

    random = np.random.default_rng(2)
    targets = np.repeat(np.arange(classes), each)
    features = random.normal(size=(len(targets), channels)) * noise + 3.0
    features[np.arange(len(targets)), targets] += 1
    return LabelledFeatures(features.astype(np.float32), targets)


@pytest.mark.parametrize("classes", [2, 3])
def test_labels_of_other_photos_are_found(classes: int) -> None:
    from lenslet.training.logistic_head import fit_logistic_head

    shown = photos(classes, 100, 0.3)
    (kernel, bias), _ = fit_logistic_head(
        replace(shown, features=shown.features[::2], targets=shown.targets[::2]), classes
    )
    assert kernel.shape == (200, classes)
    assert bias.shape == (classes,)
    answers = shown.features[1::2] @ kernel + bias
    assert (answers.argmax(axis=1) == shown.targets[1::2]).mean() > 0.9


def test_logits_are_those_of_scikit_learn() -> None:
    """Two classes have one row of weights there, and two logits here: their difference is what it computes."""
    from sklearn.linear_model import LogisticRegression

    from lenslet.training.logistic_head import fit_logistic_head

    shown = photos(2, 20, 0.5, channels=6)
    (kernel, bias), strength = fit_logistic_head(shown, 2)
    scale = (shown.features - shown.features.mean(axis=0)).std()
    peer = LogisticRegression(C=strength / scale**2, tol=1e-8, max_iter=5000).fit(
        shown.features, shown.targets
    )
    expected = peer.predict_proba(shown.features)
    np.testing.assert_allclose(softmax(shown.features @ kernel + bias, axis=1), expected, atol=2e-3)


def test_head_of_few_photos_is_fitted_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.linear_model import LogisticRegressionCV
    from threadpoolctl import threadpool_info, threadpool_limits

    from lenslet.training.logistic_head import fit_logistic_head

    seen: set[int] = set()
    fitted = LogisticRegressionCV.fit

    def note(self, *arguments, **options):
        seen.update(each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas")
        return fitted(self, *arguments, **options)

    monkeypatch.setattr(LogisticRegressionCV, "fit", note)
    with threadpool_limits(2, user_api="blas"):
        fit_logistic_head(photos(2, 20, 0.5, channels=6), 2)
    assert seen == {1}


def test_noisier_features_get_a_stronger_penalty() -> None:
    from lenslet.training.logistic_head import fit_logistic_head

    clear, noisy = (fit_logistic_head(photos(3, 20, noise), 3)[1] for noise in (0.1, 1.5))
    assert noisy < clear


@pytest.mark.parametrize("classes", [2, 3])
def test_answers_out_of_fold_do_not_know_the_labels_that_they_answer_for(classes: int) -> None:
    """Labels drawn at random: a head fits those that it saw, and is right by chance about the others."""
    from lenslet.training.features import LabelledFeatures
    from lenslet.training.logistic_head import fit_at, out_of_fold_logits

    random = np.random.default_rng(4)
    targets = np.arange(120) % classes
    shown = LabelledFeatures(random.normal(size=(120, 300)).astype(np.float32), targets)
    folds = np.arange(120) // classes % 10
    logits = out_of_fold_logits(shown, folds, classes, 0.02)
    kernel, bias = fit_at(shown, classes, 0.02)
    assert ((shown.features @ kernel + bias).argmax(axis=1) == targets).mean() > 0.95
    assert (logits.argmax(axis=1) == targets).mean() == pytest.approx(1 / classes, abs=0.15)
    one = folds == 3
    others = LabelledFeatures(shown.features[~one], targets[~one])
    kernel, bias = fit_at(others, classes, 0.02)
    np.testing.assert_allclose(logits[one], shown.features[one] @ kernel + bias, atol=1e-5)


def test_balanced_class_weights_count() -> None:
    """Of 4 photos against 60 that look alike, the rare class gets a higher probability with balanced weights."""
    from lenslet.training.features import LabelledFeatures
    from lenslet.training.logistic_head import fit_logistic_head

    random, targets = np.random.default_rng(0), np.repeat([0, 1], [60, 4])
    shown = LabelledFeatures(random.normal(size=(64, 5)).astype(np.float32), targets)
    rare = []
    for rule in ("none", "balanced"):
        (kernel, bias), _ = fit_logistic_head(shown, 2, rule)  # type: ignore[arg-type]
        rare.append(softmax(shown.features @ kernel + bias, axis=1)[:, 1].mean())
    assert rare[0] < 0.15 < 0.4 < rare[1]


def test_class_of_one_photo_and_constant_features_are_fitted() -> None:
    from lenslet.training.features import LabelledFeatures
    from lenslet.training.logistic_head import USUAL_STRENGTH, fit_logistic_head

    shown = LabelledFeatures(np.ones((4, 3), np.float32), np.array([0, 0, 0, 1]))
    (kernel, bias), strength = fit_logistic_head(shown, 2)
    assert strength == USUAL_STRENGTH
    assert np.isfinite(kernel).all()
    assert bias[0] > bias[1]


@pytest.mark.parametrize(
    ("solver", "hidden", "count", "expected"),
    [
        ("auto", 0, 6000, True),
        ("auto", 0, 6001, False),
        ("auto", 64, 10, False),
        ("logistic", 0, 6001, True),
        ("gradient", 0, 10, False),
    ],
)
def test_solver_follows_from_settings_and_photos(
    params: HeadParams, solver: str, hidden: int, count: int, expected: bool
) -> None:
    from lenslet.training.small_folders import is_logistic

    chosen = replace(params, solver=solver, hidden_units=hidden)  # type: ignore[arg-type]
    assert is_logistic(chosen, count, 2) is expected


def test_setting_of_gradient_descent_asks_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    """`--set train.head.epochs=3` would have no effect on a logistic regression."""
    from lenslet.commands.train_params import for_descent

    shipped = read_params(Path("params.yaml")).train
    assert for_descent(shipped, {"train.head.epochs": "3"}).head.solver == "gradient"
    assert "train.head.epochs is a setting of gradient descent" in capsys.readouterr().out
    for given in ({}, {"train.seed": "3"}, {"train.head.hidden_units": "0"}):
        assert for_descent(shipped, given) is shipped
    logistic = replace(shipped, head=replace(shipped.head, solver="logistic"))
    assert for_descent(logistic, {"train.head.epochs": "3"}) is logistic

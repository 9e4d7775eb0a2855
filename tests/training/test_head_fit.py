"""The head's fit: label smoothing, early stopping, the best epoch's weights, and dropout that rests at validation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lenslet.config import HeadParams, read_params

pytestmark = pytest.mark.slow


@pytest.fixture
def params() -> HeadParams:
    shipped = read_params(Path("params.yaml")).train.head
    return replace(shipped, hidden_units=0, dropout=0.0, label_smoothing=0.0, batch_size=8)


def two_classes(is_swapped: bool = False):
    """Features of 32 photos whose first number tells the class; or whose labels are the other way round."""
    from lenslet.training.features import LabelledFeatures

    targets = np.arange(32) % 2
    features = np.random.default_rng(3).normal(size=(32, 4)) + 4 * targets[:, np.newaxis] * [1, 0, 0, 0]
    return LabelledFeatures(features.astype(np.float32), 1 - targets if is_swapped else targets)


def test_label_smoothing_is_in_the_loss_and_not_in_the_log_loss(params: HeadParams) -> None:
    """Probabilities 0.9 and 0.1 against targets 0.9 and 0.1: −0.9 ln 0.9 − 0.1 ln 0.1 = 0.3251; unsmoothed 0.1054."""
    from lenslet.network.head import build_head

    head = build_head(2, 2, replace(params, label_smoothing=0.2))
    head.set_weights([np.eye(2, dtype=np.float32), np.zeros(2, np.float32)])
    answers, targets = np.array([[np.log(9), 0]], np.float32), np.array([[1, 0]], np.float32)
    loss, _, log_loss = head.evaluate(answers, targets, verbose=0)
    assert loss == pytest.approx(0.3251, abs=1e-4)
    assert log_loss == pytest.approx(0.1054, abs=1e-4)


def test_fit_stops_when_patience_is_exhausted(params: HeadParams) -> None:
    from lenslet.training.head_fit import fit_head

    still = replace(params, learning_rate=0.0, epochs=9, patience=2)
    _, history = fit_head(two_classes(), two_classes(), 2, still)
    assert len(history["val_log_loss"]) == 3


def test_weights_are_those_of_the_best_epoch(params: HeadParams) -> None:
    """The better the head learns, the worse it does on swapped labels: its first epoch is the best."""
    import keras

    from lenslet.training.head_fit import fit_head

    found = []
    for epochs in (1, 6):
        keras.utils.set_random_seed(5)
        longer = replace(params, optimizer="sgd", learning_rate=0.05, epochs=epochs, patience=9)
        weights, history = fit_head(two_classes(), two_classes(is_swapped=True), 2, longer)
        assert np.argmin(history["val_log_loss"]) == 0
        found.append(weights[0])
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_dropout_drops_features_in_training_only(params: HeadParams) -> None:
    """Of 400 features of 1, a half is dropped and the others count twice: 400 ± 20 in training, 400 otherwise."""
    from lenslet.network.head import build_head

    head = build_head(400, 1, replace(params, dropout=0.5))
    head.set_weights([np.ones((400, 1), np.float32), np.zeros(1, np.float32)])
    features = np.ones((50, 400), np.float32)
    dropped = head(features, training=True).numpy()
    assert set(np.unique(dropped % 2)) == {0.0}
    assert 10 < dropped.std() < 30
    np.testing.assert_allclose(head(features, training=False), 400)


def test_dropout_rests_when_a_trial_is_judged(params: HeadParams) -> None:
    from lenslet.tuning.trials import fit_epochs

    still = replace(params, learning_rate=0.0, dropout=0.5, epochs=3)
    first, *others = fit_epochs(two_classes(), two_classes(), 2, still)
    for probabilities in others:
        np.testing.assert_allclose(probabilities, first, atol=1e-6)

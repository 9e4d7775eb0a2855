"""What `lenslet train` prints of the validation photos."""

import pytest

pytestmark = pytest.mark.slow  # the module imports Keras

CHECKED = {"photos": 120.0, "folds": 5.0, "accuracy": 0.7583, "accuracy_low": 0.674, "accuracy_high": 0.8266}


def test_accuracy_comes_with_its_count() -> None:
    from lenslet.training.validation import in_words

    assert in_words({"accuracy": 0.5, "log_loss": 0.93584}, 18) == (
        "validation accuracy 0.5000 (9 of 18), log loss 0.9358"
    )
    assert in_words({"accuracy": 0.5, "log_loss": 0.93584, "folds": 10.0}, 18).startswith(
        "cross-validated accuracy 0.5000 (9 of 18)"
    )


@pytest.mark.parametrize(("photos", "is_said"), [(18, True), (29, True), (30, False)])
def test_few_photos_are_cross_validated(photos: int, is_said: bool) -> None:
    from lenslet.commands.train_steps import checked_in_words

    said = checked_in_words(CHECKED, photos)
    assert bool(said) == is_said
    assert not said or said.endswith("over 120 photos, a linear model has an accuracy of 0.76 (0.67 to 0.83)")
    assert checked_in_words({}, 18) == ""

"""Temperature scaling at conversion: fitted on the validation photos, and on no others."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.tiny import tiny_dataset

pytestmark = pytest.mark.slow


def test_temperature_is_that_of_the_validation_photos() -> None:
    """The network says "light" to light photos by 6 logits; of the 8 validation photos 6 are labelled so.

    With one more right and one more wrong answer, as the fit counts, the probability is 7/10, a difference of ln 7/3:
    the temperature is 6 / ln 7/3 = 7.081. Training and test photos are all right, and would make it below 3.
    """
    from lenslet.conversion.servable import KerasAnswers, temperature_of

    dataset = tiny_dataset()
    everything = np.arange(len(dataset.photos))
    side = np.where(dataset.pixels[dataset.rows].mean(axis=(1, 2, 3)) > 100, 3.0, -3.0)
    logits = np.stack([-side, side], axis=1).astype(np.float32)
    wrong = set(dataset.members("validation")[:2])  # a dark one and a light one of eight
    others = {"dark": "light", "light": "dark"}
    photos = tuple(
        replace(photo, label=others[photo.label]) if number in wrong else photo
        for number, photo in enumerate(dataset.photos)
    )
    answers = KerasAnswers(everything, logits, features=np.zeros((len(everything), 1), np.float32))
    found = temperature_of(answers, replace(dataset, photos=photos))
    assert found == pytest.approx(7.081, abs=0.01)

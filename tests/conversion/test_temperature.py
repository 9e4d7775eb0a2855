"""Temperature scaling at conversion: fitted on the validation photos, and on no others."""

from dataclasses import replace

import pytest

from tests.support.tiny import tiny_dataset

pytestmark = pytest.mark.slow


def test_temperature_is_that_of_the_validation_photos() -> None:
    """The network says "light" to light photos by 6 logits; of the 8 validation photos 6 are labelled so.

    With one more right and one more wrong answer, as the fit counts, the probability is 7/10, a difference of ln 7/3:
    the temperature is 6 / ln 7/3 = 7.081. Training and test photos are all right, and would make it below 3.
    """
    import keras

    from lenslet.conversion.servable import temperature_of

    dataset = tiny_dataset()
    validation = dataset.members("validation")
    wrong = set(validation[:2])  # a dark one and a light one of eight
    others = {"dark": "light", "light": "dark"}
    photos = tuple(
        replace(photo, label=others[photo.label]) if number in wrong else photo
        for number, photo in enumerate(dataset.photos)
    )
    image = keras.Input((16, 16, 3))
    mean = keras.ops.mean(keras.ops.cast(image, "float32"), axis=(1, 2, 3))
    side = keras.ops.where(mean > 100, 3.0, -3.0)
    logits = keras.layers.Identity(name="logits")(keras.ops.stack([-side, side], axis=1))
    network = keras.Model(image, {"probabilities": keras.layers.Softmax()(logits)})
    assert temperature_of(network, replace(dataset, photos=photos)) == pytest.approx(7.081, abs=0.01)

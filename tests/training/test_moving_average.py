"""The moving average of the weights: by hand, as what fine-tuning validates and keeps, and resumed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lenslet.config import BackboneParams, ParamsError, TrainParams, read_params
from lenslet.dataset.dataset import Dataset
from lenslet.dataset.reading import read_dataset
from tests.support.photos import RED, write_class

pytestmark = pytest.mark.slow

EPOCHS, STEPS = 3, 3


@pytest.fixture(scope="module")
def params() -> TrainParams:
    """Ever larger steps, so that the average lags behind; the last epoch is kept, as validation photos are few."""
    shipped = read_params(Path("params.yaml")).train
    tuned = replace(shipped.fine_tune, epochs=EPOCHS, batch_size=8, min_steps_per_epoch=STEPS)
    small = replace(tuned, learning_rate=0.01, warmup_epochs=EPOCHS, ema=0.9)
    backbone = BackboneParams("small_cnn", "none", "all")
    return replace(shipped, image_size=16, backbone=backbone, fine_tune=small, validation_fraction=0.2)


@pytest.fixture(scope="module")
def dataset(params: TrainParams, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two classes that look alike: 9 photos of each to train on, 2 to validate."""
    folder = tmp_path_factory.mktemp("moving_average")
    write_class(folder / "photos" / "one", 12, RED)
    write_class(folder / "photos" / "other", 12, RED, first_seed=100)
    return read_dataset(folder / "photos", params, folder / "cache")


def initial(params: TrainParams):
    from lenslet.network.assembly import initial_network
    from lenslet.network.devices import Acceleration

    return initial_network(params, 2, Acceleration())[1]


def test_average_by_hand() -> None:
    """The decay is 1/10, 2/11, 3/12 after the first steps, and 0.5 from the ninth on."""
    import keras

    from lenslet.training.moving_average import MovingAverage

    image = keras.Input((1,))
    model = keras.Model(image, keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")(image))
    average = MovingAverage(model, 0.5)
    found = []
    for step, weight in enumerate((1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0)):
        model.set_weights([np.array([[weight]], np.float32)])
        average.on_train_batch_end(step)
        found.append(float(average.weights()[0][0, 0]))
    assert found[:3] == pytest.approx([0.9, 1.8, 0.45])
    assert found[9] == pytest.approx(0.5 * found[8] + 0.5)
    average.on_test_begin()
    assert model.get_weights()[0][0, 0] == pytest.approx(found[9])
    average.on_test_end()
    assert model.get_weights()[0][0, 0] == 1.0


def test_average_is_validated_and_kept(
    params: TrainParams, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lenslet.training.checkpoint import Checkpointing
    from lenslet.training.fine_tuning import fine_tune
    from lenslet.training.validation import validate

    network, trained = initial(params), []
    expected = [each.copy() for each in network.get_layer("head").get_weights()]
    monkeypatch.setattr(
        Checkpointing,
        "on_train_batch_end",
        lambda self, batch, logs=None: trained.append(self.model.get_layer("head").get_weights()),
    )
    # Without smoothing, the loss is the log loss.
    plain = replace(params, fine_tune=replace(params.fine_tune, label_smoothing=0.0))
    history = fine_tune(network, dataset, plain, tmp_path / "run")
    assert len(trained) == EPOCHS * STEPS
    for step, weights in enumerate(trained):
        decay = min(0.9, (1 + step) / (10 + step))
        expected = [decay * mean + (1 - decay) * each for mean, each in zip(expected, weights, strict=True)]
    kept = network.get_layer("head").get_weights()
    for mine, each in zip(kept, expected, strict=True):
        np.testing.assert_allclose(mine, each, atol=1e-5)
    assert np.abs(kept[0] - trained[-1][0]).max() > 1e-3
    assert validate(network, dataset, plain)["log_loss"] == pytest.approx(history["val_loss"][-1], abs=1e-5)


def test_interrupted_training_ends_as_an_unbroken_one(
    params: TrainParams, dataset: Dataset, tmp_path: Path
) -> None:
    from lenslet.training.fine_tuning import fine_tune

    def interrupt(epoch: int, logs: object) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    unbroken, resumed = initial(params), initial(params)
    expected = fine_tune(unbroken, dataset, params, tmp_path / "unbroken")
    with pytest.raises(KeyboardInterrupt):
        fine_tune(initial(params), dataset, params, tmp_path / "killed", on_epoch_end=interrupt)
    history = fine_tune(resumed, dataset, params, tmp_path / "killed")
    assert len(history["val_loss"]) == EPOCHS
    np.testing.assert_allclose(history["val_loss"], expected["val_loss"], atol=1e-4)
    for mine, each in zip(resumed.get_weights(), unbroken.get_weights(), strict=True):
        np.testing.assert_allclose(mine, each, atol=1e-4)


def test_checkpoint_without_an_average_is_of_another_training(
    params: TrainParams, dataset: Dataset, tmp_path: Path
) -> None:
    from lenslet.training.fine_tuning import fine_tune
    from lenslet.training.run import CheckpointError

    off = replace(params, fine_tune=replace(params.fine_tune, ema=0.0, epochs=1))
    fine_tune(initial(off), dataset, off, tmp_path / "run")
    with pytest.raises(CheckpointError, match="the checkpoint is of another network"):
        fine_tune(initial(params), dataset, params, tmp_path / "run")


@pytest.mark.parametrize("decay", ["1", "-0.1", "fast"])
def test_decay_that_averages_nothing_is_one_sentence(decay: str) -> None:
    with pytest.raises(ParamsError, match=r"train\.fine_tune\.ema must be "):
        read_params(Path("params.yaml"), [f"train.fine_tune.ema={decay}"])

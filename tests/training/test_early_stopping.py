"""Fine-tuning: its schedule, loss and loss scaling, when it stops, and which epoch's weights it leaves."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lenslet.config import AugmentationParams, BackboneParams, FineTuneParams, TrainParams, read_params
from tests.support.tiny import tiny_dataset

pytestmark = pytest.mark.slow

UNCHANGED = AugmentationParams(flip="none", shift=0.0, zoom=0.0, contrast=0.0, mixup=0.0, mixup_min_photos=0)
BRIEF = FineTuneParams(
    batch_size=8,
    learning_rate=0.01,
    warmup_epochs=1.0,
    weight_decay=0.0,
    label_smoothing=0.0,
    epochs=4,
    min_steps_per_epoch=1,
    patience=1,
    min_validation_photos=1,
)


def params_with(**fine_tune: object) -> TrainParams:
    shipped = read_params(Path("params.yaml")).train
    return replace(
        shipped,
        image_size=16,
        class_weights="none",
        backbone=BackboneParams("small_cnn", "none", "all"),
        augmentation=UNCHANGED,
        fine_tune=replace(BRIEF, **fine_tune),
    )


def network_for(params: TrainParams):
    import keras

    from lenslet.network.assembly import build_network
    from lenslet.network.backbones import build_backbone

    keras.utils.set_random_seed(3)
    return build_network(build_backbone(params.backbone), 2, params)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.0),
        (5, 0.005),
        (10, 0.01),
        (25, 0.005),
        (40, 0.0),
    ],  # 10 steps of warm-up, then half a cosine of 30
)
def test_rate_warms_up_and_falls_along_a_cosine(step: int, expected: float) -> None:
    from lenslet.training.fine_tuning import fine_tuning_optimizer

    optimizer = fine_tuning_optimizer(params_with(), steps_per_epoch=10)
    optimizer.iterations.assign(step)
    assert float(optimizer.learning_rate) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(
    ("precision", "is_scaled"), [("float32", False), ("mixed_bfloat16", False), ("mixed_float16", True)]
)
def test_loss_is_scaled_where_small_gradients_would_vanish(precision: str, is_scaled: bool) -> None:
    import keras

    from lenslet.training.fine_tuning import fine_tuning_optimizer

    optimizer = fine_tuning_optimizer(params_with(), 10, precision)
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer) == is_scaled


@pytest.mark.parametrize(("precision", "is_scaled"), [("float32", False), ("mixed_float16", True)])
def test_fine_tuning_uses_the_scaled_optimizer(precision: str, is_scaled: bool, tmp_path: Path) -> None:
    """Its scale, 2 to the power of 15 at first, is among the variables of the checkpoint."""
    from lenslet.training.fine_tuning import fine_tune
    from lenslet.training.run import read_checkpoint

    params = params_with(epochs=1)
    fine_tune(network_for(params), tiny_dataset(), params, tmp_path / "run", precision)
    checkpoint = read_checkpoint(tmp_path / "run")
    assert checkpoint is not None
    scales = [each for each in checkpoint.variables if np.size(each) == 1 and float(np.max(each)) >= 2**10]
    assert bool(scales) == is_scaled


@pytest.mark.parametrize(("smoothing", "expected"), [(0.0, 0.3133), (0.2, 0.4133)])
def test_label_smoothing_is_in_the_loss(smoothing: float, expected: float, tmp_path: Path) -> None:
    """A head of bias 1 for the first class, on photos of it: −ln 0.7311 = 0.3133, and −ln 0.2689 = 1.3133 a tenth."""
    from lenslet.network.assembly import set_head
    from lenslet.training.fine_tuning import fine_tune

    params = params_with(learning_rate=0.0, epochs=1, label_smoothing=smoothing)
    dataset = tiny_dataset()
    one_class = replace(dataset, photos=tuple(replace(photo, label="dark") for photo in dataset.photos))
    network = network_for(params)
    set_head(network, [np.zeros((128, 2), np.float32), np.array([1, 0], np.float32)])
    history = fine_tune(network, one_class, params, tmp_path / "run")
    assert history["loss"] == pytest.approx([expected], abs=1e-3)


@pytest.mark.parametrize(("min_photos", "epochs"), [(8, 2), (9, 4)])
def test_few_validation_photos_stop_nothing(min_photos: int, epochs: int, tmp_path: Path) -> None:
    """At rate 0 no epoch is better than the first: patience 1 stops after two, if 8 validation photos are enough."""
    from lenslet.training.fine_tuning import fine_tune

    params = params_with(learning_rate=0.0, min_validation_photos=min_photos)
    history = fine_tune(network_for(params), tiny_dataset(), params, tmp_path / "run")
    assert len(history["val_loss"]) == epochs


@pytest.mark.parametrize("min_photos", [8, 9])
def test_weights_on_entry_stay_unless_the_last_epoch_counts(min_photos: int, tmp_path: Path) -> None:
    """A rate of 10 damages any network: its weights on entry are better, if 8 validation photos are enough."""
    from lenslet.training.fine_tuning import fine_tune

    params = params_with(learning_rate=10.0, warmup_epochs=0.0, epochs=1, min_validation_photos=min_photos)
    network = network_for(params)
    before = [weights.copy() for weights in network.get_weights()]
    fine_tune(network, tiny_dataset(), params, tmp_path / "run")
    change = max(np.abs(mine - old).max() for mine, old in zip(network.get_weights(), before, strict=True))
    assert (change == 0) == (min_photos == 8)


@pytest.mark.parametrize(("min_photos", "is_blended"), [(16, True), (17, False)])
def test_batches_of_few_photos_are_not_blended(min_photos: int, is_blended: bool) -> None:
    from lenslet.training.batches import train_batches

    mixup = replace(UNCHANGED, mixup=1.0, mixup_min_photos=min_photos)
    batches = train_batches(tiny_dataset(), replace(params_with(), augmentation=mixup))
    shares = np.concatenate([targets.numpy() for _, targets in batches])
    assert bool(((shares > 0.01) & (shares < 0.99)).any()) == is_blended


@pytest.mark.parametrize(("deadline", "epochs"), [(150.0, 4), (0.0, 1), (1e9, 6)])
def test_deadline_ends_the_training_and_keeps_the_best_weights(
    deadline: float, epochs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """On a clock on which an epoch takes a minute: 150 s are over in the first batch of the fourth."""
    from lenslet.training import checkpoint
    from lenslet.training.fine_tuning import fine_tune
    from lenslet.training.run import read_checkpoint

    seconds = [1.0]
    monkeypatch.setattr(checkpoint, "time", SimpleNamespace(monotonic=lambda: seconds[0]))

    def take_a_minute(epoch, logs) -> None:
        seconds[0] += 60

    params = params_with(epochs=6, patience=6, batch_size=2)
    network = network_for(params)
    history = fine_tune(
        network, tiny_dataset(), params, tmp_path / "run", on_epoch_end=take_a_minute, deadline=deadline
    )
    assert len(history["val_loss"]) == epochs
    sentence = (
        f"time budget: fine-tuning was ended in epoch {epochs} of 6; the best weights so far are kept\n"
    )
    assert (sentence in capsys.readouterr().out) == (epochs < 6)
    kept = read_checkpoint(tmp_path / "run")
    assert kept
    for weight, best in zip(network.get_weights(), kept.best, strict=True):
        assert np.allclose(weight, best, atol=1e-6)

"""The pieces of fine-tuning: order and augmentation by seed and epoch, class weights, what GPUs switch on."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lenslet.cli import main
from lenslet.config import BackboneParams, TrainParams, read_params
from lenslet.dataset.dataset import Dataset
from lenslet.dataset.reading import read_dataset
from tests.support.photos import BLUE, RED, write_class

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def params() -> TrainParams:
    shipped = read_params(Path("params.yaml")).train
    small = replace(shipped.fine_tune, epochs=2, batch_size=4, min_steps_per_epoch=1, learning_rate=0.01)
    return replace(
        shipped,
        image_size=8,
        validation_fraction=0.1,
        augmentation=replace(shipped.augmentation, mixup=0.0),
        backbone=BackboneParams("small_cnn", "none", "all"),
        fine_tune=small,
    )


@pytest.fixture(scope="module")
def dataset(params: TrainParams, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Nine photos of each class to train on."""
    folder = tmp_path_factory.mktemp("fine_tuning")
    write_class(folder / "photos" / "blue", 11, BLUE)
    write_class(folder / "photos" / "red", 11, RED, first_seed=100)
    return read_dataset(folder / "photos", params, folder / "cache")


def epochs_of(dataset: Dataset, params: TrainParams, epochs: range) -> list[np.ndarray]:
    """The pictures of each epoch, in their order."""
    from lenslet.training.batches import train_batches

    pictures = [images.numpy() for images, _ in train_batches(dataset, params, epochs)]
    assert [len(each) for each in pictures] == [4, 4, 4, 4, 2] * len(epochs)
    return [np.concatenate(pictures[start : start + 5]) for start in range(0, len(pictures), 5)]


def test_third_epoch_is_the_same_without_the_first_two(dataset: Dataset, params: TrainParams) -> None:
    first, second, third = epochs_of(dataset, params, range(3))
    np.testing.assert_array_equal(epochs_of(dataset, params, range(2, 3))[0], third)
    assert len({epoch.tobytes() for epoch in (first, second, third)}) == 3
    other = epochs_of(dataset, replace(params, seed=21), range(1))[0]
    assert other.tobytes() != first.tobytes()


def test_equal_photos_are_augmented_otherwise_in_each_epoch(dataset: Dataset, params: TrainParams) -> None:
    """With one picture for all, only the augmentation can tell epochs apart."""
    one = replace(dataset, rows=np.zeros_like(dataset.rows))
    first, second = epochs_of(one, params, range(2))
    assert (first != second).any()


def test_every_epoch_shows_every_photo_once_in_another_order(dataset: Dataset, params: TrainParams) -> None:
    plain = replace(params.augmentation, flip="none", shift=0.0, zoom=0.0, contrast=0.0, mixup=0.0)
    orders = epochs_of(dataset, replace(params, augmentation=plain), range(2))
    expected = sorted(dataset.pixels[row].tobytes() for row in dataset.rows[dataset.members("train")])
    assert [sorted(picture.tobytes() for picture in epoch) for epoch in orders] == [expected, expected]
    assert orders[0].tobytes() != orders[1].tobytes()


def test_few_photos_are_shown_several_times_in_one_epoch(dataset: Dataset, params: TrainParams) -> None:
    from lenslet.training.batches import train_batches

    plain = replace(params.augmentation, flip="none", shift=0.0, zoom=0.0, contrast=0.0, mixup=0.0)
    often = replace(params, augmentation=plain, fine_tune=replace(params.fine_tune, min_steps_per_epoch=9))
    epochs = [images.numpy() for images, _ in train_batches(dataset, often, range(2))]
    assert [len(each) for each in epochs] == [4] * 18
    shown = [picture.tobytes() for picture in np.concatenate(epochs)]
    assert {shown[:36].count(picture) for picture in shown[:36]} == {2}
    assert [*shown[:18]] != [*shown[18:36]]
    assert [*shown[:36]] != [*shown[36:]]


def test_targets_belong_to_their_pictures(dataset: Dataset, params: TrainParams) -> None:
    from lenslet.training.batches import train_batches

    for images, targets in train_batches(dataset, params):
        is_red = images.numpy().mean(axis=(1, 2))[:, 0] > images.numpy().mean(axis=(1, 2))[:, 2]
        assert targets.numpy().tolist() == [[0, 1] if red else [1, 0] for red in is_red]


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ([0, 0, 1, 1], {0: 1.0, 1: 1.0}),
        ([0, 0, 0, 1], {0: 4 / 6, 1: 2.0}),
        ([2, 0, 0, 1, 0, 0, 0, 1], {0: 8 / 15, 1: 8 / 6, 2: 8 / 3}),
    ],
)
def test_balanced_class_weights(targets: list[int], expected: dict[int, float]) -> None:
    from lenslet.training.class_weights import class_weights

    assert class_weights(np.array(targets), len(expected), "balanced") == pytest.approx(expected)
    assert class_weights(np.array(targets), len(expected), "none") is None


def test_balanced_head_weighs_the_loss_of_each_photo() -> None:
    """At learning rate 0, photos of zeros lose ln 2 each, the others some other number each."""
    import keras

    from lenslet.training.features import LabelledFeatures
    from lenslet.training.head_fit import fit_head

    head = replace(read_params(Path("params.yaml")).train.head, learning_rate=0.0, epochs=1, dropout=0.0)
    fold = LabelledFeatures(
        np.repeat([[90, 90], [0, 0]], [90, 10], axis=0).astype(np.float32), np.repeat([0, 1], [90, 10])
    )
    losses = {}
    for rule in ("none", "balanced"):
        keras.utils.set_random_seed(1)
        losses[rule] = fit_head(fold, fold, 2, head, rule)[1]["loss"][0]
    of_zeros = np.log(2)
    of_others = (losses["none"] - 0.1 * of_zeros) / 0.9
    assert abs(of_others - of_zeros) > 0.1
    assert losses["balanced"] == pytest.approx(0.5 * of_zeros + 0.5 * of_others, rel=1e-4)


def test_unfrozen_0_trains_the_head_alone(dataset: Dataset, params: TrainParams, tmp_path: Path) -> None:
    from lenslet.network.assembly import build_network
    from lenslet.network.backbones import build_backbone
    from lenslet.training.fine_tuning import fine_tune

    head_alone = replace(params, backbone=BackboneParams("small_cnn", "none", 0))
    network = build_network(build_backbone(head_alone.backbone), 2, head_alone)
    before, head = network.get_layer("backbone").get_weights(), network.get_layer("head").get_weights()
    fine_tune(network, dataset, head_alone, tmp_path / "run")
    for mine, expected in zip(network.get_layer("backbone").get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, expected)
    assert np.abs(network.get_layer("head").get_weights()[0] - head[0]).max() > 1e-3


@pytest.mark.parametrize(
    ("gpus", "first_batch", "is_mirrored", "precision"),
    [
        ([], 32, False, "float32"),
        ([(6, 0)], 32, False, "float32"),
        ([(7, 0)], 32, False, "mixed_float16"),
        ([(7, 5), (7, 5)], 32, True, "mixed_float16"),
        ([(8, 0)], 32, False, "mixed_bfloat16"),
        ([(9, 0)] * 4, 32, True, "mixed_bfloat16"),
        ([(9, 0), (7, 5)], 32, True, "mixed_float16"),
        ([(8, 0)] * 3, 32, False, "mixed_bfloat16"),  # 32 photos cannot be shared by three
        ([(8, 0)] * 2, 7, False, "mixed_bfloat16"),
    ],
)
def test_acceleration(
    gpus: list[tuple[int, int]], first_batch: int, is_mirrored: bool, precision: str
) -> None:
    from lenslet.network.devices import acceleration

    found = acceleration(gpus, first_batch)
    assert (found.is_mirrored, found.precision) == (is_mirrored, precision)


def no_room(descriptor: int, offset: int, length: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_while_features_are_cached_ends_with_exit_code_2(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:

    write_class(tmp_path / "photos" / "blue", 6, BLUE)
    write_class(tmp_path / "photos" / "red", 6, RED, first_seed=100)
    places = ("--data", "photos", "--out", "out", "--cache", "cache", "--runs", "runs")
    command = [str(tmp_path / each) if each[0] != "-" else each for each in places]
    monkeypatch.setattr(os, "posix_fallocate", no_room)
    options = ["--weights", "model/model.keras", "--no-fine-tune"]
    assert main(["train", *command, *options]) == 2
    assert "cache has no room for 1 MB" in capsys.readouterr().err
    assert list((tmp_path / "cache").iterdir()) == []
    monkeypatch.undo()
    read_dataset(tmp_path / "photos", read_params(Path("params.yaml")).train, tmp_path / "cache")
    cached = sorted((tmp_path / "cache").iterdir())
    monkeypatch.setattr(os, "posix_fallocate", no_room)
    assert main(["train", *command, *options]) == 2
    assert "cache has no room for 1 MB" in capsys.readouterr().err
    assert sorted((tmp_path / "cache").iterdir()) == cached


def test_fine_tuning_weighs_the_loss_too(params: TrainParams, tmp_path: Path) -> None:
    """With a head of bias alone, 1 for the first class, photos of it lose 0.3133 each and the others 1.3133."""
    from lenslet.network.assembly import build_network, set_head
    from lenslet.network.backbones import build_backbone
    from lenslet.training.fine_tuning import fine_tune

    write_class(tmp_path / "photos" / "blue", 11, BLUE)
    write_class(tmp_path / "photos" / "red", 5, RED, first_seed=100)
    still = replace(params.fine_tune, learning_rate=0.0, epochs=1, label_smoothing=0.0, batch_size=12)
    balanced = replace(params, class_weights="balanced", fine_tune=still)
    photos = read_dataset(tmp_path / "photos", balanced, tmp_path / "cache")
    assert len(photos.members("train")) == 9 + 3  # weights 12 / (2 × 9) and 12 / (2 × 3)
    network = build_network(build_backbone(balanced.backbone), 2, balanced)
    set_head(network, [np.zeros((128, 2), np.float32), np.array([1, 0], np.float32)])
    history = fine_tune(network, photos, balanced, tmp_path / "run")
    assert history["loss"] == pytest.approx([(0.3133 + 1.3133) / 2], abs=1e-3)

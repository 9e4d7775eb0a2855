"""Soft labels: which photos each teacher labels, how they are mixed with the labels, and which teachers are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lenslet.config import BackboneParams, DistillParams, TrainParams, read_params
from lenslet.dataset.dataset import Dataset
from lenslet.dataset.reading import read_dataset
from tests.support.photos import BLUE, RED, write_class

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def params() -> TrainParams:
    shipped = read_params(Path("params.yaml")).train
    return replace(shipped, image_size=8, backbone=BackboneParams("small_cnn", "none", "all"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distillation") / "photos"
    write_class(folder / "blue", 20, BLUE)
    write_class(folder / "red", 20, RED, first_seed=100)
    return folder


@pytest.fixture(scope="module")
def dataset(photos: Path, params: TrainParams) -> Dataset:
    return read_dataset(photos, params, photos.parent / "cache")


def write_teacher(
    folder: Path, photos: Path, params: TrainParams, fold: str, sign: int = 1, classes: int = 2
) -> None:
    """A teacher whose logit for red is 4 × sign × (mean red − mean blue) / 255: right, or always wrong."""
    import keras

    from lenslet.training.record import record_of, save_network

    params = replace(params, training_fold=fold)
    image = keras.Input((params.image_size, params.image_size, 3), dtype="uint8", name="image")
    colour = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    logits = keras.layers.Dense(classes, use_bias=False, name="logits")
    network = keras.Model(image, {"probabilities": keras.layers.Softmax()(logits(colour))})
    kernel = np.zeros((3, classes), np.float32)
    kernel[0, 1], kernel[2, 1] = 4 * sign, -4 * sign
    logits.set_weights([kernel])
    seen = read_dataset(photos, params, photos.parent / "cache")
    record = record_of("teacher", params, seen, {}, {}, 0.0, {})
    save_network(network, record, folder)


def distilled(params: TrainParams, *folders: Path, share: float = 0.5) -> TrainParams:
    return replace(params, distill=DistillParams(", ".join(map(str, folders)), share))


def test_folds_are_disjoint_and_together_all_training_photos(
    photos: Path, dataset: Dataset, params: TrainParams
) -> None:
    """Of 20 photos a class, 2 test, 3 validate: 15 are left, 8 and 7 of them in the folds."""
    parts = []
    for fold in ("1/2", "2/2"):
        part = read_dataset(photos, replace(params, training_fold=fold), photos.parent / "cache")
        parts.append({part.hashes[number] for number in part.members("train")})
        assert np.bincount(part.targets[part.members("train")]).tolist() in ([8, 8], [7, 7])
        assert part.members("validation").tolist() == dataset.members("validation").tolist()
        count = 30 - len(parts[-1])
        assert part.notes == (f"{count} of them are training photos of other folds than {fold}",)
    assert not parts[0] & parts[1]
    assert parts[0] | parts[1] == {dataset.hashes[number] for number in dataset.members("train")}


def test_teacher_labels_only_what_it_has_not_learned_from(
    photos: Path, dataset: Dataset, params: TrainParams, tmp_path: Path
) -> None:
    """The teacher of fold 1 is right and labels fold 2; that of fold 2 is always wrong, so that calibration leaves
    nothing of what it says of fold 1 but a half each."""
    from lenslet.training.distillation import soft_labels

    write_teacher(tmp_path / "right", photos, params, "1/2")
    write_teacher(tmp_path / "wrong", photos, params, "2/2", sign=-1)
    cache = photos.parent / "cache"
    wanted = distilled(params, tmp_path / "right", tmp_path / "wrong")
    labels = soft_labels(dataset, wanted, photos, cache)
    first = read_dataset(photos, replace(params, training_fold="1/2"), cache)
    members = dataset.members("train")
    is_first = np.isin(
        [dataset.hashes[each] for each in members], np.array(first.hashes)[first.members("train")]
    )
    of_label = labels.targets[members, dataset.targets[members]]
    assert labels.photos == 30
    assert labels.accuracy == pytest.approx((~is_first).sum() / 30)
    np.testing.assert_allclose(of_label[is_first], 0.75, atol=0.1)
    assert of_label[~is_first].min() > 0.95
    np.testing.assert_allclose(labels.targets.sum(axis=1), 1, atol=1e-6)
    validation = dataset.members("validation")
    np.testing.assert_array_equal(labels.targets[validation], np.eye(2)[dataset.targets[validation]])


def test_photo_that_every_teacher_has_learned_from_keeps_its_label(
    photos: Path, dataset: Dataset, params: TrainParams, tmp_path: Path
) -> None:
    from lenslet.training.distillation import soft_labels

    write_teacher(tmp_path / "wrong", photos, params, "1/2", sign=-1)
    labels = soft_labels(dataset, distilled(params, tmp_path / "wrong"), photos, photos.parent / "cache")
    first = read_dataset(photos, replace(params, training_fold="1/2"), photos.parent / "cache")
    learned = np.isin(dataset.hashes, np.array(first.hashes)[first.members("train")])
    assert labels.photos == 30 - learned.sum()
    assert set(labels.targets[learned].ravel().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_share_is_that_of_the_teachers(
    share: float, photos: Path, dataset: Dataset, params: TrainParams, tmp_path: Path
) -> None:
    from lenslet.training.distillation import soft_labels

    write_teacher(tmp_path / "one", photos, params, "1/2")
    wanted = distilled(params, tmp_path / "one", share=share)
    labels = soft_labels(dataset, wanted, photos, photos.parent / "cache")
    soft = ((labels.targets > 0) & (labels.targets < 1)).any(axis=1)
    assert soft.sum() == (0 if share == 0 else labels.photos)


def test_batches_carry_the_soft_labels(dataset: Dataset, params: TrainParams) -> None:
    from lenslet.training.batches import train_batches

    plain = replace(params, augmentation=replace(params.augmentation, mixup=0.0))
    targets = np.tile(np.float32([0.25, 0.75]), (len(dataset.photos), 1))
    for _, batch in train_batches(dataset, plain, range(1), targets):
        np.testing.assert_array_equal(batch.numpy(), np.tile([0.25, 0.75], (len(batch), 1)))


def test_teachers_that_cannot_label_are_one_sentence(
    photos: Path, dataset: Dataset, params: TrainParams, tmp_path: Path
) -> None:
    from lenslet.inference.errors import InputError
    from lenslet.training.distillation import soft_labels

    write_teacher(tmp_path / "all", photos, params, "all")
    write_teacher(tmp_path / "four", photos, params, "1/2", classes=4)
    other = tmp_path / "other"
    write_class(other / "photos" / "green", 20, BLUE)
    write_class(other / "photos" / "yellow", 20, RED, first_seed=100)
    write_teacher(other / "teacher", other / "photos", params, "1/2")
    write_teacher(tmp_path / "half", photos, params, "1/2")
    content = (tmp_path / "half" / "model.keras").read_bytes()
    (tmp_path / "half" / "model.keras").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty").mkdir()
    messages = {
        tmp_path / "all": "has learned from every training photo",
        tmp_path / "four": "knows 4 classes, but .* has 2: take another teacher",
        other / "teacher": "was trained on other photos, labels or splits than those of",
        tmp_path / "half": r"model\.keras cannot be read",
        tmp_path / "empty": r"training\.json does not exist",
    }
    for folder, message in messages.items():
        with pytest.raises(InputError, match=message) as caught:
            soft_labels(dataset, distilled(params, folder), photos, photos.parent / "cache")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fold", ["2/1", "0/2", "half", "1/", "1/2/3"])
def test_fold_that_does_not_exist_is_one_sentence(fold: str, params: TrainParams) -> None:
    from lenslet.config import ParamsError

    with pytest.raises(ParamsError, match=rf"train\.training_fold must be all, or k/n .*{fold}"):
        replace(params, training_fold=fold)

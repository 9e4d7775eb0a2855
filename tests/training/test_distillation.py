"""Soft labels: which photos each teacher labels, how they are mixed with the labels, and which teachers are refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lenslet.cli import main
from lenslet.config import BackboneParams, DistillParams, ParamsError, TrainParams, read_params
from lenslet.dataset.dataset import Dataset
from lenslet.dataset.reading import read_dataset
from lenslet.training.record import RecordError, read_record
from tests.support.photos import BLUE, RED, noisy, write_class

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
    folder: Path, photos: Path, params: TrainParams, fold: str, sign: float = 1, classes: int = 2
) -> None:
    """A teacher whose logit for red is 4 × sign × (mean red − mean blue) / 255: right, or always wrong."""
    import keras

    from lenslet.training.record import record_of, save_network

    params = replace(params, training_fold=fold)
    image = keras.Input((params.image_size, params.image_size, 3), dtype="uint8", name="image")
    colour = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255, name="backbone")(image))
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
    write_teacher(tmp_path / "alone", photos, params, "1/2")
    (tmp_path / "alone" / "model.keras").unlink()
    write_teacher(tmp_path / "larger", photos, replace(params, image_size=16), "1/2")
    write_teacher(tmp_path / "mixed", photos, params, "1/2")
    shutil.copy(tmp_path / "larger" / "model.keras", tmp_path / "mixed" / "model.keras")
    write_teacher(tmp_path / "sure", photos, params, "1/2", sign=float("inf"))
    messages = {
        tmp_path / "all": "has learned from every training photo",
        tmp_path / "four": "knows 4 classes, but .* has 2: take another teacher",
        other / "teacher": "was trained on other photos, labels or splits than those of",
        tmp_path / "half": r"model\.keras is damaged, or not a \.keras file",
        tmp_path / "empty": r"training\.json does not exist",
        tmp_path / "alone": r"model\.keras does not exist",
        tmp_path / "mixed": r"takes pictures of 16 pixels, and the training\.json beside it says 8",
        tmp_path / "sure": "holds weights that are not finite numbers",
    }
    for folder, message in messages.items():
        with pytest.raises(InputError, match=message) as caught:
            soft_labels(dataset, distilled(params, folder), photos, photos.parent / "cache")
        assert "\n" not in str(caught.value)


def test_teachers_are_looked_at_before_photos_are_read(
    photos: Path, params: TrainParams, tmp_path: Path
) -> None:
    from lenslet.inference.errors import InputError
    from lenslet.training.distillation import require_teachers

    write_teacher(tmp_path / "one", photos, params, "1/2")
    require_teachers(distilled(params, tmp_path / "one").distill)
    one = str(tmp_path / "one")
    for names, message in {
        f"{one},": "names each model folder once, separated by commas, not '",
        f"{one}, {one}": "names each model folder once",
        "": "names each model folder once",
        f"{one},{tmp_path}/none": r"none/training\.json does not exist",
    }.items():
        with pytest.raises(InputError, match=message):
            require_teachers(DistillParams(names))


def test_teachers_without_fine_tuning_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", "data/sample", "--out", "out/none", "--set", "train.distill.teachers=out/one"]
    assert main(["train", *words, "--no-fine-tune"]) == 2
    assert "train.distill.teachers label photos for fine-tuning, which is off" in capsys.readouterr().err


@pytest.mark.parametrize("fold", ["2/1", "0/2", "half", "1/", "1/2/3"])
def test_fold_that_does_not_exist_is_one_sentence(fold: str, params: TrainParams) -> None:
    with pytest.raises(ParamsError, match=rf"train\.training_fold must be all, or k/n .*{fold}"):
        replace(params, training_fold=fold)


@pytest.mark.parametrize(
    ("probabilities", "is_denied"),
    [
        ([0.05, 0.9, 0.05], True),
        ([0.05, 0.55, 0.4], True),
        ([0.05, 0.5, 0.45], False),  # no class has more than a half
        ([0.1, 0.8, 0.1], False),  # the label has no less than a tenth
        ([0.9, 0.05, 0.05], False),
    ],
)
def test_label_is_in_doubt_where_teachers_are_sure_of_another(
    probabilities: list[float], is_denied: bool
) -> None:
    from lenslet.training.distillation import is_doubtful

    assert is_doubtful(np.array([probabilities]), np.array([0])).tolist() == [is_denied]


@pytest.fixture(scope="module")
def mislabelled(tmp_path_factory: pytest.TempPathFactory, params: TrainParams) -> tuple[Path, TrainParams]:
    """40 blue and 20 red photos, of which two of the blue ones look red, and teachers that are always right."""
    folder = tmp_path_factory.mktemp("mislabelled")
    write_class(folder / "photos" / "train" / "blue", 38, BLUE)
    write_class(folder / "photos" / "train" / "red", 20, RED, first_seed=100)
    for seed in (200, 201):
        (folder / "photos" / "train" / "blue" / f"{seed}.png").write_bytes(noisy(seed, RED))
    for seed, split in ((300, "val"), (400, "test")):
        write_class(folder / "photos" / split / "blue", 2, BLUE, first_seed=seed)
        write_class(folder / "photos" / split / "red", 2, RED, first_seed=seed + 50)
    for fold in ("1/2", "2/2"):
        write_teacher(folder / fold[0], folder / "photos", params, fold)
    wanted = distilled(params, folder / "1", folder / "2", share=0.0)
    return folder / "photos", replace(wanted, distill=replace(wanted.distill, doubtful_weight=0.25))


def test_photos_whose_label_is_denied_weigh_less(
    mislabelled: tuple[Path, TrainParams], capsys: pytest.CaptureFixture[str]
) -> None:
    from lenslet.training.distillation import labels_of_teachers

    photos, params = mislabelled
    cache = photos.parent / "cache"
    dataset = read_dataset(photos, params, cache)
    labels = labels_of_teachers(dataset, params, photos, cache)
    assert labels is not None
    assert labels.weights is not None
    light = {dataset.photos[each].path.name for each in np.flatnonzero(labels.weights == 0.25)}
    assert light == {"200.png", "201.png"}
    assert np.bincount((labels.weights * 4).astype(int)).tolist() == [0, 2, 0, 0, len(dataset.photos) - 2]
    assert labels.doubtful == {"blue": 2}
    assert (
        "2 of these photos have a label that the teachers deny; their weight is 0.25 "
        "(train.distill.doubtful_weight): blue 2\n" in capsys.readouterr().out
    )
    off = replace(params, distill=replace(params.distill, doubtful_weight=1.0))
    same = labels_of_teachers(dataset, off, photos, cache)
    assert same is not None
    assert (same.weights, same.doubtful) == (None, {})
    assert "deny" not in capsys.readouterr().out


@pytest.mark.parametrize("mixup", [0.0, 0.2])
def test_batches_carry_the_weights(dataset: Dataset, params: TrainParams, mixup: float) -> None:
    """Photos of the first class weigh a quarter."""
    from lenslet.training.batches import train_batches

    augmentation = replace(params.augmentation, mixup=mixup, mixup_min_photos=0)
    wanted = replace(params, augmentation=augmentation)
    weights = np.where(dataset.targets == 0, 0.25, 1.0).astype(np.float32)
    for _, targets, found in train_batches(dataset, wanted, weights=weights):
        np.testing.assert_allclose(targets.numpy().sum(axis=1), 1, atol=1e-6)
        # Of a blend, λ/4 + (1 − λ) is the weight, and λ/4 of that is the first class's.
        first = targets.numpy()[:, 0] * found.numpy()
        np.testing.assert_allclose(found.numpy(), 1 - 3 * first, atol=1e-6)
        assert mixup or set(found.numpy().tolist()) <= {0.25, 1.0}


def test_fine_tuning_weighs_the_photos(mislabelled: tuple[Path, TrainParams], tmp_path: Path) -> None:
    """With a head of bias alone, 1 for blue, blue photos lose 0.3133 each and red ones 1.3133."""
    from lenslet.network.assembly import build_network, set_head
    from lenslet.network.backbones import build_backbone
    from lenslet.training.distillation import labels_of_teachers
    from lenslet.training.fine_tuning import fine_tune

    photos, params = mislabelled
    dataset = read_dataset(photos, params, photos.parent / "cache")
    still = replace(params.fine_tune, learning_rate=0.0, epochs=1, label_smoothing=0.0, batch_size=60)
    still = replace(still, min_steps_per_epoch=1)
    labels = labels_of_teachers(dataset, params, photos, photos.parent / "cache")
    assert labels is not None
    balanced = replace(params, fine_tune=still, class_weights="balanced")
    network = build_network(build_backbone(params.backbone), 2, balanced)
    set_head(network, [np.zeros((128, 2), np.float32), np.array([1, 0], np.float32)])
    history = fine_tune(network, dataset, balanced, tmp_path, labels=labels)
    # Weights of the classes: 60 / (2 × 40) and 60 / (2 × 20).
    expected = (0.75 * 38.5 * 0.3133 + 1.5 * 20 * 1.3133) / 60
    assert history["loss"] == pytest.approx([expected], abs=1e-3)


def test_command_records_how_many_photos_of_which_label_weigh_less(
    mislabelled: tuple[Path, TrainParams], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, params = mislabelled
    folders = [f"--{each}={tmp_path / each}" for each in ("out", "runs", "cache")]
    small = ("image_size=8", "backbone.name=small_cnn", "backbone.weights=none")
    still = ("fine_tune.epochs=1", "fine_tune.learning_rate=1e-9")
    command = ["train", f"--data={photos}", *folders, *(f"--set=train.{each}" for each in (*small, *still))]
    teachers, weight = f"teachers={params.distill.teachers}", "doubtful_weight={}"
    assert main([*command, "--set=train.distill.doubtful_weight=0.25"]) == 2
    assert "is of labels that teachers deny: name them in train.distill.teachers" in capsys.readouterr().err
    losses = []
    for value in (0.999, 0.25):
        settings = (teachers, weight.format(value))
        assert main([*command, *(f"--set=train.distill.{each}" for each in settings)]) == 0
        assert "(train.distill.doubtful_weight): blue 2" in capsys.readouterr().out
        record = read_record(tmp_path / "out")
        assert record.doubtful_labels == {"blue": 2}
        losses.append(record.history["fine_tune"]["loss"][0])
    assert losses[1] < losses[0] - 0.005  # 2 × 0.75 × log 2 / 60 photos, or thereabouts
    path = tmp_path / "out" / "training.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["doubtful_labels"], content["params"]["distill"]["doubtful_weight"]
    path.write_text(json.dumps(content), encoding="utf-8")
    older = read_record(tmp_path / "out")
    assert (older.doubtful_labels, older.params.distill.doubtful_weight) == ({}, 1.0)
    path.write_text(json.dumps({**content, "doubtful_labels": {"blue": "two"}}), encoding="utf-8")
    with pytest.raises(RecordError, match="doubtful_labels is not what lenslet train writes"):
        read_record(tmp_path / "out")


@pytest.mark.parametrize("weight", ["1.5", "-1", "less"])
def test_weight_out_of_range_is_one_sentence(weight: str) -> None:
    with pytest.raises(ParamsError, match=r"train\.distill\.doubtful_weight must be "):
        read_params(Path("params.yaml"), [f"train.distill.doubtful_weight={weight}"])

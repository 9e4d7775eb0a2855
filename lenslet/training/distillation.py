"""Soft labels from teachers, out of fold: knowledge distillation (Hinton et al. 2015) of photos with labels.

Each teacher labels only training photos that it has not learned from: of the others it would repeat the label, right or
wrong. Its logits are the mean of those for a photo and for its mirror image, and calibrated. Photos whose
label the teachers deny can weigh less in the loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from tqdm import tqdm

from lenslet.config import DistillParams, TrainParams
from lenslet.dataset.array_file import ArrayFile, cached_array
from lenslet.dataset.dataset import Dataset
from lenslet.dataset.reading import read_dataset
from lenslet.evaluation.calibration import fit_temperature
from lenslet.evaluation.metrics import accuracy
from lenslet.inference.artifact import sha256_of
from lenslet.inference.errors import InputError
from lenslet.network.assembly import logits_of
from lenslet.network.keras_file import KerasFileError, check_keras_file
from lenslet.training.batches import one_hot
from lenslet.training.record import KERAS_NAME, RECORD_NAME, TrainingRecord, load_network, read_record

BATCH_SIZE = 64
# Mean calibrated probabilities of the teachers for the label, and for some other class, of a doubtful label.
LABEL_BELOW, OTHER_ABOVE = 0.1, 0.5


class DistillationRefused(InputError):
    """A teacher cannot label these photos; the message is one sentence that says which and why."""


@dataclass(frozen=True)
class SoftLabels:
    targets: NDArray[np.float32]  # probabilities to learn, shape (photos of the dataset, classes)
    photos: int  # training photos that at least one teacher has labelled
    accuracy: float  # of the teachers' mean probabilities on these
    # In the loss, shape (photos of the dataset,); None: all the same.
    weights: NDArray[np.float32] | None = None
    doubtful: Mapping[str, int] = field(default_factory=dict)  # label → photos that weigh less


def soft_labels(dataset: Dataset, params: TrainParams, place: Path, cache: Path) -> SoftLabels:
    """Targets for fine-tuning on `dataset`, which is read from `place`: labels mixed with what the teachers say.

    A photo that every teacher has learned from keeps its label alone, and is not in doubt.
    Raises: DistillationRefused; RecordError if a teacher's folder is unfinished or damaged; DatasetError; CacheFull.
    """
    total = np.zeros((len(dataset.photos), len(dataset.labels)), np.float32)
    calibrated = np.zeros_like(total)
    votes = np.zeros(len(dataset.photos), np.int64)
    for folder in teacher_folders(params.distill):
        unseen, logits = _out_of_fold(folder, dataset, place, cache)
        if not np.isfinite(logits).all():
            raise DistillationRefused(f"{folder} gives answers that are no numbers: take another teacher")
        temperature = fit_temperature(logits, dataset.targets[unseen])
        total[unseen] += softmax(logits / (temperature * params.distill.temperature), axis=1)
        calibrated[unseen] += softmax(logits / temperature, axis=1)
        votes[unseen] += 1
    labelled = np.flatnonzero(votes)
    means = total[labelled] / votes[labelled, np.newaxis]
    targets = one_hot(dataset)
    targets[labelled] += params.distill.share * (means - targets[labelled])
    doubted = labelled[
        is_doubtful(calibrated[labelled] / votes[labelled, np.newaxis], dataset.targets[labelled])
    ]
    weights, doubtful = None, {}
    if params.distill.doubtful_weight < 1 and len(doubted):
        weights = np.ones(len(dataset.photos), np.float32)
        weights[doubted] = params.distill.doubtful_weight
        counts = np.bincount(dataset.targets[doubted], minlength=len(dataset.labels))
        doubtful = {label: int(count) for label, count in zip(dataset.labels, counts, strict=True) if count}
    found = accuracy(dataset.targets[labelled], means)
    return SoftLabels(targets, len(labelled), found, weights, doubtful)


def is_doubtful(probabilities: NDArray[np.float32], targets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the teachers deny the label of each photo, shape (photos,).

    `probabilities`: their calibrated mean, shape (photos, classes); `targets`: the labels, shape (photos,). Denied is a
    label of less than LABEL_BELOW where another class has more than OTHER_ABOVE.
    """
    rows = np.arange(len(targets))
    denied: NDArray[np.bool_] = (probabilities[rows, targets] < LABEL_BELOW) & (
        probabilities.max(axis=1) > OTHER_ABOVE
    )
    return denied


def labels_of_teachers(dataset: Dataset, params: TrainParams, place: Path, cache: Path) -> SoftLabels | None:
    """What `fine_tune` learns, as `soft_labels` gives it, or None without teachers; prints how many photos it is of."""
    if not teacher_folders(params.distill):
        return None
    labels = soft_labels(dataset, params, place, cache)
    print(f"{labels.photos:,} photos labelled by teachers, {labels.accuracy:.4f} as by people")
    if params.distill.doubtful_weight < 1:
        print(doubtful_in_words(labels, params.distill.doubtful_weight))
    return labels


def doubtful_in_words(labels: SoftLabels, weight: float) -> str:
    """How many photos of each class weigh less, as a line of the output."""
    count = sum(labels.doubtful.values())
    said = f"{count:,} of these photos have a label that the teachers deny"
    if not count:
        return said
    commonest = sorted(labels.doubtful.items(), key=lambda each: -each[1])
    listed = ", ".join(f"{label} {number:,}" for label, number in commonest)
    return f"{said}; their weight is {weight:g} (train.distill.doubtful_weight): {listed}"


def teacher_folders(params: DistillParams) -> list[Path]:
    """The model folders that `params.teachers` names; none for "none". Raises: DistillationRefused."""
    names = [] if params.teachers == "none" else [name.strip() for name in params.teachers.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise DistillationRefused(
            f"train.distill.teachers names each model folder once, separated by commas, not {params.teachers!r}"
        )
    return [Path(name) for name in names]


def require_teachers(params: DistillParams) -> None:
    """Make sure that the teachers can be read, before photos are, which may take minutes.

    Raises: DistillationRefused; RecordError.
    """
    for folder in teacher_folders(params):
        _teachers_record(folder)
        try:
            check_keras_file(folder / KERAS_NAME)
        except KerasFileError as error:
            raise DistillationRefused(str(error)) from error


def _teachers_record(folder: Path) -> TrainingRecord:
    record = read_record(folder)
    if not record.params.fold:
        raise DistillationRefused(
            f"{folder} has learned from every training photo: "
            "train its teachers with train.training_fold 1/2 and 2/2"
        )
    return record


def _read_teacher(folder: Path) -> tuple[TrainingRecord, keras.Model]:
    """Record and network of a teacher that has not learned from every training photo."""
    record, network = _teachers_record(folder), load_network(folder)
    if network.input_shape[1] != record.params.input_size:
        raise DistillationRefused(
            f"{folder / KERAS_NAME} takes pictures of {network.input_shape[1]} pixels, and the {RECORD_NAME} beside "
            f"it says {record.params.input_size}: they are not of one training, take another teacher"
        )
    return record, network


def _out_of_fold(
    folder: Path, dataset: Dataset, place: Path, cache: Path
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Positions of the training photos that the teacher has not learned from, and its logits for them."""
    record, network = _read_teacher(folder)
    classes = network.output["probabilities"].shape[-1]
    if classes != len(dataset.labels):
        raise DistillationRefused(
            f"{folder} knows {classes} classes, but {place} has {len(dataset.labels)}: take another teacher"
        )
    seen = read_dataset(place, record.params, cache, recorded=record.recorded)
    if seen.fingerprint != record.data_fingerprint:
        raise DistillationRefused(
            f"{folder} was trained on other photos, labels or splits than those of {place}: take another teacher"
        )
    learned = {seen.hashes[number] for number in seen.members("train")}
    at = {digest: number for number, digest in enumerate(seen.hashes)}
    members = dataset.members("train")
    # At another image size, a near copy more or less may be found and left out.
    unseen = np.array([each for each in members if dataset.hashes[each] in at.keys() - learned], np.int64)
    if not len(unseen):
        raise DistillationRefused(f"{folder} has learned from all {len(members):,} training photos")
    numbers = np.array([at[dataset.hashes[each]] for each in unseen], np.int64)
    return unseen, _cached_logits(network, folder, seen, numbers, cache)


def _cached_logits(
    network: keras.Model, folder: Path, dataset: Dataset, members: NDArray[np.int64], cache: Path
) -> NDArray[np.float32]:
    """Logits (members, classes), the mean of photo and mirror image; from `cache` if they were computed before."""
    recipe = " ".join(
        [sha256_of((folder / KERAS_NAME).read_bytes()), *(dataset.hashes[each] for each in members)]
    )
    path = cache / f"logits-{sha256_of(recipe.encode())[:16]}.npy"
    judged = logits_of(network)

    def fill(logits: ArrayFile) -> None:
        for start in tqdm(range(0, len(members), BATCH_SIZE), "soft labels", leave=False, disable=None):
            pixels = dataset.pixels[dataset.rows[members[start : start + BATCH_SIZE]]]
            both = [judged.predict_on_batch(each) for each in (pixels, pixels[:, :, ::-1])]
            logits[start : start + len(pixels)] = (both[0] + both[1]) / 2

    return cached_array(path, (len(members), len(dataset.labels)), np.float32, fill)[:]

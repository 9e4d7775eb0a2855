"""Soft labels from teachers, out of fold: knowledge distillation (Hinton et al. 2015) of photos with labels.

Each teacher labels only training photos that it has not learned from: of the others it would repeat the label, right or
wrong. Its logits are the mean of those for a photo and for its mirror image, and calibrated.
"""

from dataclasses import dataclass
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
from lenslet.training.batches import one_hot
from lenslet.training.record import KERAS_NAME, load_network, read_record

BATCH_SIZE = 64


class DistillationRefused(InputError):
    """A teacher cannot label these photos; the message is one sentence that says which and why."""


@dataclass(frozen=True)
class SoftLabels:
    targets: NDArray[np.float32]  # probabilities to learn, shape (photos of the dataset, classes)
    photos: int  # training photos that at least one teacher has labelled
    accuracy: float  # of the teachers' mean probabilities on these


def soft_labels(dataset: Dataset, params: TrainParams, place: Path, cache: Path) -> SoftLabels:
    """Targets for fine-tuning on `dataset`, which is read from `place`: labels mixed with what the teachers say.

    A photo that every teacher has learned from keeps its label alone.
    Raises: DistillationRefused; RecordError if a teacher's folder is unfinished or damaged; DatasetError; CacheFull.
    """
    total = np.zeros((len(dataset.photos), len(dataset.labels)), np.float32)
    votes = np.zeros(len(dataset.photos), np.int64)
    for folder in teacher_folders(params.distill):
        unseen, logits = _out_of_fold(folder, dataset, place, cache)
        calibrated = fit_temperature(logits, dataset.targets[unseen])
        total[unseen] += softmax(logits / (calibrated * params.distill.temperature), axis=1)
        votes[unseen] += 1
    labelled = np.flatnonzero(votes)
    means = total[labelled] / votes[labelled, np.newaxis]
    targets = one_hot(dataset)
    targets[labelled] += params.distill.share * (means - targets[labelled])
    return SoftLabels(targets, len(labelled), accuracy(dataset.targets[labelled], means))


def distillation_targets(
    dataset: Dataset, params: TrainParams, place: Path, cache: Path
) -> NDArray[np.float32] | None:
    """Targets for `fine_tune`, as `soft_labels` gives them, or None without teachers; prints how many there are."""
    if not teacher_folders(params.distill):
        return None
    labels = soft_labels(dataset, params, place, cache)
    print(f"{labels.photos:,} photos labelled by teachers, {labels.accuracy:.4f} as by people")
    return labels.targets


def teacher_folders(params: DistillParams) -> list[Path]:
    """The model folders that `params.teachers` names; none for "none"."""
    names = [] if params.teachers == "none" else params.teachers.split(",")
    return [Path(name.strip()) for name in names]


def _out_of_fold(
    folder: Path, dataset: Dataset, place: Path, cache: Path
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Positions of the training photos that the teacher has not learned from, and its logits for them."""
    record = read_record(folder)
    if not record.params.fold:
        raise DistillationRefused(
            f"{folder} has learned from every training photo: "
            "train its teachers with train.training_fold 1/2 and 2/2"
        )
    network = load_network(folder)
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

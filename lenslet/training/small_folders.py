"""Choices for small folders: the head without fine-tuning, fitted to all photos and calibrated out of fold."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lenslet.config import HeadParams, ParamsError, TrainParams
from lenslet.dataset.dataset import Dataset
from lenslet.dataset.splits import cross_validation_folds

# Photos × classes, with which the time of a logistic head's folds grows. Measured up to 75 photos a class
# (EXPERIMENTS.md).
AT_MOST = 12_000
FOLDS = 10  # of the answers that calibrate: their heads have nine tenths of the photos


@dataclass(frozen=True)
class Chosen:
    """Settings and photos of a training."""

    params: TrainParams
    dataset: Dataset
    folds: NDArray[np.int64] | None = None  # of each training photo, from 0, where no others validate
    sentences: tuple[str, ...] = ()  # what was chosen, and why


def is_logistic(params: HeadParams, photos: int, classes: int) -> bool:
    """Whether `params` take the logistic regression for so many photos to learn from, and classes."""
    if params.hidden_units or params.solver == "gradient":
        return False
    return params.solver == "logistic" or photos * classes <= AT_MOST


def chosen_for(params: TrainParams, dataset: Dataset) -> Chosen:
    """`params` and `dataset` as so many photos need them: without fine-tuning, or without a validation split.

    Raises: ParamsError if train.calibration is out_of_fold and that is not possible.
    """
    photos, classes = len(learned_photos(dataset)), len(dataset.labels)
    params, sentence = without_needless_fine_tuning(params, photos, classes)
    chosen = all_photos_to_train(params, dataset)
    return replace(chosen, sentences=(*filter(None, [sentence]), *chosen.sentences))


def without_needless_fine_tuning(params: TrainParams, photos: int, classes: int) -> tuple[TrainParams, str]:
    """`params` without fine-tuning where so few photos gain nothing by it, and why; else as they are, and "".

    `photos`: those that are learned from, and those that validate.
    """
    tuned = params.fine_tune
    is_needless = (
        tuned.epochs
        and photos < tuned.min_photos_per_class * classes
        and params.backbone.weights != "none"
        and is_logistic(params.head, photos, classes)
    )
    if not is_needless:
        return params, ""
    said = (
        f"the head alone is trained: {photos:,} photos of {classes:,} classes are fewer than "
        f"{tuned.min_photos_per_class:,} a class, with which fine-tuning gains nothing "
        "(train.fine_tune.min_photos_per_class; 0 fine-tunes all the same)"
    )
    return replace(params, fine_tune=replace(tuned, epochs=0)), said


def all_photos_to_train(params: TrainParams, dataset: Dataset) -> Chosen:
    """The validation photos among the training photos, where `train.calibration` has it so.

    Raises: ParamsError if train.calibration is out_of_fold and that is not possible.
    """
    kept, is_asked = Chosen(params, dataset), params.calibration == "out_of_fold"
    if not is_asked and (params.calibration == "validation" or "validation" in dataset.given_splits):
        return kept
    members = learned_photos(dataset)
    folds = cross_validation_folds(dataset, members, FOLDS, params.split_seed)
    reason = _reason_to_validate(params, len(members), len(dataset.labels), folds is not None)
    if reason and is_asked:
        raise ParamsError(f"train.calibration cannot be out_of_fold: {reason}")
    if reason:
        return kept
    photos = tuple(
        replace(photo, split="train") if photo.split == "validation" else photo for photo in dataset.photos
    )
    sentence = (
        f"all {len(members):,} photos train the head; cross-validation judges and calibrates it in place of "
        f"{len(dataset.members('validation')):,} validation photos (train.calibration)"
    )
    return Chosen(params, replace(dataset, photos=photos), folds, (sentence,))


def learned_photos(dataset: Dataset) -> NDArray[np.int64]:
    """Positions of the training and validation photos."""
    return np.flatnonzero([photo.split in ("train", "validation") for photo in dataset.photos])


def _reason_to_validate(params: TrainParams, photos: int, classes: int, has_folds: bool) -> str:
    """Why out-of-fold answers would not be those of the model; empty if they are."""
    if params.fine_tune.epochs:
        return "the network is fine-tuned, so that the answers of its first head are not its own (--no-fine-tune)"
    if not is_logistic(params.head, photos, classes):
        return "the head is no logistic regression (train.head.solver)"
    if params.fold:
        return "teachers of several folds have one validation split (train.training_fold)"
    return "" if has_folds else "a class has too few photos that differ"

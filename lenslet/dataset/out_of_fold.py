"""Out-of-fold answers for the photos of a training, by their content: they calibrate a model that learned from all."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenslet.dataset.dataset import Dataset
from lenslet.dataset.recorded_splits import BYTES, key_of

FLOAT = np.dtype("<f4")


@dataclass(frozen=True)
class OutOfFold:
    """Answers of heads that were fitted without the photo that they answer for."""

    logits: NDArray[np.float32]  # shape (photos, classes)
    folds: NDArray[np.int64]  # shape (photos,), from 0: the fold that the photo is in

    @property
    def count(self) -> int:
        """Number of folds."""
        return int(self.folds.max()) + 1


def packed_answers(dataset: Dataset, members: NDArray[np.int64], answers: OutOfFold) -> dict[str, str]:
    """The answers for the photos at `members`, in base64: beginnings of sha256, folds (uint8), logits (float32)."""
    hashes = [dataset.hashes[each] for each in members]
    order = sorted(range(len(hashes)), key=hashes.__getitem__)
    values = {
        "photos": b"".join(bytes.fromhex(hashes[each])[:BYTES] for each in order),
        "folds": answers.folds[order].astype(np.uint8).tobytes(),
        "logits": answers.logits[order].astype(FLOAT).tobytes(),
    }
    return {name: b64encode(value).decode() for name, value in values.items()}


def unpacked_answers(packed: Mapping[str, str]) -> dict[str, tuple[int, NDArray[np.float32]]]:
    """Name of a photo, as `key_of` gives it → its fold and its logits, shape (classes,).

    Raises: ValueError if it is not what `packed_answers` gives.
    """
    photos, folds, logits = (b64decode(packed[name], validate=True) for name in ("photos", "folds", "logits"))
    names = [photos[start : start + BYTES].hex() for start in range(0, len(photos), BYTES)]
    rows = np.frombuffer(logits, FLOAT).reshape(len(names), -1).astype(np.float32)
    if not names or not np.isfinite(rows).all():
        raise ValueError("the out-of-fold logits are no numbers")
    return {name: (fold, row) for name, fold, row in zip(names, folds, rows, strict=True)}


def answers_for(packed: Mapping[str, str], dataset: Dataset, members: NDArray[np.int64]) -> OutOfFold:
    """The recorded answers for the photos at `members`, which are those of the training.

    Raises: ValueError if they are not for these photos and classes.
    """
    known = unpacked_answers(packed)
    try:
        found = [known[key_of(dataset.hashes[each])] for each in members]
    except KeyError as error:
        raise ValueError(f"there is no out-of-fold answer for the photo {error}") from error
    logits = np.stack([row for _, row in found])
    if logits.shape[1] != len(dataset.labels):
        raise ValueError(f"the out-of-fold answers are for {logits.shape[1]} classes")
    return OutOfFold(logits, np.array([fold for fold, _ in found]))

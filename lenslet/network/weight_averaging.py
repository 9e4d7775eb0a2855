"""Weight averaging of two networks of one architecture (model soup: Wortsman et al. 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lenslet.inference.errors import InputError
from lenslet.network.assembly import logits_of


class AveragingRefused(InputError):
    """The weights of the two networks cannot be averaged."""


@dataclass(frozen=True)
class AveragedAnswers:
    share: float  # of the second network's weights
    logits: NDArray[np.float32]  # of the validation photos, shape (photos, classes)


def answers_between(
    first: keras.Model, second: keras.Model, shares: Sequence[float], pixels: NDArray[np.uint8]
) -> list[AveragedAnswers]:
    """Logits of the averaged network for `pixels`, uint8 RGB, shape (photos, size, size, 3), at each share.

    Two fine-tunings from the same initial weights mostly end in one basin of the loss, and the loss between them is
    lower still (Wortsman et al. 2022). Averages of networks from different initial weights are useless.
    Raises: AveragingRefused if the architectures differ.
    """
    averaged = keras.models.clone_model(second)
    answering, tried = logits_of(averaged), []
    for share in tqdm(shares, "averaging", unit=" averages", leave=False, disable=None):
        average_into(averaged, first, second, share)
        tried.append(AveragedAnswers(share, answering.predict(pixels, verbose=0)))
    return tried


def average_into(target: keras.Model, first: keras.Model, second: keras.Model, share: float) -> None:
    """Set the weights of `target` to (1 − share) × `first` + share × `second`. Raises: AveragingRefused."""
    ours, theirs = first.get_weights(), second.get_weights()
    if [weight.shape for weight in ours] != [weight.shape for weight in theirs]:
        raise AveragingRefused(
            "the two networks differ in architecture: backbone, head and classes must be the same"
        )
    target.set_weights([(1 - share) * one + share * other for one, other in zip(ours, theirs, strict=True)])

"""Two networks of the same build become one whose weights are between theirs: a model soup."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lenslet.inference.errors import InputError
from lenslet.network.assembly import logits_of


class AveragingRefused(InputError):
    """The networks cannot be mixed."""


@dataclass(frozen=True)
class Mix:
    share: float  # of the second network's weights
    logits: NDArray[np.float32]  # of the validation photos, shape (photos, classes)


def mixes(
    first: keras.Model, second: keras.Model, shares: Sequence[float], pixels: NDArray[np.uint8]
) -> list[Mix]:
    """What the networks in between answer to `pixels`, uint8 RGB, shape (photos, size, size, 3).

    Two fine-tunings that began with the same weights mostly end in one valley of the loss, whose floor is lower
    between them (Wortsman et al. 2022); of two that did not, every mix is bad.
    Raises: AveragingRefused if they are not of the same build.
    """
    taken = keras.models.clone_model(second)
    tried = []
    for share in tqdm(shares, "mixing", unit=" mixes", leave=False, disable=None):
        mix_into(taken, first, second, share)
        tried.append(Mix(share, logits_of(taken).predict(pixels, verbose=0)))
    return tried


def mix_into(target: keras.Model, first: keras.Model, second: keras.Model, share: float) -> None:
    """Give `target` the weights at `share` of the way from `first` to `second`. Raises AveragingRefused."""
    ours, theirs = first.get_weights(), second.get_weights()
    if [weight.shape for weight in ours] != [weight.shape for weight in theirs]:
        raise AveragingRefused(
            "the two networks are of different builds: backbone, head and classes must agree"
        )
    target.set_weights([(1 - share) * one + share * other for one, other in zip(ours, theirs, strict=True)])

"""Averages of the weights of networks, whose shares the validation photos choose (model soup: Wortsman et al. 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from lenslet.dataset.dataset import Dataset
from lenslet.network.assembly import logits_of
from lenslet.network.weight_averaging import answers_between, average_into
from lenslet.training.record import load_network
from lenslet.training.validation import calibrated_figures

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the second network's weights


@dataclass(frozen=True)
class Tried:
    """Averages of two networks."""

    figures: list[dict[str, float]]  # calibrated accuracy and log loss at each of SHARES

    @property
    def best(self) -> int:
        """Position in SHARES of the lowest log loss; of equal ones, the first."""
        return min(range(len(SHARES)), key=lambda number: self.figures[number]["log_loss"])

    @property
    def history(self) -> dict[str, list[float]]:
        """The shares, and their figures, in order."""
        figures = {name: [each[name] for each in self.figures] for name in ("accuracy", "log_loss")}
        return {"share": list(SHARES), **figures}


@dataclass(frozen=True)
class Averaged:
    """An average of several networks; each list has an entry for each of them, in their order."""

    network: keras.Model
    shares: list[float]  # of the average's weights; their sum is 1
    alone: list[dict[str, float]]  # calibrated figures of each network
    added: list[tuple[int, Tried]]  # position of each but the best, as they were added, and what was tried
    figures: dict[str, float]  # calibrated figures of the average

    def history(self, seeds: Sequence[int]) -> dict[str, list[float]]:
        """What was tried, in order: the seed that was added, its share, and the figures.

        `seeds`: of the networks, in their order.
        """
        history: dict[str, list[float]] = {"seed": [], "share": [], "accuracy": [], "log_loss": []}
        for number, tried in self.added:
            history["seed"] += [seeds[number]] * len(SHARES)
            for name, values in tried.history.items():
                history[name] += values
        return history


def validation_pixels(dataset: Dataset) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The validation photos, uint8 RGB, shape (photos, size, size, 3), and their labels, shape (photos,)."""
    members = dataset.members("validation")
    return dataset.pixels[dataset.rows[members]], dataset.targets[members]


def try_shares(
    first: keras.Model, second: keras.Model, pixels: NDArray[np.uint8], targets: NDArray[np.int64]
) -> Tried:
    """Figures of the averages of both on photos, as `validation_pixels` gives them. Raises: AveragingRefused."""
    answers = answers_between(first, second, SHARES, pixels)
    return Tried([calibrated_figures(each.logits, targets) for each in answers])


def average_of(folders: Sequence[Path], dataset: Dataset) -> Averaged:
    """The average of the networks in `folders`, of one architecture: the best, to which the others are added by turns.

    Each is added with the share of the lowest log loss on the validation photos, which may be none: the average is not
    worse on them than any of the networks. Raises: RecordError; AveragingRefused.
    """
    networks = [load_network(folder) for folder in folders]
    pixels, targets = validation_pixels(dataset)
    alone = [calibrated_figures(logits_of(each).predict(pixels, verbose=0), targets) for each in networks]
    best, *others = sorted(range(len(networks)), key=lambda number: alone[number]["log_loss"])
    network, figures, shares, added = networks[best], alone[best], [0.0] * len(networks), []
    shares[best] = 1.0
    for number in others:
        tried = try_shares(network, networks[number], pixels, targets)
        share = SHARES[tried.best]
        average_into(network, network, networks[number], share)
        shares = [(1 - share) * each for each in shares]
        shares[number], figures = share, tried.figures[tried.best]
        added.append((number, tried))
    return Averaged(network, shares, alone, added, figures)

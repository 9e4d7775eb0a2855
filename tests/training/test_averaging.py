"""Averages of several networks: shares that the validation photos choose, never worse than the best network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lenslet.config import BackboneParams, TrainParams, read_params
from lenslet.dataset.dataset import Dataset
from lenslet.dataset.reading import read_dataset
from tests.support.photos import BLUE, RED, write_class

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def params() -> TrainParams:
    shipped = read_params(Path("params.yaml")).train
    return replace(shipped, image_size=16, backbone=BackboneParams("small_cnn", "none", "all"))


@pytest.fixture(scope="module")
def dataset(params: TrainParams, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("averaging")
    write_class(folder / "photos" / "blue", 30, BLUE)
    write_class(folder / "photos" / "red", 30, RED, first_seed=100)
    return read_dataset(folder / "photos", params, folder / "cache")


@pytest.fixture(scope="module")
def folders(params: TrainParams, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Networks of equal layers: noise, and a network that tells both classes apart, less and plus other noise."""
    from lenslet.network.assembly import initial_network, set_head
    from lenslet.network.devices import Acceleration
    from lenslet.training.features import head_features
    from lenslet.training.logistic_head import fit_logistic_head

    folder = tmp_path_factory.mktemp("networks")
    backbone, network = initial_network(params, 2, Acceleration())
    train, _ = head_features(backbone, dataset, params, folder / "cache")
    random = np.random.default_rng(1)
    noise = [0.5 * random.normal(size=each.shape) for each in fit_logistic_head(train, 2, "none")[0]]
    right, _ = fit_logistic_head(train, 2, "none")
    size = np.abs(right[0]).mean()
    kernels = {
        "noise": noise,
        "less": [each - 4 * size * other for each, other in zip(right, noise, strict=True)],
        "plus": [each + 4 * size * other for each, other in zip(right, noise, strict=True)],
    }
    for name, kernel in kernels.items():
        set_head(network, kernel)
        (folder / name).mkdir()
        network.save(folder / name / "model.keras")
    return [folder / name for name in kernels]


def test_average_is_better_than_each_network(folders: list[Path], dataset: Dataset) -> None:
    from lenslet.network.assembly import logits_of
    from lenslet.training.averaging import average_of
    from lenslet.training.record import load_network
    from lenslet.training.validation import calibrated_figures

    found = average_of(folders, dataset)
    assert sum(found.shares) == pytest.approx(1)
    assert 0 < found.shares[1] < 1
    assert 0 < found.shares[2] < 1
    assert found.figures["log_loss"] < min(each["log_loss"] for each in found.alone) - 1e-3
    weights = [load_network(folder).get_weights() for folder in folders]
    for mine, *parts in zip(found.network.get_weights(), *weights, strict=True):
        expected = sum(share * part for share, part in zip(found.shares, parts, strict=True))
        np.testing.assert_allclose(mine, expected, atol=1e-5)
    members = dataset.members("validation")
    logits = logits_of(found.network).predict(dataset.pixels[dataset.rows[members]], verbose=0)
    figures = calibrated_figures(logits, dataset.targets[members])
    assert figures["log_loss"] == pytest.approx(found.figures["log_loss"], abs=1e-4)
    history = found.history([20, 21, 22])
    assert {len(values) for values in history.values()} == {22}
    assert history["seed"] == [20 + found.added[0][0]] * 11 + [20 + found.added[1][0]] * 11

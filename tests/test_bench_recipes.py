"""Draws of few photos, and recipes of fine-tuning beside train.py's."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.photos import BLUE, RED, write_class
from training.dataset import find_photos, read_dataset
from training.params import BackboneParams, TrainParams, read_params

pytestmark = pytest.mark.slow  # TensorFlow


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve training photos of each class and four test photos."""
    folder = tmp_path_factory.mktemp("photos")
    for seed, (label, colour) in enumerate((("blue", BLUE), ("red", RED))):
        write_class(folder / "train" / label, 12, colour, first_seed=100 * seed)
        write_class(folder / "test" / label, 4, colour, first_seed=100 * seed + 50)
    return folder


@pytest.fixture(scope="module")
def params() -> TrainParams:
    shipped = read_params(Path("params.yaml")).train
    return replace(
        shipped,
        image_size=32,
        backbone=BackboneParams("small_cnn", "none", "all"),
        head=replace(shipped.head, epochs=2),
        fine_tune=replace(shipped.fine_tune, epochs=2, batch_size=8, learning_rate=0.01),
        augmentation=replace(shipped.augmentation, mixup=0.0),
    )


def drawn(folder: Path) -> dict[str, set[Path]]:
    """Beginning of the link's name → the photos that it leads to."""
    links = [path for path in folder.glob("*/*/*") if path.is_symlink()]
    beginnings = {path.name.partition("-")[0] for path in links}
    return {each: {path.resolve() for path in links if path.name.startswith(each)} for each in beginnings}


def test_draw_takes_so_many_of_each_class_and_judges_by_the_rest(photos: Path, tmp_path: Path) -> None:
    from bench.few_photos import lay_out

    found = find_photos(photos)
    lay_out(found, 5, np.random.default_rng(1), tmp_path / "one")
    lay_out(found, 5, np.random.default_rng(2), tmp_path / "two")
    links = drawn(tmp_path / "one")
    assert [len(list((tmp_path / "one/train" / label).iterdir())) for label in ("blue", "red")] == [5, 5]
    assert (len(links["drawn"]), len(links["left"]), len(links["test"])) == (10, 14, 8)
    assert set.union(*links.values()) == {photo.path.resolve() for photo in found}
    assert drawn(tmp_path / "two")["drawn"] != links["drawn"]


def test_table_has_a_mean_and_its_range_for_each_number_of_photos() -> None:
    from bench.few_photos import table

    results = {"test: head": {"10/0": 0.5, "10/1": 0.7}, "left: head": {"10/0": 0.1}}
    heading, row = table(results, "test: ", [10, 80]).splitlines()
    assert heading.split() == ["settings", "10", "80"]
    assert row.split() == ["head", "0.6000", "(0.5000–0.7000)", "—"]


@pytest.fixture(scope="module")
def setting(photos: Path, params: TrainParams, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from bench.recipes import Setting

    cache = tmp_path_factory.mktemp("cache")
    unlabelled = [photo.path for photo in find_photos(photos) if photo.split == "test"]
    return Setting(lambda chosen: read_dataset(photos, chosen, cache), params, unlabelled, cache)


@pytest.mark.parametrize(
    "name", ["moving average", "CutMix", "RandAugment", "growing pictures", "self-training", "distilled"]
)
def test_recipe_makes_another_network_than_train(name: str, setting: Any) -> None:
    from bench.recipes import RECIPES

    ours, theirs = setting.taught.get_weights(), RECIPES[name](setting).get_weights()
    assert all(np.isfinite(weight).all() for weight in theirs)
    assert max(np.abs(one - other).max() for one, other in zip(ours, theirs, strict=True)) > 1e-3

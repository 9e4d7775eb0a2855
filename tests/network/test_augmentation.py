"""Augmentation: what each row does to pixels, that draws are apart and repeatable, and mixup."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lenslet.config import AugmentationParams, read_params

pytestmark = pytest.mark.slow

NONE = AugmentationParams(flip="none", shift=0.0, zoom=0.0, contrast=0.0, mixup=0.0, mixup_min_photos=0)
STRENGTHS = {
    "flip": "both", "shift": 0.2, "zoom": 0.2, "rotation": 20, "shear": 0.2, "contrast": 0.3, "brightness": 0.2,
    "hue": 0.2, "blur": 2.0, "noise": 0.1, "jpeg": 0.9, "cutout": 0.5, "operations": 2,
}  # fmt: skip


def pictures(count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3), np.uint8)


def augmented(images: np.ndarray, params: AugmentationParams, seed: int = 3, draw: int = 0) -> np.ndarray:
    from lenslet.network.augmentation import augment

    changed, targets = augment(images, np.eye(len(images), dtype=np.float32), params, seed, draw)
    np.testing.assert_array_equal(targets, np.eye(len(images)))
    assert changed.shape == images.shape
    assert changed.dtype == np.uint8
    return changed.numpy()


def test_nothing_changes_nothing() -> None:
    np.testing.assert_array_equal(augmented(pictures(), NONE), pictures())


def test_every_row_has_its_key_in_the_settings_and_is_tested_here() -> None:
    from lenslet.network.augmentation import GEOMETRY, PIXELS

    assert {"flip", "operations", *GEOMETRY, *PIXELS} == set(STRENGTHS)
    shipped = read_params(Path("params.yaml")).train.augmentation
    assert all(hasattr(shipped, key) for key in STRENGTHS)


@pytest.mark.parametrize("key", STRENGTHS)
def test_row_changes_each_photo_its_own_way_and_repeatably(key: str) -> None:
    params = replace(NONE, **{key: STRENGTHS[key]})
    same = np.repeat(pictures(1), 12, axis=0)
    changed = augmented(same, params)
    distinct = {picture.tobytes() for picture in changed}
    assert len(distinct) >= (2 if key == "flip" else 6)
    np.testing.assert_array_equal(augmented(same, params), changed)
    assert (augmented(same, params, draw=1) != changed).any()
    assert (augmented(same, params, seed=4) != changed).any()


def test_rows_draw_apart() -> None:
    """With one seed for all, each photo that is flipped would be shifted the same way."""
    from lenslet.network.augmentation import _seeds

    seeds = [tuple(_seeds(3, 5)(name).numpy()) for name in (*STRENGTHS, "mixup")]
    assert len(set(seeds)) == 14


SQUARE = np.float32([[1, 2, 3], [4, 5, 6], [7, 8, 9]])


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[1, 0, 0], [0, 1, 0]], SQUARE),
        ([[-1, 0, 0], [0, 1, 0]], [[3, 2, 1], [6, 5, 4], [9, 8, 7]]),  # the first row is that of x
        ([[1, 0, 0], [0, -1, 0]], [[7, 8, 9], [4, 5, 6], [1, 2, 3]]),
        ([[0, -1, 0], [1, 0, 0]], [[3, 6, 9], [2, 5, 8], [1, 4, 7]]),  # the top left from the top right
        ([[1, 0, 1 / 3], [0, 1, 0]], [[2, 3, 3], [5, 6, 6], [8, 9, 9]]),  # a third of the side is one pixel
    ],
)
def test_warp_takes_each_pixel_from_where_the_matrix_says(matrix: list, expected: list) -> None:
    from lenslet.network.augmentation import _warp

    warped = _warp(SQUARE[np.newaxis, :, :, np.newaxis], np.float32([matrix]))
    np.testing.assert_allclose(warped[0, :, :, 0], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("key", "strength", "expected"),
    [
        ("rotation", 90, [[0, -1, 0], [1, 0, 0]]),
        ("shear", 0.5, [[1, 0.5, 0], [0.5, 1, 0]]),
        ("zoom", 0.2, [[1.2, 0, 0], [0, 1.2, 0]]),
        ("shift", 0.1, [[1, 0, 0.1], [0, 1, 0.1]]),
    ],
)
def test_geometry_is_these_matrices(key: str, strength: float, expected: list) -> None:
    import tensorflow as tf

    from lenslet.network.augmentation import GEOMETRY

    matrix = GEOMETRY[key].matrix(tf.fill([1, 2], float(strength)))
    np.testing.assert_allclose(matrix[0], expected, atol=1e-6)


def applied(key: str, images: np.ndarray, strength: float) -> np.ndarray:
    import tensorflow as tf

    from lenslet.network.augmentation import PIXELS

    strengths = tf.fill([len(images)], float(strength))
    return PIXELS[key].apply(tf.constant(images, tf.float32), strengths, tf.constant([1, 2])).numpy()


@pytest.mark.parametrize(
    ("key", "strength", "before", "after"),
    [
        ("contrast", 0.5, [[100, 100, 100], [200, 200, 200]], [[75, 75, 75], [225, 225, 225]]),
        ("brightness", -0.2, [[100, 0, 255], [0, 0, 0]], [[49, -51, 204], [-51, -51, -51]]),
        ("hue", 1 / 3, [[255, 0, 0], [9, 9, 9]], [[0, 255, 0], [9, 9, 9]]),  # red is green, and grey stays
        ("hue", -1 / 3, [[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 0, 0]]),
    ],
)
def test_colours(key: str, strength: float, before: list, after: list) -> None:
    changed = applied(key, np.float32([[before]]), strength)
    np.testing.assert_allclose(changed[0, 0], after, atol=1e-3)


def test_blur_is_a_gaussian() -> None:
    """Sigma 1: the weights of an impulse and of its neighbour are 0.3989² and 0.3989 × 0.2420."""
    impulse = np.zeros((1, 11, 11, 3), np.float32)
    impulse[0, 5, 5] = 1
    blurred = applied("blur", impulse, 1.0)
    assert blurred[0, 5, 5, 0] == pytest.approx(0.3989**2, abs=1e-3)
    assert blurred[0, 5, 6, 0] == pytest.approx(0.3989 * 0.2420, abs=1e-3)
    np.testing.assert_allclose(applied("blur", np.full((1, 11, 11, 3), 70, np.float32), 2.0), 70, atol=1e-3)


def test_noise_has_its_standard_deviation() -> None:
    noise = applied("noise", np.full((2, 64, 64, 3), 127, np.float32), 0.1) - 127
    assert noise.std() == pytest.approx(25.5, rel=0.03)
    assert (noise[0] != noise[1]).any()


def test_jpeg_loses_detail_but_no_grey() -> None:
    images = np.stack([np.full((32, 32, 3), 128), pictures(1)[0]])
    compressed = applied("jpeg", images, 0.95)
    np.testing.assert_allclose(compressed[0], 128, atol=2)
    assert np.abs(compressed[1] - images[1]).mean() > 20


def test_cutout_is_one_grey_square() -> None:
    cut = applied("cutout", np.zeros((40, 20, 20, 3), np.float32), 0.5)
    assert set(np.unique(cut)) == {0.0, 127.0}
    sides = (cut[..., 0] > 0).any(axis=1).sum(axis=1)
    assert sides.max() == 10
    assert ((cut[..., 0] > 0).sum(axis=(1, 2)) <= 100).all()


@pytest.mark.parametrize(("photos", "is_mixed"), [(1999, False), (2000, True)])
def test_few_photos_are_not_blended(photos: int, is_mixed: bool) -> None:
    from lenslet.network.augmentation import for_dataset_size

    given = replace(NONE, mixup=0.3, mixup_min_photos=2000)
    assert for_dataset_size(given, photos) == replace(given, mixup=0.3 if is_mixed else 0.0)


@pytest.mark.parametrize("alpha", [0.01, 1.0])
def test_mixup_blends_labels_as_it_blends_photos(alpha: float) -> None:
    from lenslet.network.augmentation import augment

    black_and_white = np.repeat([[0], [200]], 20, axis=0).reshape(-1, 1, 1, 1) * np.ones((1, 4, 4, 3))
    targets = np.repeat(np.eye(2, dtype=np.float32), 20, axis=0)
    blended, shares = augment(black_and_white.astype(np.uint8), targets, replace(NONE, mixup=alpha), seed=3)
    np.testing.assert_allclose(blended[:, 0, 0, 0], 200 * shares[:, 1], atol=0.51)
    np.testing.assert_allclose(shares.numpy().sum(axis=1), 1, atol=1e-6)
    is_between = (shares.numpy()[:, 0] > 0.1) & (shares.numpy()[:, 0] < 0.9)
    assert is_between.mean() > 0.2 if alpha == 1.0 else is_between.mean() < 0.1

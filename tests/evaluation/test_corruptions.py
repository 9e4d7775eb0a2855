"""What each corruption does to a picture where that is known by hand, and robustness from accuracies."""

from pathlib import Path

import numpy as np
import pytest

from lenslet.evaluation import corruptions
from lenslet.evaluation.corruptions import (
    CORRUPTIONS,
    SEVERITIES,
    accuracy_by_corruption,
    corrupt,
    robustness,
)
from lenslet.inference.decode import decode


def gradient(size: int = 40) -> np.ndarray:
    """Dark at the left, light at the right, with a chequered texture."""
    ramp = np.linspace(40, 200, size)[np.newaxis, :] + 15 * (np.indices((size, size)).sum(axis=0) % 2)
    return np.repeat(ramp.astype(np.uint8)[:, :, np.newaxis], 3, axis=2)


def grey(size: int = 40) -> np.ndarray:
    return np.full((size, size, 3), 100, np.uint8)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_same_pictures_each_time_and_more_damage_each_step(kind: str) -> None:
    picture = decode(Path("data/sample/test/forest/00.jpg").read_bytes(), 64)
    before = picture.copy()
    damage = [0.0]
    for severity in SEVERITIES:
        damaged = corrupt(picture, kind, severity, seed=5)
        assert damaged.shape == picture.shape
        assert damaged.dtype == np.uint8
        np.testing.assert_array_equal(damaged, corrupt(picture, kind, severity, seed=5))
        # Of several, because directions and places are drawn.
        several = [corrupt(picture, kind, severity, seed) for seed in range(10)]
        damage.append(float(np.abs(np.stack(several).astype(float) - picture).mean()))
    np.testing.assert_array_equal(picture, before)
    assert (np.diff(damage) > 0).all()


def test_new_kind_leaves_the_pictures_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    before = corrupt(gradient(), "occlusion", 3, seed=1)
    monkeypatch.setattr(corruptions, "CORRUPTIONS", {"rain": CORRUPTIONS["contrast"], **CORRUPTIONS})
    np.testing.assert_array_equal(corrupt(gradient(), "occlusion", 3, seed=1), before)


def test_noise_has_its_deviation_and_differs_between_pictures() -> None:
    noisy = corrupt(grey(200), "gaussian_noise", 2, seed=1).astype(float)
    assert noisy.mean() == pytest.approx(100, abs=0.5)
    assert noisy.std() == pytest.approx(16, rel=0.02)
    assert (noisy != corrupt(grey(200), "gaussian_noise", 2, seed=2)).any()


@pytest.mark.parametrize("kind", ["gaussian_blur", "motion_blur", "rotation", "down_scaling", "contrast"])
def test_one_colour_cannot_be_blurred_turned_or_scaled(kind: str) -> None:
    np.testing.assert_array_equal(corrupt(grey(), kind, 5, seed=1), grey())


def test_brightness_moves_every_pixel_by_its_share_of_the_range() -> None:
    values = {int(corrupt(grey(), "brightness", 2, seed=seed)[0, 0, 0]) for seed in range(20)}
    assert values == {100 - 51, 100 + 51}


def test_contrast_keeps_the_mean_and_its_share_of_the_spread() -> None:
    damaged = corrupt(gradient(), "contrast", 2, seed=1).astype(float)
    assert damaged.mean() == pytest.approx(gradient().mean(), abs=0.5)
    assert damaged.std() == pytest.approx(gradient().std() / 2, rel=0.02)


def test_occlusion_covers_its_share() -> None:
    covered = corrupt(grey(100), "occlusion", 3, seed=1) == 128
    assert covered[:, :, 0].mean() == pytest.approx(0.2, abs=0.01)


def test_blur_flattens_the_texture_and_keeps_the_light() -> None:
    for kind in ("gaussian_blur", "motion_blur", "down_scaling", "jpeg_quality"):
        damaged = corrupt(gradient(), kind, 5, seed=1).astype(float)
        assert damaged.mean() == pytest.approx(gradient().mean(), abs=3), kind


def test_accuracy_of_every_corruption_and_severity() -> None:
    """Classified by brightness alone, black and white stay apart until half of the range is added or taken."""

    def classify(pictures: np.ndarray) -> np.ndarray:
        light = (pictures.mean(axis=(1, 2, 3)) / 255)[:, np.newaxis]
        return np.concatenate([1 - light, light], axis=1)

    black, white = np.zeros((20, 20, 3), np.uint8), np.full((20, 20, 3), 255, np.uint8)
    accuracies = accuracy_by_corruption(classify, np.stack([black, white, black]), np.array([0, 1, 1]))
    assert list(accuracies) == list(CORRUPTIONS)
    assert accuracies["gaussian_blur"] == [2 / 3] * 5
    assert accuracies["occlusion"] == [2 / 3] * 5


def test_robustness_is_relative_to_the_accuracy_without_corruption() -> None:
    accuracies = {"occlusion": [0.8, 0.6], "contrast": [0.4, 0.2]}
    assert robustness(accuracies, 0.8) == pytest.approx(
        {
            "robustness_mean": 0.5 / 0.8,
            "robustness_worst": 0.25,
            "robustness.occlusion.mean": 0.875,
            "robustness.contrast.mean": 0.375,
        }
    )
    assert robustness(accuracies, 0.0) == robustness({}, 0.8) == robustness({"contrast": []}, 0.8) == {}

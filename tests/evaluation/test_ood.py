"""The threshold of the OOD score, the OOD sets, and the AUROC of detecting them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lenslet.evaluation import ood as module
from lenslet.evaluation.metric_table import METRICS
from lenslet.evaluation.ood import (
    OOD_SETS,
    NoOodPhotos,
    feature_residual,
    ood_auroc,
    ood_sets,
    ood_threshold,
    out_of_fold_residual,
    principal_subspace,
    unlike_photos,
)
from tests.support.photos import RED, write_class


@pytest.mark.parametrize(("share", "threshold"), [(1.0, 100.0), (0.95, 95.0), (0.5, 50.0)])
def test_share_of_the_in_distribution_photos_stays_within_the_threshold(
    share: float, threshold: float
) -> None:
    ood_score = np.random.default_rng(1).permutation(101).astype(float)
    assert ood_threshold(ood_score, share) == threshold


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SET_SIZE", 5)


def test_ood_sets_are_the_same_each_time_and_their_pictures_differ() -> None:
    first, again = ood_sets(32), ood_sets(32)
    assert list(first) == ["noise", "plain", "drawings", "text"]
    for name, pictures in first.items():
        assert (pictures.shape, pictures.dtype) == ((5, 32, 32, 3), np.uint8)
        np.testing.assert_array_equal(pictures, again[name])
        assert len({picture.tobytes() for picture in pictures}) == 5, name


def test_ood_sets_hold_what_their_names_say() -> None:
    drawn = ood_sets(160)
    assert all(len(np.unique(picture.reshape(-1, 3), axis=0)) == 1 for picture in drawn["plain"])
    assert all(len(np.unique(picture.reshape(-1, 3), axis=0)) > 10_000 for picture in drawn["noise"])
    dark = [(picture < 128).all(axis=-1).mean() for picture in drawn["text"]]
    assert all(0.02 < share < 0.4 for share in dark)  # ink on paper
    assert set(OOD_SETS) == set(drawn)


def test_every_ood_set_has_a_row_in_the_table_of_metrics() -> None:
    assert {f"ood_auroc_{name}" for name in (*OOD_SETS, "photos")} <= set(METRICS)


def test_subspace_is_spanned_by_what_most_features_share() -> None:
    random = np.random.default_rng(1)
    features = 0.01 * random.normal(size=(8, 6)) + np.outer(random.normal(size=8), [0, 3, 0, 4, 0, 0])
    subspace = principal_subspace(features.astype(np.float32))
    assert subspace.shape == (6, 2)  # a quarter of the photos
    np.testing.assert_allclose(subspace.T @ subspace, np.eye(2), atol=1e-5)
    np.testing.assert_allclose(np.abs(subspace[:, 0]), [0, 0.6, 0, 0.8, 0, 0], atol=0.02)


def test_residual_is_the_share_of_the_length_outside_the_subspace() -> None:
    subspace = np.array([[1, 0], [0, 1], [0, 0]], np.float32)
    found = feature_residual(np.array([[3, 0, 4], [1, 2, 0], [0, 0, 5], [0, 0, 0]], np.float32), subspace)
    np.testing.assert_allclose(found, [0.8, 0, 1, 1], atol=1e-6)


def test_photo_is_not_measured_with_a_subspace_of_its_own() -> None:
    """Each photo points where no other does, so that all of its length is outside what the others span."""
    features, folds = np.eye(8, dtype=np.float32), np.arange(8) % 4
    np.testing.assert_allclose(out_of_fold_residual(features, folds, at_most=500), np.ones(8))
    alike = np.tile(np.array([[1, 2, 3]], np.float32), (8, 1))
    np.testing.assert_allclose(out_of_fold_residual(alike, folds, at_most=4), np.zeros(8), atol=1e-3)


def test_unlike_photos_are_generated_ones_and_tiles_of_photos_in_another_order() -> None:
    photos = np.random.default_rng(1).integers(0, 256, (3, 33, 33, 3), np.uint8)
    pictures = unlike_photos(photos)
    assert pictures.shape == (4 * module.CHOICE_SIZE + 3, 33, 33, 3)
    for photo, shuffled in zip(photos, pictures[-3:], strict=True):
        assert not np.array_equal(photo, shuffled)
        np.testing.assert_array_equal(np.sort(photo, axis=None), np.sort(shuffled, axis=None))


def classifier_by_brightness() -> SimpleNamespace:
    """The brighter a picture, the further out of distribution."""
    return SimpleNamespace(classify=lambda picture: SimpleNamespace(ood_score=float(picture.mean())))


@pytest.mark.parametrize(("brightness", "area"), [(0, 0.0), (255, 1.0), (100, 0.5)])
def test_area_under_the_curve(brightness: int, area: float) -> None:
    sets = {"grey": np.full((4, 8, 8, 3), brightness, np.uint8)}
    known = np.array([100.0, 100.0, 100.0])
    assert ood_auroc(classifier_by_brightness(), known, sets) == {"grey": area}  # type: ignore[arg-type]


def test_photos_of_a_folder_are_an_ood_set(tmp_path: Path) -> None:
    write_class(tmp_path / "below", 3, RED)
    (tmp_path / "notes.txt").write_text("no photo")
    photos = ood_sets(16, sorted([*(tmp_path / "below").iterdir(), tmp_path / "notes.txt"]))["photos"]
    assert photos.shape == (3, 16, 16, 3)
    assert photos[..., 0].mean() > photos[..., 2].mean()


def test_folder_without_photos(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.raises(NoOodPhotos, match="none of the 1 out-of-distribution files is a photo"):
        ood_sets(16, [tmp_path / "notes.txt"])

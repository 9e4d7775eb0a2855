"""The frozen backbone run once over the photos, its pooled features cached by content."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lenslet.config import TrainParams
from lenslet.dataset.array_file import ArrayFile, cached_array
from lenslet.dataset.dataset import Dataset
from lenslet.inference.artifact import sha256_of
from lenslet.network.assembly import build_feature_extractor

BATCH_SIZE = 64


@dataclass(frozen=True)
class LabelledFeatures:
    """Features and class indices of one split."""

    features: NDArray[np.float32]  # shape (photos, channels)
    targets: NDArray[np.int64]  # shape (photos,)


def cached_features(
    extractor: keras.Model, dataset: Dataset, members: NDArray[np.int64], cache: Path
) -> NDArray[np.float32]:
    """Output of `network.build_feature_extractor` for the photos at positions `members` of the dataset.

    Returns: float32, shape (members, channels); from `cache` if the same photos went through the same weights.
    Raises: CacheFull.
    """
    photos = [dataset.hashes[number] for number in members]
    weights = [sha256_of(weight.tobytes()) for weight in extractor.get_weights()]
    recipe = " ".join([*map(str, extractor.input_shape), *photos, *weights])
    path = cache / f"features-{sha256_of(recipe.encode())[:16]}.npy"
    shape = (len(members), extractor.output_shape[1])
    return cached_array(
        path, shape, np.float32, lambda features: _extract_into(features, extractor, dataset, members)
    )[:]


def features_by_split(
    backbone: keras.Model, dataset: Dataset, params: TrainParams, splits: Iterable[str], cache: Path
) -> dict[str, NDArray[np.float32]]:
    """Pooled features of the photos of each split, shape (photos, channels). Raises: CacheFull."""
    extractor = build_feature_extractor(backbone, params)
    return {split: cached_features(extractor, dataset, dataset.members(split), cache) for split in splits}


def labelled_features(
    backbone: keras.Model, dataset: Dataset, params: TrainParams, splits: Iterable[str], cache: Path
) -> list[LabelledFeatures]:
    """Features and labels of the photos of each split. Raises: CacheFull."""
    found = features_by_split(backbone, dataset, params, splits, cache)
    return [
        LabelledFeatures(features, dataset.targets[dataset.members(split)])
        for split, features in found.items()
    ]


def head_features(
    backbone: keras.Model, dataset: Dataset, params: TrainParams, cache: Path
) -> tuple[LabelledFeatures, LabelledFeatures]:
    """Features and labels of the training and of the validation photos: what a head is fitted to and judged by."""
    train, validation = labelled_features(backbone, dataset, params, ("train", "validation"), cache)
    return train, validation


def _extract_into(
    features: ArrayFile, extractor: keras.Model, dataset: Dataset, members: NDArray[np.int64]
) -> None:
    with tqdm(total=len(members), desc="features", unit=" photos", leave=False, disable=None) as progress:
        for start in range(0, len(members), BATCH_SIZE):
            rows = dataset.rows[members[start : start + BATCH_SIZE]]
            features[start : start + len(rows)] = extractor.predict_on_batch(dataset.pixels[rows])
            progress.update(len(rows))

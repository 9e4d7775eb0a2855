"""A data set of sixteen-pixel photos in memory, for tests of training that need no files."""

from pathlib import Path
from typing import cast

import numpy as np

from lenslet.dataset.array_file import ArrayFile
from lenslet.dataset.dataset import Dataset
from lenslet.dataset.photos import Photo

SPLITS = ("train",) * 16 + ("validation",) * 8 + ("test",) * 8


def tiny_dataset(kind: type[Dataset] = Dataset) -> Dataset:
    """16 photos to train on, 8 to validate, 8 to test; dark ones and light ones by turns, under noise."""
    labels = ("dark", "light")
    photos = tuple(Photo(Path(f"{row}.png"), labels[row % 2], split) for row, split in enumerate(SPLITS))
    noise = np.random.default_rng(5).integers(0, 100, (len(photos), 16, 16, 3))
    pixels = (noise + np.arange(len(photos)).reshape(-1, 1, 1, 1) % 2 * 100).astype(np.uint8)
    hashes = tuple(f"{row:02}" for row in range(len(photos)))
    return kind(photos, labels, (), cast(ArrayFile, pixels), np.arange(len(photos)), hashes)

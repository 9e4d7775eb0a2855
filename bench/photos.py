"""Photos drawn from a folder and laid out so that this trainer and Keras's folder reader find the same ones."""

from pathlib import Path

import numpy as np

from lenslet.dataset.photos import DatasetError, Photo

# What Keras's folder reader takes; it skips others without a word.
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
VALIDATION_SHARE = 10  # every tenth photo


def lay_out(found: list[Photo], per_class: int, seed: int, folder: Path) -> dict[str, int]:
    """Links to photos that may be trained on, drawn by the seed, as train/, val/ and test/ with a folder per class.

    Returns: split → number of photos. `test` has one of each class, because a data set must have some.
    Raises: DatasetError if a class has too few that Keras reads.
    """
    counts = {"train": 0, "val": 0, "test": 0}
    for label in sorted({photo.label for photo in found}):
        usable = [
            photo.path
            for photo in found
            if photo.label == label and photo.split != "test" and photo.path.suffix.lower() in SUFFIXES
        ]
        if len(usable) < 3:
            raise DatasetError(
                f"class {label!r} needs 3 photos to train on that end in {', '.join(SUFFIXES)}"
            )
        order = np.random.default_rng(seed).permutation(len(usable))
        test, *others = [usable[number] for number in order[: per_class + 1]]
        validation = max(1, len(others) // VALIDATION_SHARE)
        splits = {"test": [test], "val": others[:validation], "train": others[validation:]}
        for split, paths in splits.items():
            (folder / split / label).mkdir(parents=True)
            counts[split] += len(paths)
            for number, path in enumerate(paths):
                link = folder / split / label / f"{number:06}{path.suffix.lower()}"
                link.symlink_to(path.resolve())
    return counts

"""Table of the photos per class and split, with the files that are left out."""

from collections import Counter
from pathlib import Path

from lenslet.dataset.dataset import SPLITS, Dataset


def describe(dataset: Dataset, folder: Path) -> str:
    """A table of photos per class and split, and the unreadable files with their reasons."""
    counts = Counter((photo.label, photo.split) for photo in dataset.photos)
    width = max(len(label) for label in (*dataset.labels, "class"))
    lines = [f"{'class':<{width}}" + "".join(f"{split:>12}" for split in SPLITS)]
    for label in dataset.labels:
        lines.append(f"{label:<{width}}" + "".join(f"{counts[label, split]:>12,}" for split in SPLITS))
    lines.append(f"{len(dataset.photos):,} photos are readable, {len(dataset.unreadable):,} left out")
    for path, reason in dataset.unreadable.items():
        lines.append(f"  left out: {path.relative_to(folder)}: {reason}")
    return "\n".join(lines)

"""Table of the photos per class and split, and the count of the files that are left out, by reason."""

from collections import Counter
from collections.abc import Iterator

from lenslet.dataset.dataset import Dataset
from lenslet.dataset.photos import LEFT_OUT, SPLITS, LeftOut
from lenslet.inference.printable import printable

SHOWN = 3  # files of each reason
NOT_SHOWN = ("hidden", "system")  # by name: there may be thousands


def describe(dataset: Dataset) -> str:
    """Photos of each class in each split; how many files were found, used and left out; the first of the latter."""
    counts = Counter((photo.label, photo.split) for photo in dataset.photos)
    names = {label: printable(label) for label in dataset.labels}
    width = max(len(name) for name in (*names.values(), "class"))
    lines = [f"{'class':<{width}}" + "".join(f"{split:>12}" for split in SPLITS)]
    for label, name in names.items():
        lines.append(f"{name:<{width}}" + "".join(f"{counts[label, split]:>12,}" for split in SPLITS))
    used, left_out = len(dataset.photos), dataset.left_out
    lines.append(
        f"{used + len(left_out):,} files found ({dataset.layout}): "
        f"{used:,} photos used, {len(left_out):,} left out"
    )
    lines += [f"note: {note}" for note in dataset.notes]
    for reason in LEFT_OUT:
        lines += _lines_of(dataset, reason, [each for each in left_out if each.reason == reason])
    return "\n".join(lines)


def _lines_of(dataset: Dataset, reason: str, files: list[LeftOut]) -> Iterator[str]:
    if not files:
        return
    yield f"  {len(files):,} left out, {reason}: {LEFT_OUT[reason]}"
    for each in files[: 0 if reason in NOT_SHOWN else SHOWN]:
        yield f"    {dataset.name_of(each.path)}" + (f": {printable(each.detail)}" if each.detail else "")

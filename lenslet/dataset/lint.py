"""What is wrong with a folder of labelled photos: files, copies, leaks between splits, classes, and labels."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenslet.dataset.dataset import Dataset
from lenslet.dataset.label_errors import confident_disagreement
from lenslet.dataset.linear_probe import cached_out_of_fold
from lenslet.dataset.perceptual_hashes import BITS
from lenslet.dataset.photos import SPLITS, DatasetError
from lenslet.inference.atomic import replacing

# Kind of finding → what its photos are, in the order of the table.
KINDS = {
    "unreadable": "left out: no photo that can be read",
    "leak": "the same or nearly the same photo is in another split",
    "two labels": "the same or nearly the same photo has another label, too",
    "exact copy": "the same file is in this split twice",
    "near copy": "nearly the same photo is in this split twice",
    "small": "a side is less than half of what the model sees",
    "narrow": "one side is more than three times the other, and the model sees a square",
    "rare class": "the class has few photos, or few beside the largest",
    "mislabelled": "looks like another class: the label may be wrong",
}
ENLARGED_AT_MOST = 2  # times; the Intel set, 150 pixels wide, is a good one at 160
ASPECT_AT_MOST = 3
RARE_PHOTOS = 10
RARE_SHARE = 0.1  # of the photos of the largest class


@dataclass(frozen=True)
class Finding:
    kind: str  # a key of KINDS
    path: Path  # of a leak, the photo that is learned from: remove it, and the leak is closed
    detail: str
    other: Path | None = None  # the photo that `path` is a copy of


def lint(
    dataset: Dataset, cache: Path, features: Mapping[str, NDArray[np.float32]] | None = None
) -> list[Finding]:
    """All findings, by kind in the order of KINDS, the worst of each kind first.

    `features`: split → output of `cached_features` for its members; without it, labels are not judged.
    Raises: CacheFull.
    """
    return [
        *(Finding(each.reason, each.path, each.detail, each.other) for each in dataset.left_out),
        *_copies(dataset),
        *_odd_sizes(dataset),
        *_rare_classes(dataset),
        *(mislabelled(dataset, features, cache) if features else ()),
    ]


def write_findings(findings: Sequence[Finding], path: Path) -> None:
    """A CSV with a row per finding: kind, path, detail, other."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("kind", "path", "detail", "other"))
        writer.writerows((each.kind, each.path, each.detail, each.other or "") for each in findings)


def summary(findings: Sequence[Finding], shown: int = 0) -> str:
    """A line per kind that was found, with its count, each followed by the first `shown` findings."""
    lines = []
    for kind, meaning in KINDS.items():
        found = [finding for finding in findings if finding.kind == kind]
        if found:
            lines.append(f"{kind:<12}{len(found):>7,}  {meaning}")
        for finding in found[:shown]:
            beside = f" | {finding.other}" if finding.other else ""
            lines.append(f"{'':<21}{finding.path}{beside}: {finding.detail}")
    return "\n".join(lines) or "nothing was found"


def report_findings(findings: Sequence[Finding], csv_path: Path, allow_leaks: bool, shown: int = 0) -> None:
    """Write all findings to `csv_path`, print their counts by kind and the first `shown` of each kind.

    Raises: DatasetError if splits share photos, unless `allow_leaks`.
    """
    write_findings(findings, csv_path)
    print(f"{summary(findings, shown)}\nall findings are in {csv_path}")
    leaks = [finding for finding in findings if finding.kind == "leak"]
    if leaks and not allow_leaks:
        raise DatasetError(
            f"photos that are in two splits: {len(leaks):,}, the first: {leaks[0].path} and {leaks[0].other} "
            f"({leaks[0].detail}); remove those of kind leak in {csv_path}, column path, "
            "or say --allow-leaks"
        )


def _copies(dataset: Dataset) -> list[Finding]:
    """For each photo that is a copy in one of the four ways, the photo that it resembles most; closest first."""
    findings: dict[tuple[str, Path], Finding] = {}
    # Learned from first, then judged by: of a leak, the first of the two can go.
    order = {split: number for number, split in enumerate(SPLITS)}
    for first, second, distance in sorted(dataset.duplicates.tolist(), key=lambda pair: pair[2]):
        is_exact = dataset.hashes[first] == dataset.hashes[second]
        alike = "every byte is the same" if is_exact else f"{distance} of {BITS} bits differ"
        one, two = dataset.photos[first], dataset.photos[second]
        kinds = {}
        if one.split != two.split:
            one, two = sorted((one, two), key=lambda photo: order[photo.split or "train"])
            kinds["leak"] = f"{one.split} and {two.split}, {alike}"
        if one.label != two.label:
            kinds["two labels"] = f"{one.label} and {two.label}, {alike}"
        if not kinds:
            one, two = two, one  # the later one can go
            kinds["exact copy" if is_exact else "near copy"] = alike
        for kind, detail in kinds.items():
            findings.setdefault((kind, one.path), Finding(kind, one.path, detail, two.path))
    return sorted(findings.values(), key=lambda finding: list(KINDS).index(finding.kind))


def _odd_sizes(dataset: Dataset) -> list[Finding]:
    side = dataset.pixels.shape[1]
    small, narrow = [], []
    for photo in dataset.photos:
        try:
            with Image.open(photo.path) as image:  # reads the header only
                short, long = sorted(image.size)
        except OSError:
            continue  # gone since it was decoded
        detail = f"{image.width} × {image.height} pixels, the model sees {side} × {side}"
        if short * ENLARGED_AT_MOST < side:
            small.append((short, Finding("small", photo.path, detail)))
        if long > ASPECT_AT_MOST * short:
            narrow.append((short / long, Finding("narrow", photo.path, detail)))
    return [finding for found in (small, narrow) for _, finding in sorted(found, key=lambda each: each[0])]


def _rare_classes(dataset: Dataset) -> list[Finding]:
    counts = Counter(photo.label for photo in dataset.photos)
    [(largest, most)] = counts.most_common(1)
    folders = {photo.label: photo.path.parent for photo in reversed(dataset.photos)}
    return [
        Finding(
            "rare class",
            folders[label],
            f"{count:,} photos of {label}" + (f", {most:,} of {largest}" if count < most else ""),
        )
        for label, count in sorted(counts.items(), key=lambda item: item[1])
        if count < RARE_PHOTOS or count < RARE_SHARE * most
    ]


def mislabelled(dataset: Dataset, features: Mapping[str, NDArray[np.float32]], cache: Path) -> list[Finding]:
    """Photos of the splits in `features` whose label is likely wrong, the most likely first. Raises: CacheFull."""
    members = np.concatenate([dataset.members(split) for split in features])
    targets = dataset.targets[members]
    probabilities = cached_out_of_fold(np.concatenate(list(features.values())), targets, cache)
    findings = []
    for number, likely in confident_disagreement(probabilities, targets):
        photo = dataset.photos[members[number]]
        probability = dict(zip(dataset.labels, probabilities[number], strict=True))
        seen = dataset.labels[likely]
        detail = f"{seen} {probability[seen]:.2f}, {photo.label} {probability[photo.label]:.2f}"
        findings.append(Finding("mislabelled", photo.path, detail))
    return findings

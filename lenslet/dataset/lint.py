"""Findings about labelled photos: damaged files, copies, leaks between splits, rare classes, doubtful labels."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenslet.dataset.csv_file import write_cells
from lenslet.dataset.dataset import Dataset
from lenslet.dataset.label_errors import confident_disagreement
from lenslet.dataset.leaks import alikeness, leaks
from lenslet.dataset.linear_probe import cached_out_of_fold
from lenslet.dataset.photo_size import photo_size
from lenslet.dataset.photos import LEFT_OUT, SPLITS, DatasetError, LeftOut
from lenslet.dataset.quality import CHECKS, cached_measures, failed_check
from lenslet.evaluation.metrics import accuracy
from lenslet.inference.atomic import write_or_keep
from lenslet.inference.printable import printable

# Kind of finding → what its photos are, in the order of the table.
KINDS = {
    **LEFT_OUT,
    "leak": "a copy of the photo is in another split",
    "uniform class": "a copy is in another split: most of the class looks the same, and no draw keeps copies together",
    "two labels": "the same or nearly the same photo has another label, too",
    "exact copy": "the same file is in this split twice",
    "near copy": "nearly the same photo is in this split twice",
    "small": "a side is less than half of what the model sees",
    "narrow": "one side is more than three times the other, and the model sees a square",
    **{kind: check.meaning for kind, check in CHECKS.items()},
    "rare class": "the class has few photos, or few beside the largest",
    "mislabelled": "the label may be wrong: so it is for two in three of these where 5 % of all are, else for fewer",
}
ENLARGED_AT_MOST = 2  # times; the Intel set, 150 pixels wide, is a good one at 160
ASPECT_AT_MOST = 3
RARE_PHOTOS = 10
# Of labels that are doubted, 62 to 85 % were swapped where 5 % had been swapped at random (600 scenes, 720 dishes, 575
# streets; half to two thirds of the swaps are found). A weaker model says nothing: below MIN_ACCURACY out of fold.
MIN_SEEN, MAX_GIVEN = 0.9, 0.05  # probabilities of the class that is seen, and of the label
MIN_ACCURACY = 0.6
RARE_SHARE = 0.1  # of the photos of the largest class


@dataclass(frozen=True)
class Finding:
    kind: str  # a key of KINDS
    path: Path  # of a leak, the photo that is learned from: remove it, and the leak is closed
    detail: str
    other: Path | None = None  # the photo that `path` is a copy of


def lint(
    dataset: Dataset,
    cache: Path,
    features: Mapping[str, NDArray[np.float32]] | None = None,
    splits: Collection[str] = SPLITS,
) -> list[Finding]:
    """All findings, by kind in the order of KINDS, the worst of each kind first.

    `features`: split → output of `cached_features` for its members; without it, labels are not judged. `splits`: those
    whose pixels are examined for quality; before a training, the test photos are not. Raises: CacheFull.
    """
    leaking = [each for each in dataset.left_out if each.reason == "leak"] or _leaks_that_are_kept(dataset)
    found = [
        *(
            Finding(each.reason, each.path, each.detail, each.other)
            for each in dataset.left_out
            if each.reason != "leak"
        ),
        *(Finding("leak", each.path, each.detail, each.other) for each in leaking),
        *(Finding("two labels", each.path, each.labels, each.other) for each in leaking if each.labels),
        *_copies(dataset),
        *_odd_sizes(dataset),
        *_doubtful(dataset, cache, splits),
        *_rare_classes(dataset),
        *(mislabelled(dataset, features, cache) if features else ()),
    ]
    return sorted(found, key=lambda finding: list(KINDS).index(finding.kind))


def write_findings(findings: Sequence[Finding], path: Path) -> None:
    """A CSV with a row per finding: kind, path, detail, other."""
    rows = ((each.kind, each.path, each.detail, each.other or "") for each in findings)
    write_cells(path, ("kind", "path", "detail", "other"), rows)


def summarize(findings: Sequence[Finding], shown: int = 0) -> str:
    """A line per kind that was found, with its count, each followed by the first `shown` findings.

    Files that are left out are counted by `describe`; here, those that leak are named again.
    """
    lines = []
    for kind, meaning in KINDS.items():
        found = [finding for finding in findings if finding.kind == kind]
        if not found or (kind in LEFT_OUT and kind != "leak"):
            continue
        lines.append(f"{kind:<14}{len(found):>7,}  {meaning}")
        for finding in found[:shown]:
            beside = f" | {printable(finding.other)}" if finding.other else ""
            lines.append(f"{'':<23}{printable(finding.path)}{beside}: {printable(finding.detail)}")
    return "\n".join(lines) or ("nothing else was found" if findings else "nothing was found")


def report_findings(findings: Sequence[Finding], csv_path: Path, leaks: str, shown: int = 0) -> None:
    """Write all findings to `csv_path`, print their counts by kind and the first `shown` of each kind.

    `leaks`: train.leaks of params.yaml.
    Raises: DatasetError if splits share photos and `leaks` is "refuse".
    """
    write_or_keep(lambda folder: write_findings(findings, folder / csv_path.name), csv_path.parent)
    print(f"{summarize(findings, shown)}\nall findings are in {csv_path}")
    found = [finding for finding in findings if finding.kind == "leak"]
    if found and leaks == "refuse":
        raise DatasetError(
            f"photos that are in two splits: {len(found):,}, the first: {printable(found[0].path)} and "
            f"{printable(found[0].other)} ({found[0].detail}); remove those of kind leak in {csv_path}, column path, "
            "or leave them out of training with --leaks drop"
        )


def _leaks_that_are_kept(dataset: Dataset) -> list[LeftOut]:
    """Leaks between splits that the photos came with."""
    found = leaks(dataset.photos, dataset.hashes, dataset.duplicates)
    splits: dict[Path | None, str | None] = {photo.path: photo.split for photo in dataset.photos}
    return [each for each in found.values() if _are_given(dataset, splits[each.path], splits.get(each.other))]


def _are_given(dataset: Dataset, *splits: str | None) -> bool:
    return set(splits) <= dataset.given_splits


def _copies(dataset: Dataset) -> list[Finding]:
    """For each photo that is a copy within a split or under another label, the photo that it resembles most."""
    findings: dict[tuple[str, Path], Finding] = {}
    for first, second, distance in sorted(dataset.duplicates.tolist(), key=lambda pair: pair[2]):
        one, two = dataset.photos[first], dataset.photos[second]
        if one.split != two.split and _are_given(dataset, one.split, two.split):
            continue  # a leak
        is_exact = dataset.hashes[first] == dataset.hashes[second]
        alike = alikeness(is_exact, distance)
        kinds = {}
        if one.split != two.split:
            kinds["uniform class"] = f"{one.split} and {two.split}, {alike}"
        if one.label != two.label:
            kinds["two labels"] = f"{one.label} and {two.label}, {alike}"
        if not kinds:
            one, two = two, one  # the later one can go
            kinds["exact copy" if is_exact else "near copy"] = alike
        for kind, detail in kinds.items():
            findings.setdefault((kind, one.path), Finding(kind, one.path, detail, two.path))
    return list(findings.values())


def _odd_sizes(dataset: Dataset) -> list[Finding]:
    side = dataset.pixels.shape[1]
    small, narrow = [], []
    for photo in dataset.photos:
        try:
            width, height = photo_size(photo.path)
            short, long = sorted((width, height))
        except OSError:
            continue  # gone since it was decoded
        detail = f"{width} × {height} pixels, the model sees {side} × {side}"
        if short * ENLARGED_AT_MOST < side:
            small.append((short, Finding("small", photo.path, detail)))
        if long > ASPECT_AT_MOST * short:
            narrow.append((short / long, Finding("narrow", photo.path, detail)))
    return [finding for found in (small, narrow) for _, finding in sorted(found, key=lambda each: each[0])]


def _doubtful(dataset: Dataset, cache: Path, splits: Collection[str]) -> list[Finding]:
    """Photos of these splits that fail a check of their quality."""
    members = np.flatnonzero([photo.split in splits for photo in dataset.photos])
    hashes = [dataset.hashes[number] for number in members]
    values = cached_measures(dataset.pixels, dataset.rows[members], hashes, cache)
    photos = (dataset.photos[number] for number in members)
    failed = ((photo, failed_check(row)) for photo, row in zip(photos, values.tolist(), strict=True))
    return [Finding(found[0], photo.path, found[1]) for photo, found in failed if found]


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


def out_of_fold_of(
    dataset: Dataset, features: Mapping[str, NDArray[np.float32]], cache: Path
) -> NDArray[np.float64]:
    """Out-of-fold class probabilities of the photos of the splits in `features`, in their order. Raises: CacheFull."""
    members = np.concatenate([dataset.members(split) for split in features])
    return cached_out_of_fold(np.concatenate(list(features.values())), dataset.targets[members], cache)


def mislabelled(dataset: Dataset, features: Mapping[str, NDArray[np.float32]], cache: Path) -> list[Finding]:
    """Photos of the splits in `features` whose label is likely wrong, the most likely first. Raises: CacheFull."""
    members = np.concatenate([dataset.members(split) for split in features])
    targets = dataset.targets[members]
    probabilities = out_of_fold_of(dataset, features, cache)
    if (share := accuracy(targets, probabilities)) < MIN_ACCURACY:
        print(
            f"labels are not judged: a linear model on the features is right for {share:.0%} of the photos only"
        )
        return []
    findings = []
    for number, likely in confident_disagreement(probabilities, targets):
        photo = dataset.photos[members[number]]
        seen, given = probabilities[number, likely], probabilities[number, targets[number]]
        if seen >= MIN_SEEN and given <= MAX_GIVEN:
            detail = f"{dataset.labels[likely]} {seen:.2f}, {photo.label} {given:.2f}"
            findings.append(Finding("mislabelled", photo.path, detail))
    return findings

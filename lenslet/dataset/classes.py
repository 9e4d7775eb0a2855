"""Classes of a dataset: those too small to learn, and splits that do not agree on them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from lenslet.dataset.photos import SPLITS, DatasetError, LeftOut, Listing, Photo
from lenslet.inference.printable import printable

LISTED = 12  # names; of more classes, those that differ


def small_classes(photos: Iterable[Photo], fewest: int) -> set[str]:
    """The classes with fewer photos than `fewest`."""
    return {label for label, count in Counter(photo.label for photo in photos).items() if count < fewest}


def check_listing(place: Path, listing: Listing, fewest: int, only_test: bool) -> None:
    """Raises: DatasetError if a class holds no file, fewer than two classes remain, or the splits disagree."""
    large = {photo.label for photo in listing.photos} - small_classes(listing.photos, fewest)
    empty = sorted(listing.classes - {photo.label for photo in listing.photos})
    missing = [each for each in listing.left_out if each.reason == "missing"]
    if empty and not fewest and missing:
        raise DatasetError(
            f"{place}: class {printable(repr(empty[0]))} holds no photo, and {len(missing):,} that are named were not "
            f"found ({printable(missing[0].path)}: {missing[0].detail}): is --root the folder of the photos?"
        )
    if empty and not fewest:
        raise DatasetError(
            f"{place}: class {printable(repr(empty[0]))} holds no photo: "
            "add some, or leave such classes out with --drop-small-classes 1"
        )
    if len(large) < 2:
        raise DatasetError(
            f"{place}: fewer than two classes have {fewest:,} photos: give a smaller --drop-small-classes"
        )
    if not only_test:
        _check_agreement(place, [photo for photo in listing.photos if photo.label in large])


def check_readable(
    place: Path, found: Sequence[Photo], readable: Iterable[Photo], broken: Iterable[LeftOut], fewest: int
) -> None:
    """Raises: DatasetError if all photos of a class are unreadable, unless such classes are dropped.

    `broken`: the unreadable ones of those `found`, with their reasons.
    """
    lost = sorted({photo.label for photo in found} - {photo.label for photo in readable})
    if lost and not fewest:
        files = {photo.path for photo in found if photo.label == lost[0]}
        example = next(each for each in broken if each.path in files)
        raise DatasetError(
            f"{place}: class {printable(repr(lost[0]))} has no readable photo ({printable(example.path.name)}: "
            f"{example.detail}): add some, or leave such classes out with --drop-small-classes 1"
        )


def check_splits(
    place: Path, photos: Sequence[Photo], hashes: Sequence[str], given: frozenset[str], leaks: int
) -> None:
    """Raises: DatasetError if a class is missing in a split, after `leaks` photos were left out.

    `hashes`: sha256 of each photo.
    """
    _check_room(place, photos, hashes, given)
    also = f" ({leaks:,} photos were left out as copies of others: --leaks keep uses them)" if leaks else ""
    counts = Counter(photo.label for photo in photos)
    for split in SPLITS:
        present = {photo.label for photo in photos if photo.split == split}
        scarce = min(counts, key=counts.__getitem__)
        if not present and (split in given or counts[scarce] >= len(SPLITS)):
            raise DatasetError(
                f"{place}: the {split} split is empty{also}; add photos or change its fraction in params.yaml"
            )
        missing = sorted(set(counts) - present) if present else [scarce]
        if not missing:
            continue
        name, count = printable(repr(missing[0])), counts[missing[0]]
        if split in given:
            raise DatasetError(
                f"{place}: class {name} has no photo to use in the {split} split{also}: add some, "
                f"or leave the class out with --drop-small-classes {count + 1}"
            )
        raise DatasetError(
            f"{place}: class {name} has {count:,} {'photo' if count == 1 else 'photos'}, too few to draw "
            f"{', '.join(SPLITS)} from: add some, or leave out such classes with "
            f"--drop-small-classes {max(len(SPLITS), count + 1)}"
        )


def _check_room(place: Path, photos: Sequence[Photo], hashes: Sequence[str], given: frozenset[str]) -> None:
    """Raises: DatasetError if a class cannot be in all drawn splits because its photos stay together."""
    together: dict[str, set[str]] = defaultdict(set)
    for photo, digest in zip(photos, hashes, strict=True):
        together[photo.label].add(photo.group or digest)
    counts = Counter(photo.label for photo in photos)
    drawn = {photo.split for photo in photos} - given
    wanted = {*SPLITS} - given
    for label, apart in sorted(together.items()):
        missing = wanted - {photo.split for photo in photos if photo.label == label}
        if not (missing and drawn and len(apart) < min(len(SPLITS), counts[label])):
            continue
        grouped = any(photo.group for photo in photos if photo.label == label)
        some = "group" if grouped else "different picture"
        why = "splits do not tear groups apart" if grouped else "the others are copies"
        raise DatasetError(
            f"{place}: class {printable(repr(label))} has {counts[label]:,} photos of {len(apart):,} {some}"
            f"{'s' if len(apart) > 1 else ''} ({why}), and {', '.join(SPLITS)} need one each: add others, or leave "
            "the class out"
        )


def _check_agreement(place: Path, photos: Sequence[Photo]) -> None:
    """That the splits which are there have the same classes."""
    classes = {
        split: {photo.label for photo in photos if photo.split == split}
        for split in SPLITS
        if any(photo.split == split for photo in photos)
    }
    every = set().union(*classes.values()) if classes else set()
    differing = [split for split, labels in classes.items() if labels != every]
    if not differing:
        return
    one = differing[0]
    other = next(split for split, labels in classes.items() if labels - classes[one])
    raise DatasetError(
        f"{place}: the splits have different classes: {one} has {_names(classes[one], classes[other])}, "
        f"{other} has {_names(classes[other], classes[one])}: {_likely_cause(classes[one], classes[other])}"
    )


def _names(labels: set[str], others: set[str]) -> str:
    """All labels, or, of many, those that the others lack."""
    if len(labels) <= LISTED:
        return ", ".join(printable(repr(label)) for label in sorted(labels)) or "none"
    extra = sorted(labels - others)
    if not extra:
        return "none of its own"
    more = f" and {len(extra) - LISTED:,} more" if len(extra) > LISTED else ""
    return f"{', '.join(printable(repr(label)) for label in extra[:LISTED])}{more} of its own"


def _likely_cause(labels: set[str], others: set[str]) -> str:
    by_letters = {_letters(label): label for label in labels}
    for label in sorted(others - labels):
        if same := by_letters.get(_letters(label)):
            return f"{printable(repr(same))} and {printable(repr(label))} differ only in capitals or spaces; rename one"
    return "add the missing photos, or leave the class out everywhere"


def _letters(label: str) -> str:
    """A name without capitals, spaces and signs between words."""
    return "".join(character for character in label.casefold() if character.isalnum())

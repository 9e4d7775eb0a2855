"""Unlabelled photos with the model's answers, in the order in which people should label them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lenslet.dataset.array_file import ArrayFile
from lenslet.dataset.duplicates import cluster_names, near_duplicates
from lenslet.dataset.pixel_cache import Content, cached_pixels, read_all
from lenslet.inference.classifier import Classifier, Prediction
from lenslet.inference.printable import printable
from lenslet.labelling.selection import select


@dataclass(frozen=True)
class Candidate:
    """A photo that a person should label."""

    path: Path
    sha256: str
    prediction: Prediction
    is_in_distribution: bool


@dataclass(frozen=True)
class Proposal:
    """Photos found = candidates + near copies + not needed + foreign later + left out + known."""

    found: int
    candidates: tuple[Candidate, ...]  # in the order of selection; those out of distribution come last
    near_copies: int
    not_needed: int  # surer ones, beyond the wanted count
    foreign_later: int  # out of distribution, beyond a tenth of the wanted count
    known: int  # labelled or pushed before, by checksum
    left_out: dict[Path, str]


def propose(
    paths: list[Path],
    classifier: Classifier,
    count: int,
    cache: Path,
    known: frozenset[str] = frozenset(),
) -> Proposal:
    """Choose up to `count` of the photos to label, and a tenth as many of those out of distribution.

    `known`: checksums of photos that need no label. Raises: CacheFull.
    """
    contents = read_all(paths)
    decoded = cached_pixels(contents, classifier.artifact.image_size, cache)
    readable = [row for row in range(len(contents)) if row not in decoded.unreadable]
    first = {contents[row].sha256: row for row in reversed(readable)}  # of the copies of a file
    number_known = sum(contents[row].sha256 in known for row in readable)
    fresh = sorted(row for sha256, row in first.items() if sha256 not in known)
    candidates: list[Candidate] = []
    near_copies = foreign_later = 0
    if fresh:
        photos = _Photos([contents[row] for row in fresh], decoded.pixels, decoded.rows[fresh])
        candidates, near_copies, foreign_later = _choose(photos, classifier, count, cache)
    copies = len(readable) - number_known - len(fresh) + near_copies
    return Proposal(
        found=len(paths),
        candidates=tuple(candidates),
        near_copies=copies,
        not_needed=len(readable) - number_known - copies - foreign_later - len(candidates),
        foreign_later=foreign_later,
        known=number_known,
        left_out={contents[row].path: reason for row, reason in decoded.unreadable.items()},
    )


class _Photos(NamedTuple):
    """Different photos, and where their pixels are."""

    contents: list[Content]
    pixels: ArrayFile
    rows: NDArray[np.int64]  # of `pixels`, shape (photos,)


def _choose(
    photos: _Photos, classifier: Classifier, count: int, cache: Path
) -> tuple[list[Candidate], int, int]:
    """Candidates in the order of selection, those out of distribution last; and the numbers of near copies, and of
    photos out of distribution that are not among them.
    """
    contents, pixels, rows = photos
    progress = tqdm(rows, "classifying", leave=False, disable=None)
    answers = [classifier.classify(pixels[row]) for row in progress]
    probabilities = np.stack([answer.probabilities for answer in answers])
    hashes = [content.sha256 for content in contents]
    chosen = select(
        probabilities,
        count,
        ood_scores=np.array([answer.ood_score for answer in answers]),
        ood_threshold=classifier.artifact.ood_threshold,
        groups=cluster_names(hashes, near_duplicates(pixels, rows, hashes, cache)),
    )
    foreign = chosen.out_of_distribution[: max(1, count // 10)]
    candidates = [
        Candidate(contents[number].path, hashes[number], answers[number], is_in_distribution)
        for numbers, is_in_distribution in ((chosen.chosen, True), (foreign, False))
        for number in numbers
    ]
    return candidates, len(chosen.near_copies), len(chosen.out_of_distribution) - len(foreign)


def proposal_json(proposal: Proposal) -> dict[str, Any]:
    """The same counts as plain values, for --json, and what was left out with its reason."""
    counts = {key: value for key, value in vars(proposal).items() if isinstance(value, int)}
    foreign = sum(not each.is_in_distribution for each in proposal.candidates)
    left_out = {str(path): reason for path, reason in proposal.left_out.items()}
    chosen = {"to_label": len(proposal.candidates), "out_of_distribution": foreign}
    return {**counts, **chosen, "left_out": left_out}


def proposal_text(proposal: Proposal) -> str:
    """Counts of every photo that was found."""
    foreign = sum(not each.is_in_distribution for each in proposal.candidates)
    lines = [
        f"{proposal.found:,} photos found",
        f"{len(proposal.candidates):,} to label, {foreign:,} of them out of distribution, last",
        f"{proposal.not_needed:,} not needed yet: the model is surer of them",
        f"{proposal.foreign_later:,} more out of distribution: proposed when those before them are labelled",
        f"{proposal.near_copies:,} copies or near copies of another photo",
        f"{proposal.known:,} known already",
        f"{len(proposal.left_out):,} left out",
    ]
    lines += [f"  {printable(path)}: {reason}" for path, reason in proposal.left_out.items()]
    return "\n".join(lines)

"""Unlabelled photos with the model's answers, in the order in which people should label them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lenslet.dataset.array_file import ArrayFile
from lenslet.dataset.duplicates import cluster_names, near_duplicates
from lenslet.dataset.pixel_cache import cached_pixels, read_all
from lenslet.inference.classifier import Classifier, Prediction
from lenslet.inference.printable import printable
from lenslet.labelling.selection import select

# From decoded pixels and the rows of them that are photos to features, shape (photos, channels).
Extract = Callable[[ArrayFile, NDArray[np.int64]], NDArray[np.float32]]


@dataclass(frozen=True)
class Candidate:
    """A photo that a person should label."""

    path: Path
    sha256: str
    prediction: Prediction
    is_in_distribution: bool


@dataclass(frozen=True)
class Proposal:
    """Photos found = candidates + near copies + not needed + left out + known."""

    found: int
    candidates: tuple[Candidate, ...]  # in the order of selection; those out of distribution come last
    near_copies: int
    not_needed: int  # surer ones, beyond the wanted count
    known: int  # labelled or pushed before, by checksum
    left_out: dict[Path, str]


def propose(
    paths: list[Path],
    classifier: Classifier,
    count: int,
    cache: Path,
    extract: Extract | None = None,
    known: frozenset[str] = frozenset(),
) -> Proposal:
    """Choose up to `count` of the photos to label, and a tenth as many of those out of distribution.

    `extract` gives backbone features; without it, diversity is judged by the probabilities. `known`: checksums of
    photos that need no label. Raises: CacheFull.
    """
    contents = read_all(paths)
    size = classifier.artifact.image_size
    decoded = cached_pixels(contents, size, cache)
    pixels, unreadable = decoded.pixels, decoded.unreadable
    seen: set[str] = set(known)
    rows = []
    for row, content in enumerate(contents):
        if row not in unreadable and content.sha256 not in seen:
            seen.add(content.sha256)
            rows.append(row)
    exact_copies = len(paths) - len(unreadable) - len(rows)
    number_known = sum(content.sha256 in known for content in contents)
    if not rows:
        left_out = {contents[row].path: reason for row, reason in unreadable.items()}
        return Proposal(len(paths), (), exact_copies - number_known, 0, number_known, left_out)
    members = decoded.rows[rows]
    answers = [
        classifier.classify(pixels[row]) for row in tqdm(members, "classifying", leave=False, disable=None)
    ]
    probabilities = np.stack([answer.probabilities for answer in answers])
    hashes = [contents[row].sha256 for row in rows]
    chosen = select(
        probabilities,
        extract(pixels, members) if extract else np.sqrt(probabilities),
        count,
        ood_scores=np.array([answer.ood_score for answer in answers]),
        ood_threshold=classifier.artifact.ood_threshold,
        groups=cluster_names(hashes, near_duplicates(pixels, members, hashes, cache)),
    )
    foreign = chosen.out_of_distribution[: max(1, count // 10)]
    candidates = [
        Candidate(contents[rows[number]].path, hashes[number], answers[number], is_known)
        for numbers, is_known in ((chosen.chosen, True), (foreign, False))
        for number in numbers
    ]
    copies = exact_copies - number_known + len(chosen.near_copies)
    return Proposal(
        found=len(paths),
        candidates=tuple(candidates),
        near_copies=copies,
        not_needed=len(paths) - len(candidates) - copies - number_known - len(unreadable),
        known=number_known,
        left_out={contents[row].path: reason for row, reason in unreadable.items()},
    )


def proposal_text(proposal: Proposal) -> str:
    """Counts of every photo that was found."""
    foreign = sum(not each.is_in_distribution for each in proposal.candidates)
    lines = [
        f"{proposal.found:,} photos found",
        f"{len(proposal.candidates):,} to label, {foreign:,} of them out of distribution, last",
        f"{proposal.not_needed:,} not needed yet: the model is surer of them",
        f"{proposal.near_copies:,} copies or near copies of another photo",
        f"{proposal.known:,} known already",
        f"{len(proposal.left_out):,} left out",
    ]
    lines += [f"  {printable(path)}: {reason}" for path, reason in proposal.left_out.items()]
    return "\n".join(lines)

"""Recommendations from the figures of an evaluation: which class needs photos, which pairs to look at."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lenslet.evaluation.few_photos import MIN_CLASS_PHOTOS, MIN_TEST_PHOTOS, are_few

GOOD_RECALL = 0.9
PAIRS_SHOWN = 20
MIN_PAIR_PHOTOS = 2  # a single photo is no confusion of two classes


def next_steps(
    figures: Mapping[str, float],
    labels: Sequence[str],
    counts: NDArray[np.int64],
    learned: Mapping[str, int],
) -> list[str]:
    """Sentences, the most useful first.

    `counts` as from `metrics.confusion`; `learned`: label → number of training photos, empty if unknown.
    """
    steps = []
    if are_few(figures):
        steps.append(
            f"Add photos: with {MIN_TEST_PHOTOS} test photos or more (about {10 * MIN_TEST_PHOTOS} in all, of which a "
            "tenth is kept for the test) the figures mean something. Or put more into a folder test/ of their own."
        )
    elif small := int((counts.sum(axis=1) < MIN_CLASS_PHOTOS).sum()):
        steps.append(
            f"Add photos: {small:,} of {len(labels):,} classes have fewer than {MIN_CLASS_PHOTOS} test photos, too few "
            f"to say how often each is found. About {10 * MIN_CLASS_PHOTOS} photos of a class leave that many."
        )
    photos, found = counts.sum(axis=1), counts.diagonal()
    tested = [row for row in range(len(labels)) if photos[row] >= MIN_CLASS_PHOTOS]
    for row in sorted(tested, key=lambda row: found[row] / photos[row])[:2]:
        if found[row] / photos[row] < GOOD_RECALL:
            label = labels[row]
            have = f", of which the model learned from {learned[label]:,}" if label in learned else ""
            steps.append(f"Add photos of {label}{have}: only {found[row]:,} of {photos[row]:,} are found.")
    for true, predicted, taken, share in confused_pairs(labels, counts)[:2]:
        steps.append(
            f"Look at photos of {true} that are taken for {predicted} ({taken:,}, {100 * share:.0f} % of them): "
            "can people tell them apart, and are they labelled alike?"
        )
    steps.append(
        "Let lenslet lint show labels that may be wrong: each one mended counts as much as a new photo."
    )
    return steps


def confused_pairs(labels: Sequence[str], counts: NDArray[np.int64]) -> list[tuple[str, str, int, float]]:
    """True label, predicted label, number of photos, and their share of the true label's; the most frequent first."""
    mistakes = np.where(np.eye(len(labels), dtype=bool) | (counts < MIN_PAIR_PHOTOS), 0, counts)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:PAIRS_SHOWN]
    pairs = []
    for true, predicted in (np.unravel_index(place, counts.shape) for place in order if mistakes.flat[place]):
        photos = int(counts[true, predicted])
        pairs.append((labels[true], labels[predicted], photos, float(photos / counts[true].sum())))
    return pairs

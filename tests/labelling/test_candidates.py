"""Photos to label, of a folder with copies, known and unreadable photos: every one is counted once."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lenslet.inference.classifier import Classifier
from lenslet.inference.decode import decode
from lenslet.labelling.candidates import proposal_text, propose

SAMPLE = Path("data/sample/test")


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load(Path("model"))


def test_every_photo_is_counted_once(classifier: Classifier, tmp_path: Path) -> None:
    photos = sorted(SAMPLE.glob("*/*.jpg"))[:8]
    copy, damaged, missing = tmp_path / "copy.jpg", tmp_path / "damaged.jpg", tmp_path / "missing.jpg"
    copy.write_bytes(photos[7].read_bytes())
    damaged.write_bytes(photos[6].read_bytes()[:40])
    known = frozenset({hashlib.sha256(photos[0].read_bytes()).hexdigest()})
    found = propose([*photos, copy, damaged, missing], classifier, 3, tmp_path / "cache", known=known)
    assert (found.found, found.known, found.near_copies, found.not_needed) == (11, 1, 1, 4)
    assert len(found.candidates) == 3
    assert set(found.left_out) == {damaged, missing}
    assert not {copy, photos[0]} & {each.path for each in found.candidates}


def test_most_uncertain_photo_is_first_and_foreign_ones_are_last(
    classifier: Classifier, tmp_path: Path
) -> None:
    photos = sorted(SAMPLE.glob("*/*.jpg"))
    found = propose(photos, classifier, 1, tmp_path / "cache").candidates
    assert [each.is_in_distribution for each in found] == [True, False]
    size = classifier.artifact.image_size
    answers = {path: classifier.classify(decode(path.read_bytes(), size)) for path in photos}
    margins = {}
    for path, answer in answers.items():
        second, first = np.sort(answer.probabilities)[-2:]
        if answer.is_in_distribution:
            margins[path] = first - second
    assert found[0].path == min(margins, key=lambda path: margins[path])
    assert found[1].path == max(photos, key=lambda path: answers[path].ood_score)


def test_foreign_photos_beyond_a_tenth_are_not_called_surer(classifier: Classifier, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = sorted(SAMPLE.glob("*/*.jpg"))[:4]
    for number in range(3):
        path = tmp_path / f"noise-{number}.png"
        Image.fromarray(rng.integers(0, 256, (160, 160, 3), np.uint8)).save(path)
        paths.append(path)
    found = propose(paths, classifier, 10, tmp_path / "cache")
    foreign = sum(not each.is_in_distribution for each in found.candidates)
    assert (foreign, found.foreign_later, found.not_needed) == (1, 2, 0)
    assert "2 more out of distribution" in proposal_text(found)


def test_folder_of_known_photos_needs_no_label(classifier: Classifier, tmp_path: Path) -> None:
    photos = sorted(SAMPLE.glob("*/*.jpg"))[:2]
    known = frozenset(hashlib.sha256(path.read_bytes()).hexdigest() for path in photos)
    found = propose(photos, classifier, 3, tmp_path / "cache", known=known)
    assert (found.found, found.known, found.near_copies, found.not_needed) == (2, 2, 0, 0)
    assert found.candidates == ()

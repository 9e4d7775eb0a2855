"""What the staging check sends, and how it judges answers; expected figures by hand."""

from pathlib import Path

import numpy as np
import pytest
import requests

from lenslet.checks import acceptance
from lenslet.checks.endpoint import CheckError
from lenslet.checks.labelled_photos import CLEAN, LabelledRequest, Outcome, png, prepare, probabilities_of
from lenslet.config import read_params
from lenslet.dataset.photos import Photo
from lenslet.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from lenslet.inference.classifier import Classifier
from lenslet.inference.decode import decode
from tests.support.endpoint import ROOT

SAMPLE = ROOT / "data" / "sample" / "test"
SHIPPED = read_params(ROOT / "params.yaml").endpoint
LABELS = ("cat", "dog")
CAT = Photo(Path("cat/1.jpg"), "cat", None)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load(ROOT / "model")


# --- what is sent


def test_corrupted_pictures_arrive_unchanged() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    damaged = corrupt(picture, "gaussian_noise", 3, seed=0)
    assert (decode(png(damaged), 16) == damaged).all()


@pytest.mark.slow
def test_every_photo_is_sent_and_some_under_every_damage(classifier: Classifier) -> None:
    photos = acceptance.choose_photos(SAMPLE, classifier.artifact, 4)
    sent = prepare(photos, 2, classifier)
    assert [each.cell for each in sent[:4]] == [CLEAN] * 4
    assert [each.data for each in sent[:4]] == [photo.path.read_bytes() for photo in photos]
    assert len(sent) == 4 + 2 * 9 * 5
    assert {each.photo for each in sent[4:]} == {photos[0], photos[3]}
    assert sent[4].data != sent[5].data
    again = prepare(photos, 2, classifier)
    assert [each.data for each in again] == [each.data for each in sent]


def test_photos_are_spread_over_the_folder(classifier: Classifier) -> None:
    chosen = acceptance.choose_photos(SAMPLE.parent, classifier.artifact, 12)
    assert {photo.split for photo in chosen} == {"test"}
    assert [photo.label for photo in chosen] == sorted([*classifier.artifact.labels] * 2)


# --- how answers are judged


def outcome(cell: tuple[str, int], served: list[float] | None, seconds: float = 0.1) -> Outcome:
    """The photo is a cat, and the local model says so with 0.75."""
    request = LabelledRequest(cell, CAT, b"", 0, np.array([0.75, 0.25]))
    return Outcome(
        request, None if served is None else np.array(served), "" if served else "lost", seconds, 0
    )


@pytest.mark.parametrize(
    ("served", "is_same"),
    [
        ([0.75, 0.25], True),
        ([0.7505, 0.2495], True),
        ([0.752, 0.248], False),
        ([0.25, 0.75], False),
        (None, False),
    ],
)
def test_agreement(served: list[float] | None, is_same: bool) -> None:
    assert outcome(CLEAN, served).agrees(0.001) is is_same


def test_labels_must_be_the_same_however_close_the_probabilities() -> None:
    request = LabelledRequest(CLEAN, CAT, b"", 0, np.array([0.5001, 0.4999]))
    assert not Outcome(request, np.array([0.4999, 0.5001]), "", 0.1, 0).agrees(0.001)


RIGHT, WRONG = [0.75, 0.25], [0.25, 0.75]


def test_figures_by_hand() -> None:
    cells = [(kind, severity) for kind in CORRUPTIONS for severity in SEVERITIES]
    outcomes = [outcome(cell, RIGHT) for cell in [CLEAN, CLEAN, *cells]]
    outcomes += [outcome(cell, RIGHT) for cell in cells[9:]]
    outcomes += [outcome(cell, WRONG, seconds=2.0) for cell in cells[:9]]  # half of nine cells
    report = acceptance.measure_endpoint(outcomes, len(outcomes), SHIPPED, LABELS)
    assert report["figures"] == pytest.approx(
        {"accuracy": 1, "robustness_mean": 0.9, "robustness_worst": 0.5, "agreement": 1 - 9 / 92}
        | {"errors": 0, "p95_ms": 2000}
    )  # fmt: skip
    assert report["accuracies"]["gaussian_noise"] == [0.5] * 5
    assert report["latency_ms"] == pytest.approx({"p50": 100, "p95": 2000, "p99": 2000, "slowest": 2000})
    assert len(report["differences"]) == 9
    assert report["differences"][0] == "cat/1.jpg, gaussian_noise 1: dog 0.7500, here cat 0.7500"
    failed = [verdict.metric for verdict in report["verdicts"] if not verdict.is_kept]
    assert failed == ["agreement", "p95_ms"]


def test_no_answer_is_a_wrong_one() -> None:
    outcomes = [outcome(CLEAN, RIGHT), outcome(CLEAN, None), *[outcome(("contrast", 1), RIGHT)] * 2]
    figures = acceptance.measure_endpoint(outcomes, 4, SHIPPED, LABELS)["figures"]
    assert (figures["accuracy"], figures["errors"], figures["agreement"]) == (0.5, 0.25, 1)


def test_endpoint_that_broke_down_keeps_no_limit_that_was_not_measured() -> None:
    report = acceptance.measure_endpoint([outcome(CLEAN, RIGHT), outcome(CLEAN, None)], 600, SHIPPED, LABELS)
    assert [verdict.metric for verdict in report["verdicts"] if verdict.value is not None] == ["errors"]
    assert not any(verdict.is_kept for verdict in report["verdicts"])
    assert "given up after 2 requests" in acceptance.acceptance_text(report)


@pytest.mark.parametrize(
    ("status", "text", "complaint"),
    [
        (500, "no", "status 500: no"),
        (200, "<html>", "is not a prediction"),
        (200, "[]", "no predictions"),
        (200, '{"predictions": 5}', "is not a prediction"),
        (200, '{"predictions": [{"label": "cat", "probability": 1}]}', "labels are cat"),
        (200, '{"predictions": [{"label": "cat", "probability": "?"}]}', "is not a prediction"),
        (200, '{"predictions": [{"label": "cat", "probability": NaN}, {"label": "dog", "probability": 1}]}', "no"),
    ],
)  # fmt: skip
def test_answer_that_is_no_prediction(status: int, text: str, complaint: str) -> None:
    response = requests.Response()
    response.status_code, response._content = status, text.encode()
    with pytest.raises(CheckError, match=complaint):
        probabilities_of(response, LABELS)

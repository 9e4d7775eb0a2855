"""Answers of a model with thousands of labels."""

import json
from types import SimpleNamespace

import numpy as np

from lenslet.inference.classifier import Prediction
from lenslet.serving.answer import answer
from lenslet.serving.request import PredictRequest
from tests.support.photos import quadrants, saved

LABELS = tuple(f"a species with a rather long name of {number:04}" for number in range(5000))
LAMBDA_LIMIT_BYTES = 6_291_556


def classifier():
    probabilities = np.arange(1, 5001, dtype=np.float32)
    prediction = Prediction(LABELS, probabilities / probabilities.sum(), None, 0.5, probabilities, 0.0, 0.05)
    artifact = SimpleNamespace(image_size=32, explanation={}, name="many", version="0" * 12, labels=LABELS)
    return SimpleNamespace(artifact=artifact, classify=lambda pixels: prediction)


def test_batch_stays_below_the_limit_of_lambda():
    photo = saved(quadrants("RGBY"), "PNG")
    request = PredictRequest((lambda: photo,) * 16, is_batch=True, top=None, explain=None)
    found = answer(request, classifier())
    assert len(json.dumps(found)) < LAMBDA_LIMIT_BYTES
    first = found["results"][0]["predictions"]
    assert (len(first), first[0]["label"]) == (100, "a species with a rather long name of 4999")


def test_more_labels_are_answered_on_request():
    request = PredictRequest(
        (lambda: saved(quadrants("RGBY"), "PNG"),), is_batch=False, top=300, explain=None
    )
    assert len(answer(request, classifier())["predictions"]) == 300

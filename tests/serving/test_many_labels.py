"""Answers of a model with thousands of long labels, through the function's handler."""

import base64
import json
from bisect import bisect_left
from types import SimpleNamespace

import numpy as np
import pytest

import lambda_func
from lenslet.inference.classifier import Prediction
from lenslet.serving.models import Models
from tests.support.photos import quadrants, saved

LABELS = tuple(f"a species with a name of a hundred letters {'x' * 52}{number:05}" for number in range(5000))
LAMBDA_LIMIT_BYTES = 6_291_556
IMAGE = {"image": base64.b64encode(saved(quadrants("RGBY"), "PNG")).decode()}


@pytest.fixture
def ask(monkeypatch):
    """The function with such a model, nearly all of whose labels are in each prediction set."""
    probabilities = np.arange(1, 5001, dtype=np.float32)
    prediction = Prediction(LABELS, probabilities / probabilities.sum(), None, 1.0, probabilities, 0.0, 0.05)
    artifact = SimpleNamespace(image_size=32, explanation={}, name="many", version="0" * 12, labels=LABELS)
    model = SimpleNamespace(artifact=artifact, classify=lambda pixels: prediction)
    monkeypatch.setattr(lambda_func, "models", Models.alone(model))

    def call(content):
        """Answer of an HTTP API: status and JSON, and bytes of what the function returns to Lambda."""
        http = {"method": "POST", "path": "/predict", "sourceIp": "127.0.0.1"}
        event = {
            "version": "2.0", "rawPath": "/predict", "rawQueryString": "", "isBase64Encoded": False,
            "requestContext": {"stage": "$default", "http": http},
            "headers": {"content-type": "application/json"}, "body": json.dumps(content),
        }  # fmt: skip
        returned = lambda_func.handler(event, None)
        return returned["statusCode"], json.loads(returned["body"]), len(json.dumps(returned))

    return call


def test_batch_stays_below_the_limit_of_lambda(ask):
    assert {len(label) for label in LABELS} == {100}
    status, answer, size = ask({"images": [IMAGE] * 16})
    assert (status, len(answer["results"])) == (200, 16)
    assert size < LAMBDA_LIMIT_BYTES
    first = answer["results"][0]
    assert (len(first["predictions"]), first["predictions"][0]["label"]) == (100, LABELS[4999])
    assert first["prediction_set"] == [LABELS[number] for number in range(4999, 4899, -1)]
    # Labels k … 5000 of weights k have 1 − k²/5000² of the sum: 95 % from k = 1118 on.
    assert first["prediction_set_size"] == pytest.approx(5000 - 1118, abs=2)
    assert first["is_certain"] is False


def test_more_labels_are_answered_on_request(ask):
    status, answer, _ = ask({**IMAGE, "top": 5000})
    assert (status, len(answer["predictions"])) == (200, 5000)


def test_more_than_lambda_returns_is_refused(ask):
    status, answer, size = ask({"images": [IMAGE] * 16, "top": 5000})
    assert (status, answer["error"]["code"]) == (400, "bad_request")
    assert (
        "at most 6 can be sent: ask for fewer labels with `top`, or for fewer images"
        in answer["error"]["message"]
    )
    assert size < LAMBDA_LIMIT_BYTES


@pytest.mark.slow
def test_largest_answer_that_is_sent_fits(ask):
    """Just below the limit, with the quotes that a proxy response escapes."""
    tops = range(2000, 3000, 10)
    too_large = bisect_left(tops, True, key=lambda top: ask({"images": [IMAGE] * 16, "top": top})[0] != 200)
    assert 0 < too_large < len(tops)
    status, _, size = ask({"images": [IMAGE] * 16, "top": tops[too_large - 1]})
    assert status == 200
    assert 0.98 * LAMBDA_LIMIT_BYTES < size < LAMBDA_LIMIT_BYTES

"""The function, called as AWS calls it."""

import base64
import io
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
from PIL import Image

import lambda_func
import lenslet.serving.request
from lenslet.inference.classifier import Prediction
from lenslet.inference.errors import LinkFailed, LinkRefused, LinkTimeout
from lenslet.serving.models import Models
from tests.support.function_log import write_metrics

ROOT = Path(__file__).parents[2]
ALPHA = 0.25  # one label is certain from a probability of 0.75
EVENTS = ROOT / "tests" / "events"

# Event file → the answer's HTTP status (None for a direct invoke, which has none) and error code.
ANSWERS = {
    "rest_predict_image": (200, None),
    "rest_predict_body_in_base64": (200, None),
    "rest_predict_raw_jpeg": (200, None),
    "rest_describe": (200, None),
    "rest_preflight": (204, None),
    "rest_body_missing": (400, "bad_request"),
    "rest_headers_null": (200, None),
    "http_api_predict_image": (200, None),
    "http_api_predict_data_url": (200, None),
    "http_api_predict_batch": (200, None),
    "http_api_describe": (200, None),
    "http_api_health": (200, None),
    "http_api_preflight": (204, None),
    "http_api_unknown_path": (404, "not_found"),
    "http_api_wrong_method": (405, "method_not_allowed"),
    "http_api_bad_json": (400, "bad_request"),
    "http_api_json_is_a_list": (400, "bad_request"),
    "http_api_bad_base64": (400, "bad_request"),
    "http_api_unknown_field": (400, "bad_request"),
    "http_api_top_is_text": (400, "bad_request"),
    "http_api_two_sources": (400, "bad_request"),
    "http_api_not_an_image": (415, "not_an_image"),
    "http_api_truncated_image": (422, "broken_image"),
    "http_api_too_many_pixels": (413, "image_too_large"),
    "http_api_link_refused": (422, "link_refused"),
    "function_url_predict_raw_png": (200, None),
    "function_url_predict_image": (200, None),
    "function_url_describe": (200, None),
    "function_url_health": (200, None),
    "function_url_models": (200, None),
    "function_url_feedback": (404, "not_found"),  # off, as nothing has switched it on
    "function_url_feedback_unknown_label": (404, "not_found"),
    "function_url_raw_unknown_parameter": (400, "bad_request"),
    "function_url_raw_empty": (400, "bad_request"),
    "function_url_json_not_utf8": (400, "bad_request"),
    "direct_predict_image": (None, None),
    "direct_predict_explained": (None, None),
    "direct_predict_batch": (None, None),
    "direct_empty": (None, "bad_request"),
    "direct_unknown_field": (None, "bad_request"),
    "direct_not_an_image": (None, "not_an_image"),
}
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, Authorization, X-Api-Key",
    "Access-Control-Max-Age": "7200",
    "Access-Control-Expose-Headers": "Retry-After",
}


def read_event(name):
    return json.loads((EVENTS / f"{name}.json").read_text())


def ask(event):
    """(status, parsed body) of an HTTP event; the status of a direct invoke is None."""
    answer = lambda_func.handler(event, None)
    if "statusCode" not in answer:
        return None, answer
    return answer["statusCode"], json.loads(answer["body"]) if answer["body"] else None


def post(body, content_type="application/json", is_base64=False, query=None):
    """A Function URL's event of POST /predict."""
    event = read_event("function_url_predict_image")
    event["headers"]["content-type"] = content_type
    return {**event, "body": body, "isBase64Encoded": is_base64, "queryStringParameters": query}


def png(colour=(200, 30, 10)):
    file = io.BytesIO()
    Image.new("RGB", (24, 16), colour).save(file, "PNG")
    return file.getvalue()


def encoded(data):
    return base64.b64encode(data).decode()


class FakeClassifier:
    """Answers every picture as `classify` is told to."""

    artifact = SimpleNamespace(name="fake", version="0123456789ab", image_size=8, explanation={})

    def __init__(self, classify):
        self.classify = classify


def fixed(probabilities, activation_map=None, threshold=0.15, is_in_distribution=False):
    logits = np.zeros(3, np.float32)  # OOD score: −log 3, about -1.1
    prediction = Prediction(
        ("cat", "dog", "eel"),
        np.array(probabilities, np.float32),
        activation_map,
        threshold,
        logits,
        -1.0 if is_in_distribution else -1.2,
        ALPHA,
    )
    return FakeClassifier(lambda pixels: prediction)


@pytest.fixture(autouse=True)
def output(capsys, monkeypatch):
    """A function that gives the lines printed since its last call, as JSON objects."""
    write_metrics(monkeypatch)
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_event_file_has_its_line_in_the_table():
    assert sorted(path.stem for path in EVENTS.glob("*.json")) == sorted(ANSWERS)


@pytest.mark.parametrize(("name", "status", "code"), [(name, *answer) for name, answer in ANSWERS.items()])
def test_status_and_error_code(name, status, code):
    found_status, answer = ask(read_event(name))
    assert found_status == status
    error = (answer or {}).get("error")
    assert (error and error["code"]) == code
    if code:
        assert answer.keys() == {"error"}
        assert error.keys() == {"code", "message"}


@pytest.mark.parametrize("name", [name for name, (status, _) in ANSWERS.items() if status])
def test_cors_headers_on_every_answer(name):
    answer = lambda_func.handler(read_event(name), None)
    assert {header: answer["headers"].get(header) for header in CORS} == CORS
    assert isinstance(answer["body"], str)
    assert answer["isBase64Encoded"] is False


def test_wrong_method_names_the_right_ones():
    assert (
        lambda_func.handler(read_event("http_api_wrong_method"), None)["headers"]["Allow"] == "POST, OPTIONS"
    )


@pytest.mark.parametrize("name", ["rest_describe", "http_api_describe", "http_api_health"])
def test_head_is_answered_as_get(name):
    event = read_event(name)
    got = lambda_func.handler(event, None)
    if "httpMethod" in event:
        event["httpMethod"] = "HEAD"
    else:
        event["requestContext"]["http"]["method"] = "HEAD"
    assert lambda_func.handler(event, None) == got
    assert got["statusCode"] == 200


@pytest.mark.parametrize("stage", [{}, {"stage": None}, {"stage": ""}])
def test_event_without_a_stage_has_none_in_its_path(stage):
    event = read_event("http_api_health")
    event["requestContext"] = {"http": {"method": "GET"}, **stage}
    event["routeKey"] = "$default"
    paths = {"/health": 200, "/None/health": 404, "//health": 404}
    assert {path: ask(event | {"rawPath": path})[0] for path in paths} == paths


def test_answer_is_the_same_for_every_form_of_request():
    answers = [
        ask(read_event(name))[1]
        for name in ("rest_predict_image", "function_url_predict_image", "direct_predict_image")
    ]
    assert answers[0] == answers[1] == answers[2]
    raw, of_json = (
        ask(read_event("function_url_predict_raw_png"))[1],
        ask(read_event("http_api_predict_image"))[1],
    )
    assert raw["predictions"][:3] == of_json["predictions"]


def test_prediction_of_the_shipped_model():
    _, model = ask(read_event("http_api_describe"))
    _, answer = ask(read_event("direct_predict_image"))
    assert sorted(each["label"] for each in answer["predictions"]) == sorted(model["labels"])
    assert sum(each["probability"] for each in answer["predictions"]) == pytest.approx(1, abs=1e-5)
    assert answer["model"] == {"name": model["name"], "version": model["version"]}
    assert answer.keys() == {
        "predictions",
        "is_certain",
        "prediction_set",
        "is_in_distribution",
        "ood_score",
        "model",
    }


def test_answer_is_ranked_rounded_and_explained(monkeypatch):
    evidence = np.zeros((2, 2, 3), np.float32)
    evidence[:, :, 1] = [[-1, 0], [1 / 3, 2]]
    monkeypatch.setattr(lambda_func, "models", Models.alone(fixed([0.2, 2 / 3, 0.4 / 3], evidence)))
    assert ask({"image": encoded(png()), "explain": True})[1] == {
        "predictions": [
            {"label": "dog", "probability": 0.666667},
            {"label": "cat", "probability": 0.2},
            {"label": "eel", "probability": 0.133333},
        ],
        "is_certain": False,
        "prediction_set": ["dog", "cat"],
        "is_in_distribution": False,
        "ood_score": -1.0986,  # −log 3
        "model": {"name": "fake", "version": "0123456789ab"},
        "explanation": {"kind": "activation_map", "label": "dog", "grid": [[0.0, 0.333], [0.444, 1.0]]},
    }


def test_explanation_is_null_where_the_model_has_no_map(monkeypatch):
    monkeypatch.setattr(lambda_func, "models", Models.alone(fixed([0.1, 0.8, 0.1])))
    _, answer = ask({"image": encoded(png()), "explain": True})
    assert answer["explanation"] is None
    assert answer["is_certain"] is True


def darkness(pixels):
    """A model that finds "dog" in what is dark in the upper left quarter, and nothing else."""
    logits = np.array([0.0, (255 - pixels[:4, :4].astype(float)).mean(), -1.0], np.float32)
    probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    return Prediction(("cat", "dog", "eel"), probabilities, None, 0.5, logits, 0.0, ALPHA)


@pytest.mark.parametrize("is_raw", [False, True])
def test_occlusion_explains_a_model_without_a_map(monkeypatch, is_raw):
    calls = []
    classify = FakeClassifier(lambda pixels: calls.append(1) or darkness(pixels))
    monkeypatch.setattr(lambda_func, "models", Models.alone(classify))
    pixels = np.full((8, 8, 3), 255, np.uint8)
    pixels[0, 0] = 0
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    event = {"image": encoded(file.getvalue()), "explain": "occlusion"}
    if is_raw:
        event = post(event["image"], "image/png", is_base64=True, query={"explain": "occlusion"})
    explanation = ask(event)[1]["explanation"]
    assert (explanation["kind"], explanation["label"]) == ("occlusion", "dog")
    assert np.shape(explanation["grid"]) == (6, 6)
    assert np.argmax(explanation["grid"]) == 0
    assert [row[4:] for row in explanation["grid"]] == [explanation["grid"][5][4:]] * 6
    assert len(calls) <= 64


def test_batch_with_occlusion_has_a_time_limit(monkeypatch):
    def slowly(pixels):
        began = time.thread_time()
        while time.thread_time() - began < 0.01:
            pass
        return darkness(pixels)

    monkeypatch.setattr(lambda_func, "models", Models.alone(FakeClassifier(slowly)))
    monkeypatch.setattr("lenslet.serving.answer.BATCH_LIMIT_S", 0.3)
    _, answer = ask({"images": [{"image": PICTURE}] * 4, "explain": "occlusion"})
    found = [result.get("error", {}).get("code") for result in answer["results"]]
    assert found == [None, None, "image_too_large", "image_too_large"]


@pytest.mark.parametrize(("top", "count"), [(1, 1), (2, 2), (3, 3), (4, 3), (999_999_999, 3)])
def test_top_limits_the_labels(monkeypatch, top, count):
    monkeypatch.setattr(lambda_func, "models", Models.alone(fixed([0.1, 0.8, 0.1])))
    assert len(ask({"image": PICTURE, "top": float(top)})[1]["predictions"]) == count
    assert len(ask({"image": PICTURE, "top": top})[1]["predictions"]) == count
    _, answer = ask(post(encoded(png()), "image/png", is_base64=True, query={"top": str(top)}))
    assert len(answer["predictions"]) == count


def test_batch_keeps_its_order_around_an_error():
    _, answer = ask(read_event("http_api_predict_batch"))
    first, second, third = answer["results"]
    assert first["predictions"] == ask({**read_event("direct_predict_image"), "top": 1})[1]["predictions"]
    assert second == {
        "error": {
            "code": "not_an_image",
            "message": "the data are not an image we read (JPEG, PNG, WEBP, GIF, BMP, TIFF, AVIF, HEIC)",
        }
    }
    assert third["predictions"] == ask(read_event("function_url_predict_raw_png"))[1]["predictions"][:1]


def test_batch_of_one_is_still_a_batch():
    _, answer = ask({"images": [{"image": encoded(png())}]})
    assert len(answer["results"]) == 1


@pytest.mark.parametrize(("limit", "seconds"), [("BATCH_LIMIT_S", 0.3), ("MOST_BATCH_S", 0.55)])
def test_batch_has_a_time_limit(limit, seconds, monkeypatch):
    def slowly(pixels):
        began = time.thread_time()
        while time.thread_time() - began < 0.2:
            pass
        return fixed([0.2, 0.7, 0.1]).classify(pixels)

    monkeypatch.setattr(lambda_func, "models", Models.alone(FakeClassifier(slowly)))
    monkeypatch.setattr(f"lenslet.serving.answer.{limit}", seconds)
    _, answer = ask({"images": [{"image": PICTURE}] * 4})
    found = [result.get("error", {}).get("code") for result in answer["results"]]
    assert found == [None, None, "image_too_large", "image_too_large"]


def test_links_of_a_batch_are_fetched_concurrently(monkeypatch):
    everyone = threading.Barrier(3, timeout=10)
    allowances = set()

    def fetch(link, allowance):
        allowances.add(allowance)
        everyone.wait()  # breaks unless all three are under way at once
        if link.endswith("slow"):
            raise LinkTimeout("too slow")
        return png()

    monkeypatch.setattr(lenslet.serving.request, "_fetch", fetch)
    links = [{"url": f"https://example.com/{name}"} for name in ("a", "slow", "b")]
    _, answer = ask({"images": links})
    assert ["error" in result for result in answer["results"]] == [False, True, False]
    assert answer["results"][1]["error"] == {"code": "link_timeout", "message": "too slow"}
    assert len(allowances) == 1


PICTURE = encoded(png())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([], "the request must be a JSON object"),
        ("text", "the request must be a JSON object"),
        (None, "the request must be a JSON object"),
        ({}, "exactly one of url, image, images is needed, not none"),
        ({"top": 1}, "exactly one of url, image, images is needed, not none"),
        (
            {"image": PICTURE, "images": []},
            "exactly one of url, image, images is needed, not image and images",
        ),
        ({"image": PICTURE, "url": None}, "exactly one of url, image, images is needed, not url and image"),
        (
            {"image": PICTURE, "Top": 1},
            "unknown field 'Top'; known are url, image, images, top, explain, model",
        ),
        ({"image": 7}, "image must be a string"),
        ({"image": None}, "image must be a string"),
        ({"image": [PICTURE]}, "image must be a string"),
        ({"url": {"href": "https://example.com"}}, "url must be a string"),
        ({"image": PICTURE, "top": 0}, "top must be a whole number from 1 to 999,999,999, not 0"),
        ({"image": PICTURE, "top": -1}, "top must be a whole number from 1 to 999,999,999, not -1"),
        ({"image": PICTURE, "top": 1.5}, "top must be a whole number from 1 to 999,999,999, not 1.5"),
        ({"image": PICTURE, "top": True}, "top must be a whole number from 1 to 999,999,999, not True"),
        ({"image": PICTURE, "top": None}, "top must be a whole number from 1 to 999,999,999, not None"),
        ({"image": PICTURE, "explain": 1}, 'explain must be true, false or "occlusion", not 1'),
        ({"image": PICTURE, "explain": "true"}, "explain must be true, false or \"occlusion\", not 'true'"),
        ({"images": []}, "images must be a list of 1 to 16 objects"),
        ({"images": [{"image": PICTURE}] * 17}, "images must be a list of 1 to 16 objects"),
        ({"images": {"image": PICTURE}}, "images must be a list of 1 to 16 objects"),
        ({"images": [{"image": PICTURE}, PICTURE]}, 'images[1] must be {"url": …} or {"image": …}'),
        ({"images": [{}]}, 'images[0] must be {"url": …} or {"image": …}'),
        ({"images": [{"image": PICTURE, "url": "x"}]}, 'images[0] must be {"url": …} or {"image": …}'),
        ({"images": [{"photo": PICTURE}]}, "unknown field in images[0] 'photo'; known are url, image"),
        ({"images": [{"image": PICTURE}, {"url": 3}]}, "images[1].url must be a string"),
        ({"image": ""}, "the image is empty"),
        ({"image": "data:image/png;base64,"}, "the image is empty"),
        ({"image": "data:image/png,abcd"}, "the data URL must begin with data:<type>;base64,"),
        ({"image": "data:image/png;base64"}, "the data URL must begin with data:<type>;base64,"),
        (
            {"image": "AAAAA"},
            "the image is not valid base64: it is cut off, or padding stands before its end",
        ),
        (
            {"image": "=" + PICTURE},
            "the image is not valid base64: it is cut off, or padding stands before its end",
        ),
        (
            {"image": PICTURE[:9] + "\u00e9" + PICTURE},
            "the image is not valid base64: its character number 10, '\\xe9', is none of base64",
        ),
        (
            {"image": "\ud800"},
            "the image is not valid base64: its character number 1, '\\ud800', is none of base64",
        ),
    ],
)
def test_bad_request_says_what_is_wrong(fields, message):
    assert ask(fields)[1] == {"error": {"code": "bad_request", "message": message}}
    status, answer = ask(post(json.dumps(fields)))
    assert (status, answer["error"]["message"]) == (400, message)


@pytest.mark.parametrize(
    ("body", "is_base64"),
    [
        ("", False),
        (None, False),
        ("image=abc", False),
        ('{"image": "\ud800"', False),
        ("[" * 9_000, False),
        ('{"image": "", "top": ' + "9" * 5000 + "}", False),
        (encoded('{"image": ""}'.encode("utf-16")), True),
        (encoded(b"\xff\xd8\xff\xe0"), True),
    ],
)
def test_body_that_is_not_json(body, is_base64):
    status, answer = ask(post(body, is_base64=is_base64))
    assert status == 400
    assert answer["error"]["message"].startswith("the body is not JSON")


def test_broken_base64_of_the_event_itself():
    status, answer = ask(post("%%%", "image/png", is_base64=True))
    assert (status, answer["error"]["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"top": "0"}, "top must be a whole number from 1 to 999,999,999, not 0"),
        ({"top": "two"}, "top must be a whole number from 1 to 999,999,999, not 'two'"),
        ({"top": "-1"}, "top must be a whole number from 1 to 999,999,999, not '-1'"),
        ({"top": "1,2"}, "top must be a whole number from 1 to 999,999,999, not '1,2'"),
        ({"top": ""}, "top must be a whole number from 1 to 999,999,999, not ''"),
        ({"top": "true"}, "top must be a whole number from 1 to 999,999,999, not True"),
        ({"top": "٣"}, "top must be a whole number from 1 to 999,999,999, not '٣'"),
        ({"explain": "yes"}, "explain must be true, false or \"occlusion\", not 'yes'"),
        ({"explain": "1"}, 'explain must be true, false or "occlusion", not 1'),
        ({"url": "https://example.com"}, "unknown query parameter 'url'; known are top, explain, model"),
    ],
)
def test_bad_query_parameters_of_a_raw_image(query, message):
    status, answer = ask(post(encoded(png()), "image/png", is_base64=True, query=query))
    assert (status, answer["error"]["message"]) == (400, message)


def test_thousands_of_digits_in_a_query_parameter():
    query = {"top": "9" * 5000}  # more than Python turns into a number
    status, answer = ask(post(encoded(png()), "image/png", is_base64=True, query=query))
    assert (status, answer["error"]["code"]) == (400, "bad_request")
    assert len(answer["error"]["message"]) < 200


def test_query_parameters_beside_json_are_refused_not_ignored():
    status, answer = ask(post(json.dumps({"image": PICTURE}), query={"top": "1"}))
    assert status == 400
    assert answer["error"]["message"].startswith("options go into the JSON body")


@pytest.mark.parametrize(
    "image",
    [
        "\n".join(PICTURE[start : start + 76] for start in range(0, len(PICTURE), 76)),
        f" {PICTURE}\r\n\t",
        f"data:image/png;base64,{PICTURE}",
        f"data:;base64,{PICTURE}",
        f"data:application/octet-stream;name=x.png;base64,{PICTURE}",
    ],
)
def test_forms_of_base64(image):
    assert ask({"image": image}) == ask({"image": PICTURE})
    assert "predictions" in ask({"image": image})[1]


def test_json_with_a_byte_order_mark():
    body = b"\xef\xbb\xbf" + json.dumps({"image": PICTURE}).encode()
    assert ask(post(encoded(body), is_base64=True))[0] == 200


def test_header_names_in_any_case():
    event = post(encoded(png()), is_base64=True)
    del event["headers"]["content-type"]
    event["headers"]["CONTENT-Type"] = "IMAGE/PNG; x=y"
    assert ask(event)[0] == 200


@pytest.mark.parametrize(
    ("path", "stage", "status"),
    [
        ("/predict", "$default", 405),
        ("/predict/", "$default", 405),
        ("/prod/predict", "prod", 405),
        ("/prod", "prod", 200),
        ("/prod/", "prod", 200),
        ("/", "$default", 200),
        ("", "$default", 200),
        ("/predict/prod", "prod", 404),
        ("/prod/predict", "test", 404),
        ("/production/predict", "prod", 404),
        ("//predict", "$default", 404),
    ],
)
def test_paths(path, stage, status):
    event = read_event("function_url_describe")
    event["rawPath"], event["requestContext"]["stage"] = path, stage
    assert ask(event)[0] == status


def test_body_over_the_limit():
    limit = 6 * 1024 * 1024
    assert ask(post("A" * limit, "image/png", is_base64=True))[0] == 415
    status, answer = ask(post("A" * (limit + 4), "image/png", is_base64=True))
    assert (status, answer["error"]["code"]) == (413, "request_too_large")
    assert "4,718,592" in answer["error"]["message"]


def test_unexpected_failure_is_described_in_the_log_only(monkeypatch, output):
    def fail(pixels):
        raise RuntimeError("cannot read https://example.com/x?signature=SECRET now")

    monkeypatch.setattr(lambda_func, "models", Models.alone(FakeClassifier(fail)))
    for event, status in [(read_event("rest_predict_image"), 500), ({"image": PICTURE}, None)]:
        found_status, answer = ask(event)
        assert found_status == status
        assert answer["error"]["code"] == "internal_error"
        assert "cannot read" not in json.dumps(answer)
    lines = [line for line in output() if "_aws" not in line]
    assert [line["message"] for line in lines] == ["unexpected error", "answered"] * 2
    assert lines[0]["exception_name"] == "RuntimeError"
    assert "in fail" in lines[0]["exception"]
    assert "https://example.com/x?… now" in lines[0]["exception"]
    assert "SECRET" not in json.dumps(lines)


def test_nan_never_leaves_the_function(monkeypatch):
    monkeypatch.setattr(lambda_func, "models", Models.alone(fixed([np.nan, np.nan, np.nan])))
    answer = lambda_func.handler(read_event("rest_predict_image"), None)
    assert answer["statusCode"] == 500
    assert "NaN" not in answer["body"]


def test_undefined_metrics_are_null(monkeypatch):
    artifact = lambda_func.models.default.artifact.__class__(
        **{
            **vars(lambda_func.models.default.artifact),
            "metrics": {"test": {"auc": float("nan"), "accuracy": 0.5}},
        }
    )
    monkeypatch.setattr(lambda_func, "models", Models.alone(SimpleNamespace(artifact=artifact)))
    assert ask(read_event("http_api_describe"))[1]["metrics"] == {"test": {"auc": None, "accuracy": 0.5}}


def test_log_line_of_a_request(output):
    context = SimpleNamespace(aws_request_id="6f1c2d3e")
    lambda_func.handler(read_event("http_api_not_an_image"), context)
    [line, _] = output()
    assert (line["message"], line["level"], line["service"]) == ("answered", "INFO", "lenslet")
    assert (line["method"], line["path"]) == ("POST", "/predict")
    assert (line["status"], line["code"], line["request_id"]) == (415, "not_an_image", "6f1c2d3e")
    assert 0 <= line["latency_ms"] < 10_000


def test_log_holds_no_image_no_query_and_no_key(monkeypatch, output):
    monkeypatch.setattr(lenslet.serving.request, "_fetch", lambda link: png())
    events = [read_event(name) for name in ANSWERS]
    events.append(post(json.dumps({"url": "https://example.com/p.jpg?X-Amz-Signature=never-in-the-log"})))
    events[-1]["headers"]["authorization"] = "Bearer never-in-the-log"
    for event in events:
        lambda_func.handler(event, None)
    lines = output()
    assert sum(line.get("message") == "answered" for line in lines) == len(events)
    written = json.dumps(lines)
    for secret in ("never-in-the-log", "example-key-of-the-caller", "example.com", "iVBORw0", "/9j/", "%%%"):
        assert secret not in written


# Shortened from "Specification: Embedded metric format" of the CloudWatch documentation.
EMF = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 1_600_000_000_000},
                "CloudWatchMetrics": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "properties": {
                            "Namespace": {"type": "string", "minLength": 1, "maxLength": 256},
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "array", "maxItems": 30, "items": {"type": "string"}},
                            },
                            "Metrics": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "properties": {
                                        "Name": {"type": "string"},
                                        "Unit": {"enum": ["Milliseconds", "Count"]},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}


def metrics(lines):
    """(label or None, {metric: values}) of each EMF line, the lines checked."""
    found = []
    for line in lines:
        if "_aws" not in line:
            continue
        jsonschema.validate(line, EMF)
        [directive] = line["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "Lenslet"
        [dimensions] = directive["Dimensions"]
        # CloudWatch takes a dimension's value only as ASCII text; a member that is missing voids the line.
        assert all(isinstance(line[name], str) and line[name].isascii() for name in dimensions)
        assert line["service"] == "lenslet"
        found.append(
            (line.get("Label"), {metric["Name"]: line[metric["Name"]] for metric in directive["Metrics"]})
        )
    return found


def test_metrics_of_a_batch(monkeypatch, output):
    unsure, sure = fixed([0.2, 0.7, 0.1]), fixed([0.98, 0.01, 0.01], is_in_distribution=True)
    classify = [unsure.classify, sure.classify, unsure.classify].__iter__()
    monkeypatch.setattr(
        lambda_func, "models", Models.alone(FakeClassifier(lambda pixels: next(classify)(pixels)))
    )
    ask({"images": [{"image": PICTURE}, {"image": "%"}, {"image": PICTURE}, {"image": PICTURE}]})
    (_, whole), *by_label = metrics(output())
    assert whole.keys() == {"LinkFailures", "Latency", "Uncertain", "OutOfDistribution"}
    assert whole["LinkFailures"] == [0]
    assert (whole["Uncertain"], whole["OutOfDistribution"]) == ([1, 0, 1], [1, 0, 1])
    assert 0 < whole["Latency"][0] < 10_000
    assert by_label == [("dog", {"Predictions": [2]}), ("cat", {"Predictions": [1]})]


@pytest.mark.parametrize("label", ["\x9b31mred", "\u202egnp", "a\u2028b", "\U000e0041", "\x1b[2J"])
def test_no_label_steers_the_terminal_that_shows_the_log(monkeypatch, capsys, label):
    probabilities = np.array([0.9, 0.1], np.float32)
    prediction = Prediction((label, "Straße"), probabilities, None, 0.5, np.log(probabilities), 0.0, ALPHA)
    monkeypatch.setattr(lambda_func, "models", Models.alone(FakeClassifier(lambda pixels: prediction)))
    ask({"image": PICTURE})
    lines = capsys.readouterr().out.rstrip("\n").split("\n")
    assert all(map(str.isprintable, lines))
    [answered] = [line for line in map(json.loads, lines) if line.get("message") == "answered"]
    assert answered["labels"] == [label]


def test_label_outside_ascii_is_a_dimension(monkeypatch, output):
    probabilities = np.array([0.9, 0.1], np.float32)
    prediction = Prediction(("Straße", "Brücke"), probabilities, None, 0.5, np.log(probabilities), 0.0, ALPHA)
    monkeypatch.setattr(lambda_func, "models", Models.alone(FakeClassifier(lambda pixels: prediction)))
    _, answer = ask({"image": PICTURE})
    assert answer["predictions"][0]["label"] == "Straße"
    assert metrics(output())[1][0] == "Stra\\xdfe"


@pytest.mark.parametrize(
    "name", ["rest_describe", "http_api_health", "http_api_bad_base64", "rest_preflight"]
)
def test_no_metrics_of_photos_without_a_prediction(name, output):
    ask(read_event(name))
    assert metrics(output()) == [(None, {"LinkFailures": [0]})]


@pytest.mark.parametrize(("error", "count"), [(LinkFailed, 1), (LinkTimeout, 1), (LinkRefused, 0)])
def test_link_failures_are_counted_with_every_answer(monkeypatch, output, error, count):
    def fail(pixels):
        raise error("the link's server")

    monkeypatch.setattr(lambda_func, "models", Models.alone(FakeClassifier(fail)))
    ask({"image": PICTURE})
    assert metrics(output()) == [(None, {"LinkFailures": [count]})]


def test_metrics_can_be_switched_off(monkeypatch, output):
    monkeypatch.setattr(lambda_func.telemetry, "writes_metrics", False)
    ask({"image": PICTURE})
    assert [line["message"] for line in output()] == ["answered"]


@pytest.mark.slow
def test_calls_from_many_threads_do_not_mix(monkeypatch, output):
    """Each picture's answer is known: its mean brightness, in a share that no other picture has."""

    def classify(pixels):
        time.sleep(0.001)  # lets the other threads in
        share = np.float32(pixels.mean() / 255)
        shares = np.array([share, 1 - share], np.float32)
        return Prediction(("bright", "dark"), shares, None, 0.9, np.log(shares), 0.0, ALPHA)

    monkeypatch.setattr(lambda_func, "models", Models.alone(FakeClassifier(classify)))
    greys = [index % 100 + 128 for index in range(200)]

    def call(index):
        image = encoded(png((greys[index],) * 3))
        event = post(json.dumps({"image": image}), query=None)
        answer = lambda_func.handler(event, SimpleNamespace(aws_request_id=str(index)))
        return json.loads(answer["body"])["predictions"][0]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(call, range(200)))
    assert answers == [
        {"label": "bright", "probability": pytest.approx(grey / 255, abs=1e-6)} for grey in greys
    ]
    lines = output()  # every line is JSON of its own, or this fails
    assert sorted(int(line["request_id"]) for line in lines if "_aws" not in line) == list(range(200))
    assert len(metrics(lines)) == 400


@pytest.mark.slow
def test_the_model_itself_answers_many_threads():
    pictures = [encoded(png((shade, 255 - shade, 128))) for shade in range(0, 256, 32)]
    single = [ask({"image": picture})[1] for picture in pictures]
    assert len({json.dumps(answer) for answer in single}) > 4
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda index: ask({"image": pictures[index % 8]})[1], range(200)))
    assert together == single * 25


START_UP = """
import json, sys
for blocked in ("tensorflow", "keras"):
    sys.modules[blocked] = None  # an import raises ImportError
import lambda_func
answer = lambda_func.handler(json.load(open("tests/events/rest_predict_image.json")), None)
assert answer["statusCode"] == 200, answer
late = ("requests", "urllib3", "boto3", "ssl", "asyncio")
print(json.dumps([name for name in late if name in sys.modules]))
"""


def test_start_up_needs_no_tensorflow_and_loads_no_link_library():
    done = subprocess.run(
        [sys.executable, "-c", START_UP], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        (
            "LENSLET_LOG_LEVEL",
            "klingon",
            "LENSLET_LOG_LEVEL takes DEBUG, INFO, WARNING, ERROR, CRITICAL, not 'klingon'",
        ),
        ("LENSLET_METRICS_DISABLED", "never", "LENSLET_METRICS_DISABLED takes true or false, not 'never'"),
        ("POWERTOOLS_LOG_LEVEL", "ERROR", "POWERTOOLS_LOG_LEVEL is called LENSLET_LOG_LEVEL now"),
    ],
)
def test_malformed_setting_of_the_log_stops_the_start(setting, value, said):
    done = subprocess.run(
        [sys.executable, "-c", "import lambda_func"],
        cwd=ROOT,
        env={**os.environ, setting: value},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert f"ValueError: {said}\n" in done.stderr


def test_log_has_what_is_wanted_alone(monkeypatch, output):
    monkeypatch.setattr(lambda_func.telemetry, "level", "ERROR")
    monkeypatch.setattr(lambda_func.telemetry, "writes_metrics", False)
    ask({"image": PICTURE})
    assert output() == []
    lambda_func.telemetry.log_exception(
        "unexpected error", ValueError("why"), {"request_id": "7", "path": None}
    )
    (line,) = output()
    assert line.pop("exception").endswith("ValueError: why\n")
    assert datetime.fromisoformat(line.pop("timestamp")).tzinfo
    assert line == {
        "level": "ERROR", "message": "unexpected error", "service": "lenslet", "request_id": "7",
        "exception_name": "ValueError",
    }  # fmt: skip


def test_metrics_are_in_the_embedded_format(output):
    """CloudWatch's specification: https://docs.aws.amazon.com/AmazonCloudWatch (embedded metric format)."""
    ask({"image": PICTURE})
    _, of_photos, of_label = output()
    head = of_label.pop("_aws")
    assert abs(head["Timestamp"] / 1000 - time.time()) < 60
    assert head["CloudWatchMetrics"] == [
        {
            "Namespace": "Lenslet", "Dimensions": [["service", "Label"]],
            "Metrics": [{"Name": "Predictions", "Unit": "Count"}],
        }
    ]  # fmt: skip
    assert of_label.keys() == {"service", "Label", "Predictions"}
    assert of_label["service"] == "lenslet"
    assert of_label["Predictions"] == [1]
    units = {each["Name"]: each["Unit"] for each in of_photos["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert units == {
        "LinkFailures": "Count", "Latency": "Milliseconds", "Uncertain": "Count", "OutOfDistribution": "Count",
    }  # fmt: skip


def test_broken_model_folder_stops_the_start(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import lambda_func"],
        cwd=ROOT,
        env={"LENSLET_MODEL": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "ArtifactError" in done.stderr

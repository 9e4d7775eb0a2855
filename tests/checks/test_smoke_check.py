"""test.py against the real server, and against servers with wrong answers."""

import hashlib
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import pytest

from lenslet.checks import endpoint as service
from lenslet.cli import main
from tests.support.endpoint import running
from tests.support.json_server import Reply, Request, answering

PREDICTION = {
    "predictions": [{"label": "cat", "probability": 0.75}, {"label": "dog", "probability": 0.25}],
    "is_certain": True,
    "prediction_set": ["cat"],
    "is_in_distribution": True,
    "ood_score": -5.0,
    "model": {"name": "fake", "version": "0123456789ab"},
}
NOT_AN_IMAGE = {"error": {"code": "not_an_image", "message": "not an image"}}
# What an honest server answers to each of the checks: (status, JSON).
HONEST: dict[str, tuple[int, Any]] = {
    "health": (200, {"status": "ok"}),
    "description": (200, {"name": "fake", "version": "0123456789ab", "labels": ["dog", "cat"]}),
    "preflight": (204, None),
    "json": (200, PREDICTION),
    "raw": (200, PREDICTION),
    "top": (200, {**PREDICTION, "predictions": PREDICTION["predictions"][:1]}),
    "batch": (200, {"results": [PREDICTION, NOT_AN_IMAGE]}),
    "explain": (200, {**PREDICTION, "explanation": {"label": "cat", "grid": [[0, 0.5], [1, 0]]}}),
    "bad": (400, {"error": {"code": "bad_request", "message": "the image is not valid base64"}}),
    "link": (200, PREDICTION),
    "closed": (401, {"error": {"code": "key_missing", "message": "an API key is needed"}}),
}
THROTTLED = (429, {"error": {"code": "overloaded", "message": "too many requests at once"}})
CORS = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "GET, POST, OPTIONS"}


class Bucket:
    """A gateway's throttle: so many requests at once, then so many a second."""

    def __init__(self, rate: float, burst: int):
        self.rate, self.burst = rate, burst
        self.tokens, self.since = float(burst), time.monotonic()
        self.refusals = 0
        self.lock = Lock()

    def takes(self) -> bool:
        with self.lock:
            now = time.monotonic()
            self.tokens = min(self.burst, self.tokens + (now - self.since) * self.rate)
            self.since = now
            is_taken = self.tokens >= 1
            self.tokens -= is_taken
            self.refusals += not is_taken
            return is_taken


@contextmanager
def serving(
    answers=HONEST, headers=CORS, key=None, bucket=None
) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that answers from a table; gives its address, and the headers of the requests it gets."""
    requests_seen: list[dict[str, str]] = []

    def reply(request: Request) -> Reply:
        requests_seen.append(dict(request.headers))
        if bucket and not bucket.takes():
            return Reply(*THROTTLED, {"Retry-After": "1", **headers} if bucket.rate else headers)
        return Reply(*answers[kind_of(request, key)], headers)

    with answering(reply) as address:
        yield address, requests_seen


def kind_of(request: Request, key: str | None) -> str:
    """Which of the checks it is."""
    if request.method == "OPTIONS":
        return "preflight"
    if key and request.headers.get("X-Api-Key") != key:
        return "closed"
    if request.method == "GET":
        return "health" if request.path == "/health" else "description"
    if request.headers["Content-Type"].startswith("image/"):
        return "raw"
    fields = json.loads(request.body)
    if "images" in fields:
        return "batch"
    if "url" in fields:
        return "link"
    if fields["image"] == "%%%":
        return "bad"
    return next((option for option in ("top", "explain") if option in fields), "json")


def predicting(*pairs, **others):
    predictions = [{"label": label, "probability": probability} for label, probability in pairs]
    return {**PREDICTION, "predictions": predictions, **others}


def test_honest_server_passes(capsys):
    with serving() as (url, _):
        assert main(["test", url, "--photos"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("✓") == 9
    assert "✗" not in printed
    assert printed.endswith("All checks passed.\n")


LIES = [
    # check, (status, JSON), the complaint
    ("health", (200, {"status": "starting"}), "answered {'status': 'starting'}"),
    ("health", (500, {}), "status 500, not 200"),
    ("description", (200, {"name": "fake"}), "the answer has no labels"),
    (
        "description",
        (200, {"name": "fake", "version": "0", "labels": ["cat", "cat"]}),
        "labels are ['cat', 'cat']",
    ),
    ("preflight", (403, None), "status 403"),
    (
        "json",
        (200, predicting(("cat", 0.75), ("cow", 0.25))),
        "labels are ['cat', 'cow'], not those of GET /",
    ),
    ("json", (200, predicting(("cat", 1.0))), "labels are ['cat'], not those of GET /"),
    ("json", (200, predicting(("cat", 0.7), ("dog", 0.2))), "probabilities sum to 0.900000, not 1"),
    ("json", (200, predicting(("dog", 0.25), ("cat", 0.75))), "probabilities are not in order"),
    ("json", (200, {**PREDICTION, "is_certain": False}), "is_certain is False with 1 in prediction_set"),
    ("json", (200, {**PREDICTION, "prediction_set": ["dog"]}), "are not the first labels"),
    ("json", (200, {"label": "cat"}), "the answer has no predictions"),
    ("json", (502, {"message": "Internal server error"}), "status 502, not 200"),
    ("raw", (415, NOT_AN_IMAGE), "status 415, not 200"),
    ("top", (200, PREDICTION), "2 labels for top = 1"),
    ("batch", (200, {"results": [PREDICTION]}), "1 results for 2 images"),
    ("batch", (200, {"results": [PREDICTION, PREDICTION]}), "the answer has no error"),
    ("explain", (200, PREDICTION), "the answer has no explanation"),
    (
        "explain",
        (200, {**PREDICTION, "explanation": {"label": "dog", "grid": [[0, 1]]}}),
        "explains dog, which is not the first label",
    ),
    (
        "explain",
        (200, {**PREDICTION, "explanation": {"label": "cat", "grid": [[0, 7]]}}),
        "leaves the range 0…1",
    ),
    (
        "explain",
        (200, {**PREDICTION, "explanation": {"label": "cat", "grid": [[0], [0, 1]]}}),
        "no rectangle",
    ),
    ("bad", (200, PREDICTION), "status 200, not 400"),
    ("bad", (400, {"message": "Bad request"}), "the answer has no error"),
    ("link", (502, {"error": {"code": "link_failed", "message": "no"}}), "status 502, not 200"),
]


@pytest.mark.parametrize(("check", "answer", "complaint"), LIES)
def test_lying_server_fails(check, answer, complaint, capsys):
    with serving({**HONEST, check: answer}) as (url, _):
        assert main(["test", url, "--image-url", "https://example.com/cat.jpg", "--photos"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("✗")]
    # A wrong list of labels makes every prediction wrong too; each other lie is found by one check.
    assert complaint in lines[0]
    assert check == "description" or len(lines) == 1


def test_server_without_cors_fails(capsys):
    with serving(headers={}) as (url, _):
        assert main(["test", url, "--photos"]) == 1
    printed = capsys.readouterr().out
    assert printed.count("header Access-Control-Allow-Origin is None, not * or https://example.com") == 8
    assert "header Access-Control-Allow-Methods is '', without POST" in printed


@pytest.mark.parametrize("flag", ["--key", "--api-key", None])
def test_link_and_key_are_sent(flag, monkeypatch, capsys):
    arguments = ["--image-url", "https://example.com/cat.jpg", "--photos"]
    if flag:
        arguments += [flag, "the-key"]
    else:
        monkeypatch.setenv("LENSLET_API_KEY", "the-key")
    with serving(key="the-key") as (url, seen):
        assert main(["test", url, *arguments]) == 0
    # Browsers ask without the key whether they may ask with it.
    without = [headers for headers in seen if "X-Api-Key" not in headers]
    assert ["Access-Control-Request-Method" in headers for headers in without] == [True, False]
    printed = capsys.readouterr().out
    assert "✓ a link" in printed
    assert "✓ without a key" in printed
    assert "refused with status 401" in printed
    assert "the-key" not in printed


def test_endpoint_that_is_open_although_there_is_a_key(capsys):
    with serving() as (url, _):
        assert main(["test", url, "--key", "the-key", "--photos"]) == 1
    assert "status 200 without a key, not 401 or 403" in capsys.readouterr().out


def test_origin_is_sent(capsys):
    page = "https://app.example.com"
    with serving(headers={**CORS, "Access-Control-Allow-Origin": page}) as (url, seen):
        assert main(["test", url, "--origin", page, "--photos"]) == 0
        assert {headers["Origin"] for headers in seen} == {page}
        assert main(["test", url, "--photos"]) == 1
    assert f"is {page}, not * or https://example.com" in capsys.readouterr().out


def test_origin_of_the_preflight_is_read(capsys):
    origins = {**CORS, "Access-Control-Allow-Origin": "https://app.example.com"}
    with serving({**HONEST, "preflight": (204, None)}, headers=origins) as (url, _):
        main(["test", url, "--photos"])
    [line] = [line for line in capsys.readouterr().out.splitlines() if "preflight" in line]
    assert line.startswith("✗")


def test_table_of_photos(tmp_path, capsys):
    (tmp_path / "more").mkdir()
    for name in ("b.jpg", "more/a.png", ".hidden"):
        (tmp_path / name).write_bytes(b"the server does not look")
    with serving() as (url, _):
        assert main(["test", url, "--photos", str(tmp_path), str(tmp_path / "missing.jpg")]) == 1
    table = [line.split() for line in capsys.readouterr().out.splitlines() if str(tmp_path) in line]
    assert [line[0] for line in table] == [
        f"{tmp_path}/b.jpg",
        f"{tmp_path}/more/a.png",
        f"{tmp_path}/missing.jpg",
    ]
    assert table[0][1:3] == ["cat", "0.750"]
    assert table[2][1] == "✗"


def test_unreachable_endpoint_is_one_sentence(capsys):
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert main(["test", url, "--wait", "0.2"]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"lenslet test: nothing answers at {url}; `make serve` starts a local endpoint\n"
    assert captured.out == ""


@pytest.mark.parametrize(
    ("url", "code", "complaint"),
    [
        ("127.0.0.1:1", 2, "127.0.0.1:1 is not a valid address: http:// or https:// is missing before it"),
        ("http://[::1", 2, "http://[::1 is not a valid address: Invalid IPv6 URL"),
        ("ftp://example.com", 2, "nothing answers at"),
        ("http://", 2, "nothing answers at"),
    ],
)
def test_address_that_is_none(url, code, complaint, capsys):
    assert main(["test", url]) == code
    assert capsys.readouterr().err.startswith(f"lenslet test: {complaint}")


@pytest.mark.slow
def test_stage_is_not_asked_faster_than_its_throttle_lets(monkeypatch, capsys):
    monkeypatch.setattr(service, "PAUSES_S", (0.0, 0.0, 0.0))  # the gateway itself says how long
    bucket = Bucket(rate=2, burst=4)
    with serving(bucket=bucket) as (url, _):
        assert main(["test", url, "--photos"]) == 0, capsys.readouterr().out
    assert bucket.refusals


def test_used_up_quota_is_waited_for_once(monkeypatch, capsys):
    monkeypatch.setattr(service, "PAUSES_S", (0.01, 0.01, 0.01))
    with serving(bucket=Bucket(rate=0, burst=0)) as (url, seen):
        assert main(["test", url, "--photos"]) == 1
    # To see whether anything answers; the first check; the others
    assert len(seen) == 1 + 4 + 8
    assert capsys.readouterr().out.count("status 429") == 9


def test_function_behind_a_gateway_gets_a_key_of_its_own(monkeypatch):
    monkeypatch.setenv("LENSLET_BEARER_KEY", "another-key")
    with serving(key="the-key") as (url, seen):
        assert main(["test", url, "--key", "the-key", "--photos"]) == 0
    sent = {(headers.get("X-Api-Key"), headers.get("Authorization")) for headers in seen}
    assert sent == {("the-key", "Bearer another-key"), (None, None)}


@pytest.mark.slow
def test_real_server_passes(capsys):
    with running() as (url, _):
        assert main(["test", url, "--wait", "10", "--photos"]) == 0
    assert capsys.readouterr().out.count("✓") == 9


@pytest.mark.slow
def test_real_server_with_key_and_origin_passes(monkeypatch, capsys):
    page = "https://app.example.com"
    monkeypatch.setenv("LENSLET_API_KEYS", hashlib.sha256(b"the-key").hexdigest())
    monkeypatch.setenv("LENSLET_CORS_ORIGINS", page)
    with running() as (url, _):
        assert main(["test", url, "--key", "the-key", "--origin", page, "--photos"]) == 0
        assert capsys.readouterr().out.count("✓") == 10
        assert main(["test", url, "--key", "another", "--origin", page, "--photos"]) == 1
        assert "status 403, not 200" in capsys.readouterr().out

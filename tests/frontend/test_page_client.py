"""The page's requests: what is tried again, what is not, and the sentence for each failure."""

import ast
import base64
import re
import socket
from dataclasses import astuple
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

import pytest

import client
import metrics
from client import Failure, Gateway, read_pause
from lenslet.evaluation import metric_table
from tests.support.endpoint import ROOT
from tests.support.json_server import Reply
from tests.support.page_server import DESCRIPTION, PREDICTION, Endpoint, error, recording

GOOD = Reply(200, PREDICTION)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client waited; it does not really wait."""
    waited: list[float] = []
    monkeypatch.setattr(client, "sleep", waited.append)
    return waited


def classify(endpoint: Endpoint, **options) -> tuple[str, int]:
    """The label and how many attempts it took."""
    answer, reply = Gateway(endpoint.url, **options).classify(b"photo")
    return answer.label, reply.attempts


def failure(endpoint: Endpoint, photo: bytes | str = b"photo") -> Failure:
    with pytest.raises(Failure) as raised:
        Gateway(endpoint.url).classify(photo)
    return raised.value


def test_photo_goes_as_openapi_has_it(pauses):
    with recording() as endpoint:
        assert classify(endpoint) == ("forest", 1)
    assert endpoint.questions == [{"image": base64.b64encode(b"photo").decode(), "explain": True}]
    assert pauses == []


def test_link_goes_to_the_endpoint_unread():
    with recording() as endpoint:
        Gateway(endpoint.url).classify("https://example.com/a.jpg")
    assert endpoint.questions == [{"url": "https://example.com/a.jpg", "explain": True}]


def test_key_is_sent_and_never_shown():
    with recording() as endpoint:
        gateway = Gateway(endpoint.url, "hush")
        gateway.classify(b"photo")
        Gateway(endpoint.url).classify(b"photo")
    with_key, without = (headers for _, headers, _ in endpoint.requests)
    assert with_key["X-Api-Key"] == "hush"
    assert "X-Api-Key" not in without
    assert "hush" not in repr(gateway)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_trouble_that_passes_is_tried_again(status, pauses):
    with recording(
        Reply(status, "<html>Bad</html>"), Reply(status, {"message": "Too Many"}), GOOD
    ) as endpoint:
        assert classify(endpoint) == ("forest", 3)
    assert 0.375 <= pauses[0] <= 0.625  # half a second, a quarter more or less
    assert 0.75 <= pauses[1] <= 1.25


def test_retry_after_is_honoured(pauses):
    busy = Reply(503, {"error": {"code": "overloaded", "message": "busy"}}, {"Retry-After": "7"})
    with recording(busy, GOOD) as endpoint:
        assert classify(endpoint) == ("forest", 2)
    assert pauses == [7.0]


def test_retry_after_that_is_too_long_is_said(pauses):
    with recording(Reply(429, {}, {"Retry-After": "300"})) as endpoint:
        assert "wait 300 seconds" in str(failure(endpoint))
    assert pauses == [] and len(endpoint.requests) == 1


def test_five_attempts_are_all(pauses):
    with recording(error(503, "overloaded")) as endpoint:
        assert str(failure(endpoint)) == "The endpoint is busy: try again in a moment."
    assert len(endpoint.requests) == 5 and len(pauses) == 4


def test_waiting_is_shown():
    told: list[str] = []
    with recording(Reply(502, ""), GOOD) as endpoint:
        Gateway(endpoint.url).classify(b"photo", lambda failure: told.append(failure.code))
    assert told == ["502"]


def test_read_pause():
    soon = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=30), usegmt=True)
    assert 28 <= read_pause(soon) <= 30
    assert read_pause("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert [read_pause(text) for text in ("12", " 3 ", "", "soon", "-4", "²")] == [12, 3, 0, 0, 0, 0]


# (what the endpoint answers, what the person reads)
FAILURES = [
    (error(401, "key_missing"), "This endpoint asks for an API key: enter the right one in the sidebar"),
    (error(403, "key_refused"), "does not accept this API key: enter the right one in the sidebar"),
    (Reply(403, {"message": "Forbidden"}), "most likely the API key is missing or wrong"),
    (
        error(415, "not_an_image"),
        "not a picture in a supported format: use JPEG, PNG, WEBP, GIF, BMP or TIFF",
    ),
    (error(422, "broken_image"), "damaged or cut off"),
    (error(413, "image_too_large"), "The picture is too large"),
    (error(413, "request_too_large"), "The file is too large"),
    (Reply(413, {"message": "Request Too Long"}), "The file is too large"),
    (
        error(422, "link_refused", "the host is not public"),
        "refuses this link.* It says: the host is not public.",
    ),
    (error(502, "link_failed", "status 404"), "server did not deliver.* It says: status 404."),
    (error(504, "link_timeout"), "The link's server was too slow"),
    (
        error(400, "bad_request", "unknown field 'x'"),
        "did not accept the request. It says: unknown field 'x'.",
    ),
    (error(500, "internal_error"), "The endpoint failed: try again; its log says why."),
    (Reply(404, {"message": "Not Found"}), "no Lenslet at this address: check it; a stage"),
    (Reply(200, "<html>Hello</html>"), "is not Lenslet: check the address"),
    (Reply(200, {"predictions": []}), "is not Lenslet"),
    (
        Reply(200, {**PREDICTION, "explanation": {"label": "forest", "grid": [[1], [1, 2]]}}),
        "is not Lenslet",
    ),
    (Reply(418, "tea"), "is not Lenslet"),
]


@pytest.mark.parametrize(("answer", "sentence"), FAILURES)
def test_failures_are_sentences_and_not_tried_again(answer, sentence):
    with recording(answer) as endpoint, pytest.raises(Failure, match=sentence):
        Gateway(endpoint.url).classify(b"photo")
    assert len(endpoint.requests) == 1


def test_redirect_does_not_take_the_key_along():
    with recording() as other, recording(Reply(307, "", {"Location": f"{other.url}/predict"})) as endpoint:
        with pytest.raises(Failure, match="redirects to another address"):
            Gateway(endpoint.url, "hush").classify(b"photo")
        assert other.requests == []


def test_endpoint_that_is_down(pauses):
    with socket.socket() as taken:  # bound, but not listening: nobody else gets the port, and it refuses
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Failure, match=f"Nothing answers at {url}: start the endpoint"):
            Gateway(url, attempts=2).describe()
    assert len(pauses) == 1
    down = "Nothing answers at https://a.invalid: check the address, or try again later."
    with pytest.raises(Failure, match=re.escape(down)):
        Gateway("https://a.invalid", attempts=1).describe()


def test_endpoint_that_never_answers(monkeypatch):
    monkeypatch.setattr(client, "READ_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Failure, match="takes too long to answer"):
            Gateway(url, attempts=1).classify(b"photo")


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8080", "file:///etc/passwd", "http://", "http://[::1", "http://a b"]
)
def test_what_is_no_address(url):
    with pytest.raises(Failure, match=r"is not an address of an endpoint|Nothing answers"):
        Gateway(url, attempts=1).describe()


def test_description():
    with recording() as endpoint:
        assert Gateway(endpoint.url).describe() == DESCRIPTION
    with (
        recording(description=Reply(200, {"hello": "world"})) as endpoint,
        pytest.raises(Failure, match="not Lenslet"),
    ):
        Gateway(endpoint.url).describe()


def test_page_stands_on_nothing_but_http():
    """No module of the page imports a package of this project; the client not even Streamlit."""
    own = {path.stem for path in (ROOT / "frontend").glob("*.py")}
    imported = {path.stem: imports_of(path) for path in (ROOT / "frontend").glob("*.py")}
    project = {"lenslet", "bench", "data", "infra", "fuzz"} | {path.stem for path in ROOT.glob("*.py")}
    assert "train" in project
    for module, names in imported.items():
        assert not (names - own) & project, module
    for module in ("answers", "client", "examples", "gallery", "photos", "settings", "sent_photos"):
        assert "streamlit" not in imported[module], module


def test_table_of_metrics_equals_that_of_the_evaluation():
    for name in ("METRICS", "CLASS_METRICS"):
        copy, original = (
            {key: astuple(metric) for key, metric in getattr(module, name).items()}
            for module in (metrics, metric_table)
        )
        assert list(copy.items()) == list(original.items()), "copy the rows to frontend/metrics.py"


def imports_of(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}

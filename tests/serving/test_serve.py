"""The function behind plain HTTP: a real process on a free port of the loopback."""

import asyncio
import base64
import io
import json
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from PIL import Image

from lenslet.cli import main
from lenslet.serving.access import Access
from lenslet.serving.http.admission import AdmissionControl
from lenslet.serving.http.bridge import Function, bridge
from lenslet.serving.http.server import open_port
from lenslet.serving.telemetry import Telemetry
from tests.support.endpoint import ROOT, running

EVENTS = ROOT / "tests" / "events"
PNG = base64.b64decode(json.loads((EVENTS / "function_url_predict_raw_png.json").read_text())["body"])


@pytest.fixture(scope="module")
def url():
    with running("--workers", "4") as (address, _):
        yield address


def png(colour):
    file = io.BytesIO()
    Image.new("RGB", (24, 16), colour).save(file, "PNG")
    return file.getvalue()


def through_bridge(method="POST", path="/predict", query=b"", headers=(), chunks=(b"",)):
    """The event that the handler gets for a request, and what is sent back for its answer."""
    seen, sent = [], []

    def handler(event, context):
        seen.append((event, context))
        return {"statusCode": 418, "headers": {"X-Tea": "green"}, "body": "é", "isBase64Encoded": False}

    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "query_string": query,
        "headers": list(headers),
        "client": ("203.0.113.17", 50000),
        "server": ("127.0.0.1", 8080),
        "scheme": "http",
    }
    function = Function(handler, Access(), Telemetry({}))
    asyncio.run(bridge(function, AdmissionControl(workers=1, waiting=0))(scope, receive, send))
    [(event, context)] = seen
    return event, context, sent


def test_event_is_what_a_function_url_sends():
    event, context, sent = through_bridge(
        query=b"top=2&explain=true",
        headers=[(b"content-type", b"image/png"), (b"host", b"example.com"), (b"user-agent", b"curl/8.5.0")],
        chunks=[b"\x89PN", b"G\xff"],
    )
    recorded = json.loads((EVENTS / "function_url_raw_unknown_parameter.json").read_text())
    assert event.keys() == recorded.keys()
    assert event["requestContext"].keys() <= recorded["requestContext"].keys()
    assert event["requestContext"]["http"] == {
        "method": "POST",
        "path": "/predict",
        "protocol": "HTTP/1.1",
        "sourceIp": "203.0.113.17",
        "userAgent": "curl/8.5.0",
    }
    assert event["version"] == "2.0"
    assert event["rawPath"] == "/predict"
    assert event["rawQueryString"] == "top=2&explain=true"
    assert event["queryStringParameters"] == {"top": "2", "explain": "true"}
    assert event["headers"]["content-type"] == "image/png"
    # The one difference, which spares a large photo base64 there and back.
    assert (event["body"], event["isBase64Encoded"]) == (b"\x89PNG\xff", False)
    assert len(context.aws_request_id) == 36
    assert context.get_remaining_time_in_millis() > 0
    assert sent[0]["status"] == 418
    assert dict(sent[0]["headers"])[b"x-tea"] == b"green"
    assert sent[1]["body"] == "é".encode()


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        (b"application/json", b'{"a": "\xc3\xa9"}', '{"a": "é"}'),
        (b"Application/JSON; charset=utf-8", b"{}", "{}"),
        (b"text/plain", b"words", "words"),
        (b"application/json", b"\xff", b"\xff"),
        (b"application/octet-stream", b"words", b"words"),
        (b"image/svg+xml", b"<svg/>", b"<svg/>"),
    ],
)
def test_body_of_the_event(content_type, body, expected):
    event, _, _ = through_bridge(headers=[(b"content-type", content_type)], chunks=[body])
    assert (event["body"], event["isBase64Encoded"]) == (expected, False)


def test_empty_fields_are_omitted_and_repeated_headers_joined():
    event, _, _ = through_bridge(method="GET", path="/", headers=[(b"accept", b"a"), (b"accept", b"b")])
    assert "body" not in event
    assert "queryStringParameters" not in event
    assert event["headers"] == {"accept": "a,b"}
    event, _, _ = through_bridge(query=b"top=1&top=2")
    assert event["queryStringParameters"] == {"top": "1,2"}


def test_endless_body_is_not_kept():
    event, _, _ = through_bridge(chunks=[bytes(1024 * 1024)] * 20)
    assert 6 * 1024 * 1024 < len(event["body"]) <= 7 * 1024 * 1024


def test_each_request_has_an_id_of_its_own():
    assert through_bridge()[1].aws_request_id != through_bridge()[1].aws_request_id


@pytest.mark.slow
def test_routes(url):
    assert requests.get(f"{url}/health", timeout=30).json() == {"status": "ok"}
    labels = requests.get(f"{url}/", timeout=30).json()["labels"]
    raw = requests.post(
        f"{url}/predict?top=1&explain=true", data=PNG, headers={"Content-Type": "image/png"}, timeout=30
    )
    assert raw.status_code == 200
    assert raw.headers["Access-Control-Allow-Origin"] == "*"
    assert raw.headers["Content-Type"] == "application/json"
    fields = {"image": base64.b64encode(PNG).decode(), "top": 1, "explain": True}
    assert requests.post(f"{url}/predict", json=fields, timeout=30).json() == raw.json()
    assert raw.json()["predictions"][0]["label"] in labels


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "status"),
    [
        ("GET", "/nowhere", b"", "", 404),
        ("GET", "/predict", b"", "", 405),
        ("HEAD", "/predict", b"", "", 405),
        ("DELETE", "/", b"", "", 405),
        ("OPTIONS", "/predict", b"", "", 204),
        ("POST", "/predict", b"", "", 400),
        ("POST", "/predict", PNG, "application/json", 400),
        ("POST", "/predict", PNG, "", 400),
        ("POST", "/predict", b"\xff" * 9, "image/jpeg", 415),
        ("POST", "/predict", PNG[:-60], "image/png", 422),
        ("POST", "/predict", b'{"url": "file:///etc/passwd"}', "application/json", 422),
        ("POST", "/predict", b" " * 30_000_000, "application/json", 413),
        # Six MiB hold this much in base64, and not three bytes more.
        ("POST", "/predict", PNG + bytes(4_718_592 - len(PNG)), "image/png", 200),
        ("POST", "/predict", PNG + bytes(4_718_595 - len(PNG)), "image/png", 413),
    ],
)
def test_failures(url, method, path, body, content_type, status):
    headers = {"Content-Type": content_type} if content_type else {}
    answer = requests.request(method, url + path, data=body, headers=headers, timeout=30)
    assert answer.status_code == status
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.slow
def test_head_has_the_headers_of_get_and_no_body(url):
    for path in ("/", "/health"):
        got, head = requests.get(url + path, timeout=30), requests.head(url + path, timeout=30)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Length"] == got.headers["Content-Length"] != "0"


@pytest.mark.slow
def test_requests_at_the_same_time_get_their_own_answers(url):
    pictures = [png((shade, 255 - shade, 128)) for shade in range(0, 256, 32)]

    def ask(picture):
        answer = requests.post(
            f"{url}/predict", data=picture, headers={"Content-Type": "image/png"}, timeout=60
        )
        return answer.json()["predictions"]

    single = [ask(picture) for picture in pictures]
    assert len({json.dumps(each) for each in single}) > 4
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, pictures * 5)) == single * 5


@pytest.mark.slow
def test_answers_do_not_wait_for_confirmed_headers(url):
    """Without TCP_NODELAY every answer on a kept connection takes 40 ms and more."""
    times = []
    with requests.Session() as session:
        for _ in range(20):
            started = time.perf_counter()
            session.get(f"{url}/", timeout=30)
            times.append(time.perf_counter() - started)
    assert sorted(times)[5] < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly(number):
    with running() as (address, process):
        assert requests.get(f"{address}/health", timeout=30).status_code == 200
        process.send_signal(number)
        assert process.wait(timeout=20) == 0


def test_port_in_use(monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            open_port("127.0.0.1", port)
        assert main(["serve", "--port", str(port)]) == 2
    assert (
        capsys.readouterr().err
        == f"lenslet serve: cannot listen on 127.0.0.1, port {port}: Address already in use\n"
    )


@pytest.mark.slow
def test_broken_model_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "lenslet", "serve", "--model", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"lenslet serve: the model cannot be served: {tmp_path}/model.json does not exist: "
        "`lenslet convert` writes it, as the last file of a complete model folder\n"
    )
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "70000"], "argument --port: '70000' is not a whole number from 0 to 65535"),
        (["--port", "http"], "argument --port: 'http' is not a whole number from 0 to 65535"),
        (["--workers", "0"], "argument --workers: '0' is not a whole number from 1 to 1000"),
        (["--waiting", "-1"], "argument --waiting: '-1' is not a whole number from 0 to 10000"),
    ],
)
def test_bad_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["serve", *arguments])
    assert message in capsys.readouterr().err


def test_help_teaches(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["serve", "--help"])
    printed = capsys.readouterr().out
    for word in ("lenslet serve --port 8080", "curl", "--model", "--workers", "--waiting", "--host"):
        assert word in printed

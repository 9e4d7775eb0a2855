"""Malformed and hostile requests: status, code, and that neither answer nor log repeats anything of them."""

import base64
import io
import json
import re
import socket
import subprocess
import sys
import time

import pytest
import requests
from PIL import Image

import lambda_func
import lenslet.serving.request
from lenslet.inference.errors import BadRequest, LinkFailed
from lenslet.serving import encoding
from lenslet.serving.access import Access
from lenslet.serving.request import MAX_BRACKETS
from tests.support.endpoint import ROOT

EVENTS = ROOT / "tests" / "events"


def picture():
    file = io.BytesIO()
    Image.new("RGB", (24, 16), (200, 30, 10)).save(file, "PNG")
    return file.getvalue()


RAW = base64.b64encode(picture()).decode()
GOOD = f'{{"image": "{RAW}"}}'


def http(body=GOOD, **changes):
    """POST /predict of a Function URL (payload 2.0), JSON as text unless changed; `None` takes a field out."""
    return changed(json.loads((EVENTS / "function_url_predict_image.json").read_text()), body, changes)


def rest(body=GOOD, **changes):
    """The same of a REST API (payload 1.0)."""
    return changed(json.loads((EVENTS / "rest_predict_image.json").read_text()), body, changes)


def changed(event, body, changes):
    kind = changes.pop("kind", "application/json")
    event["headers"]["content-type"] = kind
    fields = {**event, "body": body, **changes}
    return {name: value for name, value in fields.items() if value != "absent"}


def in_base64(body):
    return base64.b64encode(body).decode()


def without_content_type(event):
    return {**event, "headers": {"host": "example.com"}}


def calling(event, method, path):
    """`event` with another method and path, in either payload."""
    if "httpMethod" in event:
        return {**event, "httpMethod": method, "path": path}
    about = {**event["requestContext"], "http": {**event["requestContext"]["http"], "method": method}}
    return {**event, "rawPath": path, "requestContext": about}


def raw(query, **changes):
    return http(RAW, kind="image/png", isBase64Encoded=True, queryStringParameters=query, **changes)


# What it is: the event, its HTTP status (None: a direct invoke has none), its error code.
TABLE = {
    # Sizes
    "body of six megabytes and a little": (http(" " * 6_291_457), 413, "request_too_large"),
    "the same in base64": (http("A" * 6_291_460, isBase64Encoded=True), 413, "request_too_large"),
    "the same of payload 1.0": (rest(" " * 6_291_457), 413, "request_too_large"),
    "17 images": (http(json.dumps({"images": [{"image": RAW}] * 17})), 400, "bad_request"),
    "17 images, invoked": ({"images": [{"image": RAW}] * 17}, None, "bad_request"),
    "brackets without end": (http("[" * 6_000_000), 400, "bad_request"),
    "objects without end": (http('{"images":[' + '{"":0},' * 800_000 + "{}]}"), 400, "bad_request"),
    "objects side by side": (http("[" + "{}," * MAX_BRACKETS + "{}]"), 400, "bad_request"),
    "fields without end": (
        http("{" + ",".join(f'"{n}":0' for n in range(300_000)) + "}"),
        400,
        "bad_request",
    ),
    "a link of 9,000 characters": (
        http(json.dumps({"url": f"https://example.com/{'a' * 9000}"})),
        422,
        "link_refused",
    ),
    "a name of a million characters": (http(json.dumps({"a" * 1_000_000: 1})), 400, "bad_request"),
    # Depth
    "arrays as deep as allowed": (http("[" * MAX_BRACKETS), 400, "bad_request"),
    "objects as deep as allowed": (
        http('{"image":' * MAX_BRACKETS + "1" + "}" * MAX_BRACKETS),
        400,
        "bad_request",
    ),
    "deep below a good field": (
        http(f'{{"image": "{RAW}", "top": {"[" * 990}1{"]" * 990}}}'),
        400,
        "bad_request",
    ),
    # Numbers
    "top is NaN": (http(f'{{"image": "{RAW}", "top": NaN}}'), 400, "bad_request"),
    "top is Infinity": (http(f'{{"image": "{RAW}", "top": Infinity}}'), 400, "bad_request"),
    "top is -Infinity": (http(f'{{"image": "{RAW}", "top": -Infinity}}'), 400, "bad_request"),
    "the whole is NaN": (http("NaN"), 400, "bad_request"),
    "top is 1e999": (http(f'{{"image": "{RAW}", "top": 1e999}}'), 400, "bad_request"),
    "top is 1e300": (http(f'{{"image": "{RAW}", "top": 1e300}}'), 400, "bad_request"),
    "top is 1e-999": (http(f'{{"image": "{RAW}", "top": 1e-999}}'), 400, "bad_request"),
    "top is 10**400": (http(f'{{"image": "{RAW}", "top": 1{"0" * 400}}}'), 400, "bad_request"),
    "top is 10**400, invoked": ({"image": RAW, "top": 10**400}, None, "bad_request"),
    "top is a thousand million": (http(f'{{"image": "{RAW}", "top": 1000000000}}'), 400, "bad_request"),
    "top is NaN, invoked": ({"image": RAW, "top": float("nan")}, None, "bad_request"),
    "top is infinite, invoked": ({"image": RAW, "top": float("inf")}, None, "bad_request"),
    "top is 2.0": (http(f'{{"image": "{RAW}", "top": 2.0}}'), 200, None),
    "top is 2e0": (http(f'{{"image": "{RAW}", "top": 2e0}}'), 200, None),
    "top is 02": (http(f'{{"image": "{RAW}", "top": 02}}'), 400, "bad_request"),
    "top is -0": (http(f'{{"image": "{RAW}", "top": -0}}'), 400, "bad_request"),
    # Names given twice
    "image twice": (http(f'{{"image": "{RAW}", "image": "{RAW}"}}'), 400, "bad_request"),
    "image twice, once spelled in escapes": (
        http(f'{{"image": "{RAW}", "\\u0069mage": "{RAW}"}}'),
        400,
        "bad_request",
    ),
    "a link twice within a batch": (
        http('{"images": [{"url": "https://a.example", "url": "https://b.example"}]}'),
        400,
        "bad_request",
    ),
    "top twice in payload 2.0's query": (raw({"top": "1,2"}), 400, "bad_request"),
    "top twice in payload 1.0's query": (
        rest(
            RAW,
            kind="image/png",
            isBase64Encoded=True,
            queryStringParameters={"top": "2"},
            multiValueQueryStringParameters={"top": ["1", "2"]},
        ),
        400,
        "bad_request",
    ),
    # How the body is packed
    "base64 that is said to be text": (http(in_base64(GOOD.encode())), 400, "bad_request"),
    "text that is said to be base64": (http(GOOD, isBase64Encoded=True), 400, "bad_request"),
    "a picture that is said to be text": (http(RAW, kind="image/png"), 400, "bad_request"),
    "isBase64Encoded is missing": (http(isBase64Encoded="absent"), 200, None),
    "isBase64Encoded is null": (rest(isBase64Encoded=None), 200, None),
    "isBase64Encoded is text": (http(isBase64Encoded="false"), None, "bad_request"),
    "isBase64Encoded is 1": (rest(isBase64Encoded=1), None, "bad_request"),
    "body is an object": (http({"image": RAW}), None, "bad_request"),
    "body is a list": (rest([GOOD]), None, "bad_request"),
    "body is a number": (http(7), None, "bad_request"),
    "body is missing": (http("absent"), 400, "bad_request"),
    "body is white space": (http(" \r\n\t"), 400, "bad_request"),
    "body is null in JSON": (http("null"), 400, "bad_request"),
    "body is text in JSON": (http('"image"'), 400, "bad_request"),
    "byte order mark": (http("\ufeff" + GOOD), 200, None),
    "two byte order marks": (http("\ufeff\ufeff" + GOOD), 400, "bad_request"),
    "UTF-16 as its charset says": (
        http(in_base64(GOOD.encode("utf-16")), kind="application/json; charset=utf-16", isBase64Encoded=True),
        400,
        "bad_request",
    ),
    "overlong UTF-8": (http(in_base64(b'{"image": "\xc0\xaf"}'), isBase64Encoded=True), 400, "bad_request"),
    "half of an emoji": (http('{"image": "\\ud83d"}'), 400, "bad_request"),
    "a zero byte in base64": (http('{"image": "\\u0000"}'), 400, "bad_request"),
    "a zero byte after JSON": (http(GOOD + "\x00"), 400, "bad_request"),
    "two documents": (http(GOOD + GOOD), 400, "bad_request"),
    "a comment": (http(GOOD + " // photo"), 400, "bad_request"),
    # What type it is said to be
    "no content type": (without_content_type(http()), 200, None),
    "a form's content type": (http(kind="application/x-www-form-urlencoded"), 200, None),
    "a form": (
        http("image=abc&top=1", kind="application/x-www-form-urlencoded"),
        400,
        "bad_request",
    ),
    "content type of a megabyte": (http(kind="x" * 1_000_000), 200, None),
    "charset that there is none of": (http(kind="application/json; charset=klingon"), 200, None),
    "JSON that is said to be a picture": (http(kind="image/png"), 400, "bad_request"),
    "SVG": (http("<svg/>", kind="image/svg+xml"), 415, "not_an_image"),
    # Headers
    "headers are null": (http(headers=None), 200, None),
    "headers are missing": (rest(headers="absent", multiValueHeaders="absent"), 200, None),
    "a header is null": (rest(headers={"content-type": None, "Origin": None}), 200, None),
    "a header is a list": (http(headers={"content-type": ["image/png"]}), 200, None),
    "headers are a list": (http(headers=["content-type"]), None, "bad_request"),
    # Queries
    "a query beside JSON": (http(queryStringParameters={"x": ""}), 400, "bad_request"),
    "an empty query": (rest(queryStringParameters={}, multiValueQueryStringParameters={}), 200, None),
    "an unknown parameter": (raw({"__proto__": "1"}), 400, "bad_request"),
    "ten digits": (raw({"top": "1000000000"}), 400, "bad_request"),
    "a superscript": (raw({"top": "²"}), 400, "bad_request"),
    "NaN in a query": (raw({"top": "NaN"}), 400, "bad_request"),
    "a number in the event's query": (raw({"top": 1}), None, "bad_request"),
    "the query is a list": (raw(["top"]), None, "bad_request"),
    # Places and methods
    "a path out of the root": (calling(http(), "GET", "/../../etc/passwd"), 404, "not_found"),
    "a path in capitals": (calling(http(), "POST", "/PREDICT"), 404, "not_found"),
    "a path with a zero byte": (calling(rest(), "POST", "/predict\x00"), 404, "not_found"),
    "a path of a megabyte": (calling(rest(), "GET", "/" + "a" * 1_000_000), 404, "not_found"),
    "a link for a path": (calling(http(), "GET", "https://example.com/predict"), 404, "not_found"),
    "an asterisk for a path": (calling(http(), "OPTIONS", "*"), 404, "not_found"),
    "path is null": (calling(rest(), "GET", None), 200, None),
    "path is a number": (calling(rest(), "GET", 7), None, "bad_request"),
    "path is missing": (http(rawPath="absent"), None, "bad_request"),
    "TRACE": (calling(http(), "TRACE", "/predict"), 405, "method_not_allowed"),
    "CONNECT": (calling(http(), "CONNECT", "/"), 405, "method_not_allowed"),
    "HEAD": (calling(rest(), "HEAD", "/predict"), 405, "method_not_allowed"),
    "a method that there is none of": (calling(http(), "\r\nGET", "/predict"), 405, "method_not_allowed"),
    "an empty method": (calling(rest(), "", "/predict"), 405, "method_not_allowed"),
    "method is null": (calling(http(), None, "/predict"), None, "bad_request"),
    "http is text": (http(requestContext={"http": "POST"}), None, "bad_request"),
    "http has no method": (http(requestContext={"http": {"path": "/"}}), None, "bad_request"),
    "no stage": (http(requestContext={"http": {"method": "POST"}}), 200, None),
    # Direct invokes
    "requestContext beside a direct invoke": ({"requestContext": {}, "image": RAW}, None, "bad_request"),
    "requestContext is text": ({"requestContext": "http", "image": RAW}, None, "bad_request"),
    "event of a queue": ({"Records": [{"body": GOOD}]}, None, "bad_request"),
    "event is a number": (7, None, "bad_request"),
    "event is null": (None, None, "bad_request"),
    "event of a schedule": ({"source": "aws.events", "detail": {}}, None, "bad_request"),
    "a link in an image": ({"image": "file:///etc/passwd"}, None, "bad_request"),
}


@pytest.fixture(autouse=True)
def printed(capfd):
    """A function that gives all that has reached stdout and stderr since its last call."""
    return lambda: "".join(capfd.readouterr())


@pytest.mark.parametrize(("event", "status", "code"), TABLE.values(), ids=TABLE)
def test_status_and_code(event, status, code):
    started = time.process_time()  # not the clock: the machine may be busy
    answer = lambda_func.handler(event, None)
    assert answer.get("statusCode") == status
    text = answer["body"] if status else json.dumps(answer)
    error = json.loads(text).get("error")
    assert (error and error["code"]) == code
    assert len(text) < 500 or not code
    for trace in ("Traceback", "File ", str(ROOT), "/etc/passwd", "Error("):
        assert trace not in text
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"image": "", "top": 1, "image": ""}', "field 'image' is given more than once"),
        ('{"images": [{"url": "", "url": ""}]}', "field 'url' is given more than once"),
        ("[" * 10_001, "the body has more than 10,000 brackets, the limit"),
        (
            '{"image": "", "top": NaN}',
            "the body is not JSON (UTF-8); a photo itself needs Content-Type: image/*, and of a form let the HTTP "
            "client set the Content-Type",
        ),
        (
            '{"image": "", "top": 1000000000}',
            "top must be a whole number from 1 to 999,999,999, not 1000000000",
        ),
        ('{"image": "", "top": 1e999}', "top must be a whole number from 1 to 999,999,999, not inf"),
    ],
)
def test_error_message(body, message):
    assert json.loads(lambda_func.handler(http(body), None)["body"])["error"]["message"] == message


def test_error_message_for_the_bodys_base64():
    answer = json.loads(lambda_func.handler(http(GOOD, isBase64Encoded=True), None)["body"])
    assert answer["error"]["message"] == (
        "the body is not valid base64: its character number 1, '{', is none of base64"
    )


def test_links_may_have_brackets():
    """The most that a batch's links are likely to have: addresses of IPv6 with lists in their queries."""
    link = "https://[2606:4700::1111]/?" + "&".join(f"a[{n}]={{{n}}}" for n in range(200))
    body = json.dumps({"images": [{"url": link}] * 16})
    assert len(lenslet.serving.request.read_json(body.encode(), "")["images"]) == 16


def leave_canaries(canary):
    """Events with a canary in each place that the log must not repeat."""
    link = f"https://{canary}.example/{canary}?X-Amz-Signature={canary}#{canary}"
    headers = {"authorization": f"Bearer {canary}", "x-api-key": canary, "cookie": canary, "referer": link}
    headers |= {
        "content-type": "application/json",
        "user-agent": canary,
        "origin": f"https://{canary}.example",
    }
    named = {**headers, "content-type": f"image/{canary}"}
    for body in (
        json.dumps({"url": link}),
        json.dumps({"images": [{"url": link}, {"image": canary}, {"image": RAW}]}),
        json.dumps({"image": f"data:{canary};base64,{canary}"}),
        json.dumps({canary: canary, "top": canary}),
        json.dumps({"image": RAW, "top": canary, "explain": canary}),
        f'{{"{canary}": 1, "{canary}": 2}}',
        canary,
    ):
        yield http(body, headers=headers)
        yield rest(body, headers=headers)
        yield http(in_base64(body.encode()), headers=headers, isBase64Encoded=True)
    yield http(RAW, headers=named, isBase64Encoded=True, queryStringParameters={canary: canary})
    yield http(in_base64(canary.encode() * 9), headers=named, isBase64Encoded=True)
    yield calling(http(headers=headers), "GET", f"/{link}")
    yield calling(rest(headers=headers), "POST", f"/predict/{canary}")
    yield calling(http(headers=headers), canary, "/predict")
    yield http(headers=headers, rawQueryString=f"q={canary}", queryStringParameters={"q": canary})
    yield {"url": link}
    yield {"image": canary, "top": canary}


def no_fetch(link, allowance):
    raise LinkFailed("the link's server could not be reached, or broke off")


def fail_with_the_link(link, allowance):
    raise RuntimeError(f"cannot read {link}")


@pytest.mark.parametrize("hashes", [(), (bytes(32),)], ids=["open", "with keys"])
@pytest.mark.parametrize("fetch", [no_fetch, fail_with_the_link])
def test_log_repeats_nothing_of_a_request(monkeypatch, printed, hashes, fetch):
    monkeypatch.setattr(lambda_func, "access", Access(hashes))
    monkeypatch.setattr(lenslet.serving.request, "_fetch", fetch)
    canary = "canary7f3a"
    events = list(leave_canaries(canary))
    for event in events:
        lambda_func.handler(event, None)
    log = printed().replace(canary.upper(), canary)  # methods are written in capitals
    assert log.count('"message":"answered"') == len(events)
    # The one exception: a failure nobody foresaw names what failed, a link without its query.
    lines = [line for line in log.splitlines() if '"unexpected error"' not in line]
    assert canary not in "".join(lines)
    assert f"Signature={canary}" not in log
    assert bool(hashes) or fetch is no_fetch or f"https://{canary}.example/{canary}?…" in log
    assert RAW not in log
    assert not re.search(r"Bearer|X-Amz-Signature|base64", log)


# What no event holds, because a server or a gateway meets it first.
WIRE = [
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",  # TLS
    b"GET /canary7f3a\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /%ff%00canary7f3a?sig=canary7f3a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer canary7f3a\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: a\r\nX-Api-Key: canary7f3a\xe9\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\ncanary7f3a\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 200_000 + b"\r\n\r\n",
    b"GET /?" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n canary7f3a: folded\r\n\r\n",
    b"POST /predict?a=\xed\xa0\x80 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    b"GET http://canary7f3a.example/ HTTP/1.1\r\nHost: canary7f3a.example\r\n\r\n",
    b"CONNECT canary7f3a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /predict?canary7f3a HTTP/1.1\r\nHost: a\r\nContent-Type: image/canary7f3a\r\nContent-Length: 0\r\n\r\n",
]


def answer_on_the_wire(port, request):
    """The first bytes of the answer; none if the server hangs up, or waits for the rest of the request."""
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        try:
            connection.sendall(request)
            return connection.recv(65536)
        except (TimeoutError, ConnectionError):
            return b""


@pytest.mark.slow
def test_server_survives_malformed_http_and_logs_none_of_it(tmp_path):
    log = tmp_path / "log"
    with log.open("w") as file:
        command = [sys.executable, "-m", "lenslet", "serve", "--port", "0"]
        server = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"http://127.0.0.1:(\d+)", log.read_text())):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        port = int(found.group(1))
        for request in WIRE:
            answer = answer_on_the_wire(port, request)
            assert answer == b"" or re.match(rb"HTTP/1.1 4\d\d |HTTP/1.1 200 ", answer), (
                request[:80],
                answer,
            )
            assert b"Traceback" not in answer
        assert requests.get(f"{found.group()}/health", timeout=30).json() == {"status": "ok"}
    finally:
        server.terminate()
        assert server.wait(timeout=30) == 0
    written = log.read_text()
    assert "canary7f3a" not in written
    assert "Traceback" not in written


SPELLED = [
    "QUJD", "QUI=", "QQ==", "QQ=", "QQ", "QUJD=", "QUI===", "QQ==QUJD", "QUJD QUJD", "Q UJD", "QUJD\nQUI=\n", "-_-_",
    "Q", "=QQ", "QQ==\n=", "Zm9vYmE", "Zm9vYg==", "Zm9vYh==", "é", "QUJD\0", "QUJD%", "",
]  # fmt: skip


@pytest.mark.parametrize("text", SPELLED)
def test_large_and_small_base64_are_read_alike(monkeypatch, text):
    pytest.importorskip("pybase64", reason="this environment was installed before pybase64 was needed")

    def outcome(large):
        monkeypatch.setattr(encoding, "LARGE", large)
        try:
            return encoding.read_base64(text)
        except BadRequest as error:
            return str(error)

    assert outcome(large=0) == outcome(large=1000)


def test_large_base64_needs_no_pybase64(monkeypatch):
    photo = bytes(range(256)) * 2000
    monkeypatch.setitem(sys.modules, "pybase64", None)  # an import raises ModuleNotFoundError
    assert encoding.read_base64(base64.b64encode(photo).decode()) == photo

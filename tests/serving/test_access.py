"""API keys and CORS."""

import hashlib
import hmac
import json
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import requests

import lambda_func
import lenslet.serving.access
from lenslet.inference.errors import KeyMissing, KeyRefused
from lenslet.serving.access import read_access
from tests.support.endpoint import ROOT, running
from tests.support.function_log import write_metrics

EVENTS = ROOT / "tests" / "events"
# `printf first | sha256sum`, and so on
FIRST_HASH = "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e"
SECOND_HASH = "16367aacb67a4a017c8da8ab95682ccb390863780f7114dda0a0e0c55644c7c4"
TWO_KEYS = {"LENSLET_API_KEYS": f" {FIRST_HASH.upper()} ,\n{SECOND_HASH}"}
PAGE = "https://app.example.com"
LOCAL_PAGE = "http://[::1]:3000"


def read_event(name):
    return json.loads((EVENTS / f"{name}.json").read_text())


def ask(name, headers=None):
    """(status, headers, error code) of the event, its headers replaced if some are given."""
    event = read_event(name)
    event["headers"] = (
        event["headers"] if headers is None else {"content-type": "application/json", **headers}
    )
    answer = lambda_func.handler(event, None)
    error = json.loads(answer["body"] or "{}").get("error", {})
    return answer["statusCode"], answer["headers"], error.get("code")


@pytest.fixture(autouse=True)
def no_log(monkeypatch):
    write_metrics(monkeypatch)


@pytest.fixture
def with_keys(monkeypatch):
    monkeypatch.setattr(lambda_func, "access", read_access(TWO_KEYS))


@pytest.mark.parametrize("environment", [{}, {"LENSLET_API_KEYS": "  "}])
def test_without_hashes_no_key_is_needed(environment):
    read_access(environment).check_key({})
    read_access(environment).check_key({"x-api-key": "any"})


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": "first"},
        {"x-api-key": "second"},
        {"x-api-key": " first "},
        {"authorization": "Bearer first"},
        {"authorization": "bearer   second "},
        {"x-api-key": "of-the-gateway", "authorization": "Bearer first"},
        {"x-api-key": "first", "authorization": "Bearer of-an-authorizer"},
        {"x-api-key": "first", "authorization": "Basic Zmlyc3Q6"},
    ],
)
def test_right_key_is_accepted(headers):
    read_access(TWO_KEYS).check_key(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": " "},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "first"},
        {"authorization": "Basic first"},
        {"x-key": "first", "cookie": "x-api-key=first"},
    ],
)
def test_no_key(headers):
    with pytest.raises(KeyMissing, match="an API key is needed, as X-Api-Key: <key> or Authorization"):
        read_access(TWO_KEYS).check_key(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": "third"},
        {"x-api-key": "First"},
        {"x-api-key": "firs"},
        {"x-api-key": "firstt"},
        {"x-api-key": "first,second"},
        {"x-api-key": FIRST_HASH},  # who has read the setting has no key
        {"authorization": f"Bearer {FIRST_HASH}"},
        {"x-api-key": "\ud800"},
        {"x-api-key": "é" * 100_000},
    ],
)
def test_wrong_key(headers):
    with pytest.raises(KeyRefused, match="the API key is not accepted"):
        read_access(TWO_KEYS).check_key(headers)


@pytest.mark.parametrize("key", ["first", "second", "third"])
def test_every_hash_is_compared_whichever_is_right(monkeypatch, key):
    """Else the time of an answer would tell where in the list a key stands."""
    compared = []
    digests = SimpleNamespace(
        compare_digest=lambda given, known: compared.append(known) or hmac.compare_digest(given, known)
    )
    monkeypatch.setattr(lenslet.serving.access, "hmac", digests)
    try:
        read_access(TWO_KEYS).check_key({"x-api-key": key})
    except KeyRefused:
        assert key == "third"
    assert compared == [bytes.fromhex(FIRST_HASH), bytes.fromhex(SECOND_HASH)]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("the-key-itself", "not what stands there as number 1"),
        (f"{FIRST_HASH},", "not what stands there as number 2"),
        (f"{FIRST_HASH},the-key-itself", "not what stands there as number 2"),
        (FIRST_HASH[:-1], "not what stands there as number 1"),
        (f"{FIRST_HASH};{SECOND_HASH}", "not what stands there as number 1"),
        (f"sha256:{FIRST_HASH}", "not what stands there as number 1"),
        ("٣" * 64, "not what stands there as number 1"),
        (",", "not what stands there as number 1"),
    ],
)
def test_malformed_keys(setting, message):
    with pytest.raises(ValueError, match=message) as refused:
        read_access({"LENSLET_API_KEYS": setting})
    sentence = str(refused.value)
    assert sentence.startswith("LENSLET_API_KEYS takes SHA-256 hashes of 64 hexadecimal digits, separated by")
    assert "the-key-itself" not in sentence


def test_hashes_are_not_shown():
    assert FIRST_HASH[:8] not in repr(read_access(TWO_KEYS))
    assert repr(bytes.fromhex(FIRST_HASH))[2:20] not in repr(read_access(TWO_KEYS))


KEY = {"x-api-key": "first"}
DOORS = [
    # event, headers (None: the event's own), status, code
    ("http_api_describe", {}, 401, "key_missing"),
    ("http_api_describe", {"x-api-key": "third"}, 403, "key_refused"),
    ("http_api_describe", KEY, 200, None),
    ("http_api_describe", {"X-API-KEY": "first"}, 200, None),
    ("http_api_describe", {"AUTHORIZATION": "BEARER second"}, 200, None),
    ("rest_describe", None, 403, "key_refused"),  # with the gateway's own key, which is none of ours
    ("rest_predict_image", {}, 401, "key_missing"),
    ("rest_predict_image", KEY, 200, None),
    ("function_url_predict_image", {}, 401, "key_missing"),
    ("function_url_predict_image", {"authorization": "Bearer first"}, 200, None),
    ("http_api_bad_json", {}, 401, "key_missing"),  # nothing of a body is looked at
    ("http_api_bad_json", KEY, 400, "bad_request"),
    ("http_api_unknown_path", {}, 401, "key_missing"),
    ("http_api_unknown_path", KEY, 404, "not_found"),
    ("http_api_wrong_method", {}, 401, "key_missing"),
    ("http_api_wrong_method", KEY, 405, "method_not_allowed"),
    ("http_api_health", {}, 200, None),
    ("function_url_health", {"x-api-key": "third"}, 200, None),
    ("rest_headers_null", None, 200, None),
    ("http_api_preflight", {}, 204, None),
    ("rest_preflight", {}, 204, None),
]


@pytest.mark.parametrize(("name", "headers", "status", "code"), DOORS)
def test_key_check_by_event(with_keys, name, headers, status, code):
    found_status, found_headers, found_code = ask(name, headers)
    assert (found_status, found_code) == (status, code)
    assert found_headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)
    assert found_headers["Access-Control-Allow-Origin"] == "*"


def test_direct_invoke_needs_no_key(with_keys):
    assert "predictions" in lambda_func.handler(read_event("direct_predict_image"), None)


@pytest.mark.parametrize("context", [{}, {"http": None}, {"http": {}}, {"elb": {}}, "none", None])
def test_http_event_cannot_pass_as_a_direct_invoke(with_keys, context):
    """Events of HTTP have a requestContext and direct invokes have none: no event is both."""
    event = {**read_event("direct_predict_image"), "requestContext": context}
    assert lambda_func.handler(event, None)["error"]["code"] == "bad_request"


@pytest.mark.parametrize(
    ("environment", "origin", "allowed"),
    [
        ({}, PAGE, "*"),
        ({}, None, "*"),
        ({"LENSLET_CORS_ORIGINS": " "}, PAGE, "*"),
        ({"LENSLET_CORS_ORIGINS": " * "}, PAGE, "*"),
        ({"LENSLET_CORS_ORIGINS": PAGE}, PAGE, PAGE),
        ({"LENSLET_CORS_ORIGINS": f"http://localhost:3000 , {PAGE.upper()}"}, PAGE, PAGE),
        ({"LENSLET_CORS_ORIGINS": "http://localhost:3000,http://[::1]:3000"}, LOCAL_PAGE, LOCAL_PAGE),
        ({"LENSLET_CORS_ORIGINS": PAGE}, None, None),
        ({"LENSLET_CORS_ORIGINS": PAGE}, "null", None),
        ({"LENSLET_CORS_ORIGINS": PAGE}, "http://app.example.com", None),
        ({"LENSLET_CORS_ORIGINS": PAGE}, "https://app.example.com:8443", None),
        ({"LENSLET_CORS_ORIGINS": PAGE}, "https://app.example.com.evil.example", None),
        ({"LENSLET_CORS_ORIGINS": PAGE}, "https://evil-app.example.com", None),
        ({"LENSLET_CORS_ORIGINS": PAGE}, f"{PAGE}/", None),
        ({"LENSLET_CORS_ORIGINS": PAGE}, f"{PAGE}\r\nSet-Cookie: a=b", None),
        ({"LENSLET_CORS_ORIGINS": PAGE}, "*", None),
    ],
)
@pytest.mark.parametrize("name", ["http_api_describe", "http_api_bad_json", "rest_preflight"])
def test_cors_headers(monkeypatch, name, environment, origin, allowed):
    monkeypatch.setattr(lambda_func, "access", read_access(environment))
    _, headers, _ = ask(name, {"Origin": origin} if origin else {})
    sent = {header for header in headers if header.startswith("Access-Control-")}
    assert headers.get("Access-Control-Allow-Origin") == allowed
    assert len(sent) == (5 if allowed else 0)
    assert headers.get("Vary") == (None if allowed == "*" else "Origin")
    assert "Access-Control-Allow-Credentials" not in sent
    if allowed:
        assert headers["Access-Control-Allow-Headers"] == "Content-Type, Authorization, X-Api-Key"


def test_page_may_read_the_refusal_of_its_key(monkeypatch):
    access = read_access(TWO_KEYS | {"LENSLET_CORS_ORIGINS": PAGE})
    monkeypatch.setattr(lambda_func, "access", access)
    status, headers, _ = ask("function_url_predict_image", {"origin": PAGE})
    assert (status, headers["Access-Control-Allow-Origin"], headers["Vary"]) == (401, PAGE, "Origin")


@pytest.mark.parametrize(
    "wrong",
    [
        "app.example.com",
        "https://",
        "https://app.example.com/",
        "https://app.example.com/page",
        "https://app.example.com:443",
        "http://app.example.com:80",
        "https://app.example.com:0",
        "https://app.example.com:123456",
        "https://*.example.com",
        "https://user@app.example.com",
        "https://straße.example",
        "file:///home",
        "null",
        "",
        "*",
        "https://a.example https://b.example",
    ],
)
def test_malformed_origins(wrong):
    message = f"LENSLET_CORS_ORIGINS takes .*http://localhost:3000, separated by commas, not {re.escape(repr(wrong))}$"
    with pytest.raises(ValueError, match=message):
        read_access({"LENSLET_CORS_ORIGINS": f"{PAGE},{wrong}"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "value"),
    [("LENSLET_API_KEYS", "the-key-itself"), ("LENSLET_CORS_ORIGINS", "*,https://a.example")],
)
def test_malformed_setting_stops_the_start(monkeypatch, setting, value):
    monkeypatch.setenv(setting, value)
    done = subprocess.run(
        [sys.executable, "-m", "lenslet", "serve", "--port", "0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"lenslet serve: a setting is wrong: {setting} takes ")
    assert done.stderr.count("\n") == 1
    assert "the-key-itself" not in done.stderr
    function = [sys.executable, "-c", "import lambda_func"]
    assert subprocess.run(function, cwd=ROOT, capture_output=True, timeout=60).returncode == 1


@pytest.mark.slow
def test_key_made_as_documented_is_accepted_by_the_server(monkeypatch):
    code = re.search(r"python -c '(.+?)'\n", (ROOT / "docs/security.md").read_text()).group(1)
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    key, hashed = re.fullmatch(r"key +(\S{43})\nhash +([0-9a-f]{64})\n", made).groups()
    assert hashlib.sha256(key.encode()).hexdigest() == hashed
    monkeypatch.setenv("LENSLET_API_KEYS", hashed)
    with running() as (address, _):
        statuses = [
            requests.get(f"{address}/", headers=headers, timeout=30).status_code
            for headers in ({}, {"X-Api-Key": hashed}, {"X-Api-Key": key}, {"Authorization": f"Bearer {key}"})
        ]
        assert statuses == [401, 403, 200, 200]
        assert requests.get(f"{address}/health", timeout=30).status_code == 200
        assert requests.options(f"{address}/predict", timeout=30).status_code == 204

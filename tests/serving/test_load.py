"""The server under overload: right answers, early refusals, and no client that blocks the others."""

import hashlib
import json
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest
import requests
import yaml

from bench.clients import Connection, ask_all
from bench.load_pattern import SHARES, SMALL, draw_photos, load_pattern, requests_by_kind, serving_links
from bench.loopback import running
from lenslet.inference.classifier import Classifier
from tests.support import link_server
from tests.support.endpoint import ROOT
from tests.support.photos import plain

pytestmark = pytest.mark.slow

PHOTO = plain((200, 30, 30))
RAW = {"Content-Type": "image/png"}
KEEP_WORKERS = ["links_keep_workers=1"]  # links that stall stand for requests that take long


def test_sixteen_clients_get_the_expected_answers():
    photos = draw_photos(large_size=(1600, 1200))
    with (
        serving_links(photos[SMALL]) as links,
        running(LENSLET_LINK_HOSTS=links.removeprefix("http://")) as (address, _),
    ):
        pattern = requests_by_kind(photos, Classifier.load(ROOT / "model"), links)
        outcomes = ask_all(address, islice(load_pattern(pattern, tuple(SHARES)), 400), clients=16)
    assert [outcome for outcome in outcomes if not outcome.is_right] == []
    # 12 + 2 + 3 + 3 of twenty, twenty times; each broken one has the answer that bench/load_pattern.py says.
    assert Counter(outcome.kind for outcome in outcomes) == {
        "150 px": 240,
        "12 MP": 40,
        "link": 60,
        "broken": 60,
    }
    assert Counter(outcome.status for outcome in outcomes)[200] == 340


@pytest.fixture
def full():
    """A server with one worker and two places to wait, all taken by links that stall until `released` is set."""
    with (
        link_server.serving_links(PHOTO) as links,
        running("--workers", "1", "--waiting", "2", numbers=KEEP_WORKERS, LENSLET_LINK_HOSTS=links.host) as (
            address,
            _,
        ),
        ThreadPoolExecutor(3) as pool,
    ):
        link = {"url": f"{links.address}/photo_on_release"}
        taken = [pool.submit(requests.post, f"{address}/predict", json=link, timeout=60) for _ in range(3)]
        assert links.asked.wait(20)
        until_refused(address)
        yield address, links, taken
        links.released.set()


def until_refused(address):
    """The three requests need a moment to arrive."""
    end = time.monotonic() + 10
    while requests.get(f"{address}/", timeout=30).status_code != 503:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_overload_is_answered_at_once_with_retry_after(full):
    address, links, taken = full
    started = time.monotonic()
    answer = requests.post(f"{address}/predict", data=PHOTO, headers=RAW, timeout=30)
    assert time.monotonic() - started < 1
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.json() == {
        "error": {
            "code": "overloaded",
            "message": "too many requests are waiting already; try again later",
        }
    }
    assert not any(each.done() for each in taken)
    links.released.set()
    assert [each.result().status_code for each in taken] == [200, 200, 200]
    assert requests.post(f"{address}/predict", data=PHOTO, headers=RAW, timeout=30).status_code == 200


def test_health_is_answered_while_everything_else_is_refused(full):
    address, _, _ = full
    started = time.monotonic()
    answer = requests.get(f"{address}/health", timeout=30)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert time.monotonic() - started < 1
    assert requests.post(f"{address}/health", data=bytes(20_000_000), timeout=30).status_code == 405


def test_refusals_are_as_documented(full):
    address, _, _ = full
    for path, operations in yaml.safe_load((ROOT / "openapi.yaml").read_text())["paths"].items():
        for method, operation in operations.items():
            answer = requests.request(method, address + path, timeout=30)
            assert (answer.status_code == 503) == ("503" in operation["responses"]), (method, path)
            assert str(answer.status_code) in operation["responses"], (method, path)


def test_client_that_sends_megabytes_reads_its_refusal(full):
    address, _, _ = full
    with requests.Session() as session:
        for _ in range(3):  # on one connection: what was not read of a body must not be taken for a request
            answer = session.post(f"{address}/predict", data=bytes(5_000_000), headers=RAW, timeout=30)
            assert answer.status_code == 503


def test_wait_for_a_worker_is_bounded():
    with (
        link_server.serving_links(PHOTO) as links,
        running(
            "--workers",
            "1",
            numbers=[*KEEP_WORKERS, "lenslet.serving.http.admission.WAIT_TIMEOUT_S=0.5"],
            LENSLET_LINK_HOSTS=links.host,
        ) as (address, _),
        ThreadPoolExecutor(1) as pool,
    ):  # fmt: skip
        link = {"url": f"{links.address}/photo_on_release"}
        first = pool.submit(requests.post, f"{address}/predict", json=link, timeout=60)
        assert links.asked.wait(20)
        answer = requests.post(f"{address}/predict", data=PHOTO, headers=RAW, timeout=30)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.json()["error"]["message"] == "no worker was free within 0.5 s; try again later"
        links.released.set()
        assert first.result().status_code == 200
        assert requests.post(f"{address}/predict", data=PHOTO, headers=RAW, timeout=30).status_code == 200


def test_links_that_stall_keep_neither_worker_nor_place():
    with (
        link_server.serving_links(PHOTO) as links,
        running(
            "--workers", "1", "--waiting", "2",
            numbers=["lenslet.serving.links.fetcher.TIMEOUT_S=60"], LENSLET_LINK_HOSTS=links.host,
        ) as (address, _),
        ThreadPoolExecutor(8) as pool,
    ):  # fmt: skip
        link = {"url": f"{links.address}/photo_on_release"}
        batch = {"images": [link]}
        try:
            taken = []
            for body in [link, batch] * 4:
                links.asked.clear()
                taken.append(pool.submit(requests.post, f"{address}/predict", json=body, timeout=60))
                assert links.asked.wait(20)
            for _ in range(3):
                started = time.monotonic()
                answer = requests.post(f"{address}/predict", data=PHOTO, headers=RAW, timeout=30)
                assert answer.status_code == 200
                assert time.monotonic() - started < 5
            assert not any(each.done() for each in taken)
        finally:
            links.released.set()
        first, second, *_ = answers = [each.result() for each in taken]
        assert [each.status_code for each in answers] == [200] * 8
        assert first.json()["predictions"] == answer.json()["predictions"]
        assert second.json()["results"][0]["predictions"] == answer.json()["predictions"]


def test_requests_that_wait_for_links_are_bounded():
    numbers = ["lenslet.serving.http.admission.MAX_WAITING_FOR_LINKS=2"]
    with (
        link_server.serving_links(PHOTO) as links,
        running("--workers", "1", numbers=numbers, LENSLET_LINK_HOSTS=links.host) as (address, _),
        ThreadPoolExecutor(2) as pool,
    ):
        link = {"url": f"{links.address}/photo_on_release"}
        try:
            taken = []
            for _ in range(2):
                links.asked.clear()
                taken.append(pool.submit(requests.post, f"{address}/predict", json=link, timeout=60))
                assert links.asked.wait(20)
            refused = requests.post(f"{address}/predict", json=link, timeout=30)
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
            assert refused.json()["error"] == {
                "code": "overloaded",
                "message": "too many requests are waiting for their links already; try again later",
            }
            assert requests.post(f"{address}/predict", data=PHOTO, headers=RAW, timeout=30).status_code == 200
        finally:
            links.released.set()
        assert [each.result().status_code for each in taken] == [200, 200]
        assert requests.post(f"{address}/predict", json=link, timeout=30).status_code == 200


def test_slow_client_loses_its_place():
    with running(
        "--workers", "1", "--waiting", "0", numbers=["lenslet.serving.http.bridge.BODY_TIMEOUT_S=0.5"]
    ) as (address, _):
        head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        with half_a_request(address, f"{head}half a ") as slow:
            until_refused(address)
            received = b"".join(iter(lambda: slow.recv(65536), b""))  # to the end: the server hangs up
        head, _, body = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert json.loads(body)["error"] == {
            "code": "request_timeout",
            "message": "the request took longer than 0.5 s to arrive",
        }
        assert requests.get(f"{address}/", timeout=30).status_code == 200


def test_client_that_disconnects_frees_its_place():
    with running("--workers", "1", "--waiting", "0") as (address, _):
        for _ in range(5):
            connection = Connection(address)
            connection._socket.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
            until_refused(address)
            connection.close()
            end = time.monotonic() + 10
            while requests.get(f"{address}/", timeout=30).status_code != 200:
                assert time.monotonic() < end


KEY = "a-key-for-this-test"


def half_a_request(address, text):
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), 30)
    connection.sendall(text.encode())
    return connection


def closed(connection):
    """Whether the server has hung up, or does within the patience of the socket."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_client_without_a_key_takes_no_place():
    """Nor does one with a wrong key; a body that is on its way is not waited for."""
    hashed = hashlib.sha256(KEY.encode()).hexdigest()
    with running("--workers", "1", "--waiting", "0", LENSLET_API_KEYS=hashed) as (address, _):
        slow = [
            half_a_request(address, f"POST /predict HTTP/1.1\r\nHost: x\r\n{key}Content-Length: 1000\r\n\r\nhalf")
            for key in ("", "X-Api-Key: wrong\r\n")
        ]  # fmt: skip
        assert [connection.recv(12) for connection in slow] == [b"HTTP/1.1 401", b"HTTP/1.1 403"]
        for _ in range(4):
            answer = requests.get(f"{address}/", headers={"X-Api-Key": KEY}, timeout=30)
            assert answer.status_code == 200
        refused = requests.post(f"{address}/predict", data=bytes(5_000_000), headers=RAW, timeout=30)
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        for connection in slow:
            connection.close()


def test_incomplete_headers_time_out():
    with running("--workers", "1", numbers=["lenslet.serving.http.connection.HEADER_TIMEOUT_S=1"]) as (
        address,
        _,
    ):
        waiting = half_a_request(address, "GET / HTTP/1.1\r\nHost: x\r\nX-Half: ")
        drop_by_drop = half_a_request(address, "GET / HTTP/1.1\r\n")
        silent = half_a_request(address, "")
        after_a_request = half_a_request(address, "GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET / HT")
        end = time.monotonic() + 30
        with pytest.raises(OSError):
            while time.monotonic() < end:
                drop_by_drop.sendall(b"X: y\r\n")
                time.sleep(0.1)
        assert closed(waiting) and closed(silent)
        received = b"".join(iter(lambda: after_a_request.recv(65536), b""))
        assert received.startswith(b"HTTP/1.1 200 ")
        assert received.count(b"HTTP/1.1 ") == 1


def test_header_timeout_does_not_bound_the_request():
    with (
        link_server.serving_links(PHOTO) as links,
        running(
            "--workers",
            "1",
            numbers=["lenslet.serving.http.connection.HEADER_TIMEOUT_S=0.5"],
            LENSLET_LINK_HOSTS=links.host,
        ) as (address, _),
        ThreadPoolExecutor(1) as pool,
    ):  # fmt: skip
        link = {"url": f"{links.address}/photo_on_release"}
        answer = pool.submit(requests.post, f"{address}/predict", json=link, timeout=60)
        assert links.asked.wait(20)
        time.sleep(1.5)
        links.released.set()
        assert answer.result().status_code == 200


def test_idle_connections_do_not_keep_clients_out():
    with running("--workers", "1", numbers=["lenslet.serving.http.connection.MAX_IDLE=8"]) as (address, _):
        waiting = [half_a_request(address, "GET / HTTP/1.1\r\nX: ") for _ in range(20)]
        for _ in range(3):
            assert requests.get(f"{address}/", timeout=30).status_code == 200
        assert all(map(closed, waiting[:12]))  # the first make room for the last
        waiting[-1].sendall(b"y\r\nHost: x\r\n\r\n")
        assert waiting[-1].recv(12) == b"HTTP/1.1 200"
        for connection in waiting:
            connection.close()

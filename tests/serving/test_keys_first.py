"""Keys are checked before a place is taken, on the same path as the function routes by."""

import hashlib
import socket

import pytest
import requests

from bench.loopback import running as running_on_loopback
from tests.support.photos import quadrants, saved

KEY = "a key of these tests"
HASH = hashlib.sha256(KEY.encode()).hexdigest()
SPELLINGS = ["/health", "/health/", "/health///", "/$default/health", "/%68ealth", "/health%2F"]


@pytest.fixture(scope="module")
def address():
    """A server that admits two requests, one of them waiting."""
    with running_on_loopback("--workers", "1", "--waiting", "1", LENSLET_API_KEYS=HASH) as (address, _):
        yield address


def half_a_request(address, line):
    connection = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 30)
    connection.sendall(f"{line} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf a ".encode())
    return connection


@pytest.mark.parametrize(
    "line", [f"POST {path}" for path in SPELLINGS] + ["options /predict", "OPTIONS /predict/"]
)
def test_requests_without_a_key_take_no_place(address, line):
    held = [half_a_request(address, line) for _ in range(40)]
    try:
        photo = saved(quadrants("RGBY"), "JPEG")
        headers = {"Content-Type": "image/jpeg", "X-Api-Key": KEY}
        assert requests.post(f"{address}/predict", photo, headers=headers, timeout=60).status_code == 200
    finally:
        for connection in held:
            connection.close()


@pytest.mark.parametrize(
    "path", ["//health", "/%2Fhealth", "/health/x", "/predict/health", "/Health", "/health%00"]
)
def test_other_paths_than_health_need_a_key(address, path):
    with half_a_request(address, f"POST {path}") as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")  # without waiting for the body


@pytest.mark.parametrize("path", SPELLINGS)
def test_health_needs_no_key(address, path):
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 30) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")

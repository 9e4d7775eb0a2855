"""Servers of links that keep a processor busy without delivering a photo."""

import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest

import lambda_func
from lenslet.inference.errors import LinkFailed, LinkRefused, Overloaded, RequestTooLarge
from lenslet.serving.links import address, allowance, fetcher
from lenslet.serving.links.fetcher import fetch
from lenslet.serving.links.rules import Rules

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "chunks of one byte": (HEAD, b"1\r\nx\r\n", "pieces"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "pieces|beside the body"),
    "headers of interim answers": (b"HTTP/1.1 103 Early\r\n", b"a: b\r\n", "broke off|pieces"),
    "trailers": (HEAD + b"0\r\n", b"a: " + b"b" * 1000 + b"\r\n", "beside the body"),
    "short trailers": (HEAD + b"0\r\n", b"a:b\r\n", "pieces"),
    "long chunk extensions": (HEAD, b"1;" + b"a" * 1000 + b"\r\nx\r\n", "beside the body"),
    "long headers": (b"HTTP/1.1 200 OK\r\n", b"a: " + b"b" * 60_000 + b"\r\n", "beside the body"),
}


@contextmanager
def sending(first, again):
    """The port of a server that sends `first`, and then `again` without end."""

    def serve():
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(65536)
                    connection.sendall(first)
                    while again:
                        connection.sendall(again * 200)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture(autouse=True)
def loopback_is_public(monkeypatch):
    monkeypatch.setattr(address, "is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr(address, "resolve", lambda name: ["127.0.0.1"])


def get(monkeypatch, port):
    monkeypatch.setattr(fetcher, "read_rules", lambda environment: Rules(hosts=(("photos.example", port),)))
    monkeypatch.setattr(fetcher, "TIMEOUT_S", 60.0)  # so that none ends by the clock
    return fetch(f"http://photos.example:{port}/photo")


@pytest.mark.parametrize("kind", ENDLESS)
def test_endless_answer_is_given_up(monkeypatch, kind):
    first, again, sentence = ENDLESS[kind]
    with sending(first, again) as port:
        started_s = time.process_time()
        with pytest.raises(LinkFailed, match=sentence):
            get(monkeypatch, port)
        # Also what this process needs to send it.
        assert time.process_time() - started_s < 5


def test_redirect_to_a_long_link_is_refused(monkeypatch):
    head = b"HTTP/1.1 302 Found\r\nLocation: /" + b"a" * 9000 + b"\r\n\r\n"
    with sending(head, b"") as port, pytest.raises(LinkRefused, match="longer than 8,192 characters"):
        get(monkeypatch, port)


@pytest.mark.parametrize("key", ["..", "../other/photo", "a/../b", "./a", "a/."])
def test_dots_in_s3_keys_are_refused(key):
    with pytest.raises(LinkRefused, match=r"the link's key has a part \. or \.\. in it"):
        fetch(f"s3://photos/{key}")


def test_links_of_all_requests_share_a_budget(monkeypatch):
    monkeypatch.setattr(allowance, "MAX_BYTES_TOGETHER", 60)
    monkeypatch.setattr(allowance, "OF_PROCESS", allowance.Budget(100))
    first, second = allowance.Allowance(), allowance.Allowance()
    first.take(60)
    with pytest.raises(RequestTooLarge, match="the request's links deliver more than 60 bytes together"):
        first.take(1)
    second.take(40)
    with pytest.raises(
        Overloaded, match="links of other requests deliver too much at this moment; try again later"
    ):
        second.take(1)
    first.give_back(20)
    second.take(1)
    first.release()
    first.release()  # counts once
    first.give_back(20)  # of a thread that was late
    second.take(19)
    third = allowance.Allowance()
    third.take(40)
    with pytest.raises(Overloaded):
        third.take(1)
    with pytest.raises(LinkFailed, match="the request has been answered"):
        first.take(1)


def test_answered_request_gives_its_bytes_back(monkeypatch):
    monkeypatch.setattr(allowance, "OF_PROCESS", allowance.Budget(100))
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 80\r\n\r\n" + b"x" * 80
    with sending(head, b"") as port:
        for _ in range(3):
            assert get(monkeypatch, port) == b"x" * 80
            monkeypatch.setattr(
                fetcher, "read_rules", lambda environment: Rules(hosts=(("photos.example", port),))
            )
            answer = lambda_func.handler({"url": f"http://photos.example:{port}/photo"}, None)
            assert answer["error"]["code"] == "not_an_image"

"""Links, read from real servers on the loopback interface: HTTP, HTTPS with our own certificate, S3 by moto.

What production refuses is the loopback interface itself: here `address.is_public` is replaced by one that takes
127.0.0.1 for the internet, and `address.resolve` by a table of names. No request and no setting can do that.
"""

import gzip
import json
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest
import trustme

import lenslet
from lenslet.inference.errors import LinkFailed, LinkRefused, LinkTimeout, RequestTooLarge
from lenslet.serving.links import address, allowance, connection
from lenslet.serving.links import fetcher as remote
from lenslet.serving.links.allowance import Allowance
from lenslet.serving.links.connection import Deadline
from lenslet.serving.links.fetcher import fetch
from lenslet.serving.links.rules import Rules
from tests.support.aws import moto_server, s3_at
from tests.support.function_log import write_metrics

PHOTO = b"\xff\xd8\xff some photo"
LIMIT_BYTES = 200_000
LIMIT_S = 0.3
EVENTS = Path(__file__).parents[1] / "events"
RESOLVE = address.resolve
NAMES = {
    "photos.example": ["127.0.0.1"],
    "other.example": ["127.0.0.1"],  # not in the certificate
    "nobody-first.example": ["::1", "127.0.0.1"],
    "private.example": ["10.0.0.1"],
    "metadata.example": ["169.254.169.254"],
    "both.example": ["127.0.0.1", "127.0.0.2"],
}


class Scenes(BaseHTTPRequestHandler):
    """Each path is one way for a server to behave; `seen` keeps the headers of the requests."""

    protocol_version = "HTTP/1.1"
    seen: list[dict[str, str]] = []  # noqa: RUF012
    tls_names: list[str | None] = []  # noqa: RUF012

    def log_message(self, *arguments: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str | int) -> None:
        self.send_response(status)
        for name, value in ({"Content_Length": len(body)} | headers).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.seen.append(dict(self.headers))
        self.close_connection = True
        name = self.path.split("?")[0].removeprefix("/photos/").strip("/").replace("-", "_") or "photo"
        with suppress(OSError):  # the client goes away: that is what most scenes are about
            getattr(self, name)()

    def photo(self) -> None:
        self.answer(200, PHOTO)

    def query(self) -> None:
        self.answer(200, self.path.encode())

    def chunked(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    def at_the_limit(self) -> None:
        self.answer(200, bytes(LIMIT_BYTES))

    def too_much(self) -> None:
        self.answer(200, bytes(LIMIT_BYTES + 1))

    def too_much_without_length(self) -> None:
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(bytes(10_000))

    def more_than_announced(self) -> None:
        self.answer(200, PHOTO + bytes(LIMIT_BYTES), Content_Length=len(PHOTO))

    def less_than_announced(self) -> None:
        self.answer(200, PHOTO, Content_Length=1000)

    def stall_before_the_answer(self) -> None:
        time.sleep(4 * LIMIT_S)

    def stall_in_the_body(self) -> None:
        self.answer(200, PHOTO, Content_Length=1000)
        time.sleep(4 * LIMIT_S)

    def trickle_the_body(self) -> None:
        self.answer(200, Content_Length=1000)
        while True:
            self.wfile.write(b".")
            time.sleep(LIMIT_S / 10)

    def trickle_the_headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            self.wfile.write(b".")
            time.sleep(LIMIT_S / 10)

    def reset(self) -> None:
        # Closing a socket that lingers for 0 s sends RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.socket(fileno=self.connection.detach()).close()

    def missing(self) -> None:
        self.answer(404, b"no such photo")

    def broken(self) -> None:
        self.answer(500, b"stack trace")

    def denied(self) -> None:
        self.answer(403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")

    def page(self) -> None:
        self.answer(200, b"<!doctype html><title>Sign in</title>", Content_Type="image/jpeg")

    def packed(self) -> None:
        self.answer(200, gzip.compress(bytes(50 * LIMIT_BYTES), mtime=0), Content_Encoding="gzip")

    def packed_twice(self) -> None:
        self.answer(200, gzip.compress(gzip.compress(PHOTO)), Content_Encoding="identity, gzip")

    def packed_in_secret(self) -> None:
        self.answer(200, gzip.compress(PHOTO, mtime=0))

    def called_identity(self) -> None:
        self.answer(200, PHOTO, Content_Encoding="Identity")

    def uploaded_in_chunks(self) -> None:
        self.answer(200, PHOTO, Content_Encoding="aws-chunked, identity")

    def called_utf_8(self) -> None:
        self.answer(200, PHOTO, Content_Encoding="utf-8")

    def busy(self) -> None:
        self.answer(429)

    def chunks_break_off(self) -> None:
        self.answer_raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")

    def chunks_without_end(self) -> None:
        self.answer_raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")

    def chunks_of_nonsense(self) -> None:
        self.answer_raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\nab\r\n0\r\n\r\n")

    def endless_chunks(self) -> None:
        self.answer_raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            self.wfile.write(b"2710\r\n" + bytes(10_000) + b"\r\n")

    def length_of_nonsense(self) -> None:
        self.answer_raw(b"HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\n" + PHOTO)

    def no_http(self) -> None:
        self.answer_raw(b"SSH-2.0-OpenSSH_9.2\r\n")

    def many_headers(self) -> None:
        self.answer_raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n" + PHOTO)

    def long_header(self) -> None:
        self.answer_raw(b"HTTP/1.1 200 OK\r\nX: " + bytes(100_000) + b"\r\n\r\n" + PHOTO)

    def status_of_nonsense(self) -> None:
        self.answer_raw(b"HTTP/1.1 two hundred\r\n\r\n" + PHOTO)

    def answer_raw(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def endless_continue(self) -> None:
        while True:
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            time.sleep(LIMIT_S / 10)

    def redirect_to(self) -> None:
        """Where the query says, byte by byte."""
        location = unquote_to_bytes(self.path.partition("?")[2])
        self.answer_raw(b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n")

    def created(self) -> None:
        self.answer(201, PHOTO, Location="/photo")

    def redirect_without_location(self) -> None:
        self.answer(302)

    def empty_answer(self) -> None:
        self.answer(204)

    def redirect(self) -> None:
        self.answer(302, Location="/photo")

    def redirect_twice(self) -> None:
        self.answer(301, Location="/redirect")

    def redirect_thrice(self) -> None:
        self.answer(308, Location="/redirect-twice")

    def redirect_four_times(self) -> None:
        self.answer(303, Location="/redirect-thrice")

    def redirect_with_query(self) -> None:
        self.answer(307, Location="/query?a=b%20c")

    def redirect_loop(self) -> None:
        self.answer(302, Location="/redirect-loop")

    def redirect_with_endless_body(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/photo")
        self.end_headers()
        while True:
            self.wfile.write(bytes(10_000))


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """The ports of two servers, http and https, whose paths are `Scenes`; their authority is in SSL_CERT_FILE."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda connection, name, context: Scenes.tls_names.append(name)
    authority.issue_cert("photos.example", "nobody-first.example", "127.0.0.1").configure_cert(context)
    bundle = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    with (
        Server(("127.0.0.1", 0), Scenes) as plain,
        Server(("127.0.0.1", 0), Scenes) as encrypted,
        pytest.MonkeyPatch.context() as patch,
    ):
        encrypted.socket = context.wrap_socket(encrypted.socket, server_side=True)
        patch.setenv("SSL_CERT_FILE", str(bundle))
        for server in (plain, encrypted):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield {"http": plain.server_port, "https": encrypted.server_port}
        for server in (plain, encrypted):
            server.shutdown()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *arguments: object) -> None:
        """A client that goes away, or does not like the certificate, is what some tests are about."""


@pytest.fixture(autouse=True)
def internet(monkeypatch: pytest.MonkeyPatch, ports: dict[str, int]) -> SimpleNamespace:
    """The names that exist and the address that is public; what was looked up, and what was connected to."""
    seen = SimpleNamespace(lookups=[], connections=[], names=dict(NAMES))
    is_public, connect = address.is_public, socket.socket.connect

    def resolve(name: str) -> list[str]:
        seen.lookups.append(name)
        return seen.names.get(name) or [name]

    def recorded_connect(line: socket.socket, where: Any) -> None:
        seen.connections.append(where[0])
        connect(line, where)

    monkeypatch.setattr(address, "resolve", resolve)
    monkeypatch.setattr(address, "is_public", lambda text: text in ("127.0.0.1", "::1") or is_public(text))
    monkeypatch.setattr(address, "WEB_PORTS", ports)
    monkeypatch.setattr("lenslet.serving.links.rules.USUAL_PORTS", tuple(ports.values()))
    monkeypatch.setattr(socket.socket, "connect", recorded_connect)
    for setting in ("LENSLET_LINK_HOSTS", "LENSLET_S3_BUCKETS", "LENSLET_CONTACT"):
        monkeypatch.delenv(setting, raising=False)
    Scenes.seen.clear()
    Scenes.tls_names.clear()
    return seen


@pytest.fixture
def https() -> str:
    return "https://photos.example"


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MAX_BYTES", LIMIT_BYTES)
    monkeypatch.setattr(remote, "TIMEOUT_S", LIMIT_S)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what must end by itself: a slow machine is no reason to fail."""
    monkeypatch.setattr(remote, "TIMEOUT_S", 20.0)


# --- https


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/photo", PHOTO),
        ("/query?size=large&name=a%20b", b"/query?size=large&name=a%20b"),
        ("/chunked", b"abcde"),
        ("/at-the-limit", bytes(LIMIT_BYTES)),
        ("/more-than-announced", PHOTO),  # what comes after the announced length is not part of the answer
        ("/redirect", PHOTO),
        ("/redirect-thrice", PHOTO),
        ("/redirect-with-query", b"/query?a=b%20c"),
        ("/redirect-with-endless-body", PHOTO),
        ("/redirect-to?" + quote("/query?ä b"), b"/query?%C3%A4%20b"),
        ("/redirect-to?" + quote("/query?\xff", encoding="latin-1"), b"/query?%FF"),
        ("/redirect-to?" + quote("//photos.example/photo#part"), PHOTO),
        ("/length-of-nonsense", PHOTO),
        ("/packed-in-secret", gzip.compress(PHOTO, mtime=0)),  # never unpacked
        ("/called-identity", PHOTO),
        ("/uploaded-in-chunks", PHOTO),
        ("/called-utf-8", PHOTO),
        ("/photo \n", PHOTO),
        ("/photo\u200b\ufeff", PHOTO),
        ('/photo">', PHOTO),
        ("/redirect-to?" + quote("/photo ") + "%20", PHOTO),
    ],
)
def test_https_delivers(https: str, path: str, body: bytes) -> None:
    assert fetch(https + path) == body


@pytest.mark.usefixtures("patient")
def test_links_of_a_request_share_their_allowance(https: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "MAX_BYTES_TOGETHER", LIMIT_BYTES + len(PHOTO))
    own = Allowance()
    assert fetch(https + "/at-the-limit", own) == bytes(LIMIT_BYTES)
    with pytest.raises(RequestTooLarge, match=r"the request's links deliver more than .* together"):
        fetch(https + "/at-the-limit", own)
    assert fetch(https + "/photo", own) == PHOTO  # who was refused keeps nothing
    with pytest.raises(RequestTooLarge, match="together"):
        fetch(https + "/chunked", own)


@pytest.mark.usefixtures("patient")
def test_request_headers(https: str) -> None:
    fetch(https + "/photo")
    assert Scenes.seen == [
        {
            "Host": "photos.example",
            "User-Agent": f"lenslet/{lenslet.__version__}",
            "Accept": "image/jpeg, image/png, image/webp, image/gif, image/bmp, image/tiff, */*;q=0.1",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
    ]


@pytest.mark.usefixtures("patient")
def test_user_agent_names_the_operators_page(https: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENSLET_CONTACT", "https://example.com/about")
    fetch(https + "/photo")
    assert Scenes.seen[0]["User-Agent"] == f"lenslet/{lenslet.__version__} (+https://example.com/about)"


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("/missing", LinkFailed, "answered with status 404: see what it shows in a private window"),
        ("/busy", LinkFailed, "answered with status 429: try again later"),
        ("/broken", LinkFailed, "answered with status 500: try again later"),
        ("/empty-answer", LinkFailed, "answered with status 204"),
        ("/reset", LinkFailed, "could not be reached, or broke off"),
        ("/less-than-announced", LinkFailed, "fewer bytes than it announced"),
        ("/chunks-break-off", LinkFailed, "could not be reached, or broke off"),
        ("/chunks-without-end", LinkFailed, "could not be reached, or broke off"),
        ("/chunks-of-nonsense", LinkFailed, "could not be reached, or broke off"),
        ("/no-http", LinkFailed, "could not be reached, or broke off"),
        ("/many-headers", LinkFailed, "could not be reached, or broke off"),
        ("/long-header", LinkFailed, "could not be reached, or broke off"),
        ("/status-of-nonsense", LinkFailed, "could not be reached, or broke off"),
        ("/packed", LinkFailed, "sent a compressed body"),
        ("/packed-twice", LinkFailed, "sent a compressed body"),
        ("/created", LinkFailed, "answered with status 201"),
        ("/redirect-without-location", LinkFailed, "answered with status 302"),
        ("/redirect-four-times", LinkFailed, "redirects more than 3 times"),
        ("/redirect-loop", LinkFailed, "redirects more than 3 times"),
        ("/endless-chunks", RequestTooLarge, "more than 200,000 bytes"),
        ("/too-much", RequestTooLarge, "more than 200,000 bytes"),
        ("/too-much-without-length", RequestTooLarge, "more than 200,000 bytes"),
    ],
)
def test_https_fails(https: str, path: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fetch(https + path)


@pytest.mark.parametrize(
    "link",
    [
        "https://photos.example/stall-before-the-answer",
        "https://photos.example/stall-in-the-body",
        "https://photos.example/trickle-the-body",
        "https://photos.example/trickle-the-headers",
        "http://photos.example/trickle-the-headers",
        "http://photos.example/endless-continue",
    ],
)
def test_slow_server_is_abandoned(link: str) -> None:
    start, before = time.monotonic(), set(threading.enumerate())
    with pytest.raises(LinkTimeout, match=f"longer than {LIMIT_S} s"):
        fetch(link)
    assert time.monotonic() - start < 3 * LIMIT_S
    while fetching(before) and time.monotonic() - start < 10 * LIMIT_S:
        time.sleep(0.01)
    assert not fetching(before)


def fetching(before: set[threading.Thread]) -> list[threading.Thread]:
    return [thread for thread in set(threading.enumerate()) - before if "(work)" in thread.name]


def test_a_handshake_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def trickle() -> None:
        with suppress(OSError), silent.accept()[0] as line:
            line.sendall(b"\x16\x03\x03\x40\x00")  # a long message of a handshake follows
            while True:
                line.sendall(b".")
                time.sleep(LIMIT_S / 10)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        threading.Thread(target=trickle, daemon=True).start()
        monkeypatch.setenv("LENSLET_LINK_HOSTS", f"photos.example:{port}")
        test_slow_server_is_abandoned(f"https://photos.example:{port}/photo")


def test_the_timeout_of_a_socket_is_reported_like_that_of_the_fetch() -> None:
    with pytest.raises(LinkTimeout, match=f"longer than {LIMIT_S} s"):
        remote._read_web("http://photos.example/stall-in-the-body", Rules(), Allowance(), Deadline(LIMIT_S))


@pytest.mark.usefixtures("patient")
def test_unknown_authority_is_not_trusted(https: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    with pytest.raises(LinkFailed, match="could not be reached"):
        fetch(https + "/photo")
    assert Scenes.seen == []


@pytest.mark.usefixtures("patient")
def test_default_authorities_are_those_of_certifi(https: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert connection._tls(None, None).cert_store_stats()["x509_ca"] > 50
    bundle = os.environ["SSL_CERT_FILE"]
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setattr("certifi.where", lambda: bundle)
    connection._tls.cache_clear()
    try:
        assert fetch(https + "/photo") == PHOTO
    finally:
        connection._tls.cache_clear()


@pytest.mark.usefixtures("patient")
def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening: connections are refused
        port = taken.getsockname()[1]
        monkeypatch.setenv("LENSLET_LINK_HOSTS", f"photos.example:{port}")
        with pytest.raises(LinkFailed, match="could not be reached"):
            fetch(f"https://photos.example:{port}/photo")


# --- who is connected to


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("scheme", ["http", "https", "HTTP", "HTTPS"])
def test_scheme(scheme: str) -> None:
    assert fetch(f"{scheme}://photos.example/photo") == PHOTO


@pytest.mark.usefixtures("patient")
def test_the_server_sees_the_name_of_the_link(internet: SimpleNamespace) -> None:
    fetch("https://Photos.EXAMPLE/photo")
    assert Scenes.seen[0]["Host"] == "photos.example"
    assert Scenes.tls_names == ["photos.example"]
    assert internet.connections == ["127.0.0.1"]


@pytest.mark.usefixtures("patient")
def test_the_server_sees_an_unusual_port(ports: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    port = ports["http"]
    monkeypatch.setattr(address, "WEB_PORTS", {"http": 80, "https": 443})
    monkeypatch.setattr("lenslet.serving.links.rules.USUAL_PORTS", (80, 443))
    monkeypatch.setenv("LENSLET_LINK_HOSTS", f"*.example:{port}")
    assert fetch(f"http://photos.example:{port}/photo") == PHOTO
    assert Scenes.seen[0]["Host"] == f"photos.example:{port}"


@pytest.mark.usefixtures("patient")
def test_certificate_of_an_address() -> None:
    assert fetch("https://127.0.0.1/photo") == PHOTO


@pytest.mark.usefixtures("patient")
def test_certificate_of_another_name_is_refused() -> None:
    with pytest.raises(LinkFailed, match="could not be reached"):
        fetch("https://other.example/photo")
    assert Scenes.seen == []


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_connection_is_to_the_checked_address(
    internet: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    answers = [["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2"]]

    def rebind(name: object, *arguments: object, **options: object) -> list[Any]:
        internet.lookups.append(name)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, 0)) for text in answers.pop(0)]

    monkeypatch.setattr(address, "resolve", RESOLVE)
    monkeypatch.setattr(socket, "getaddrinfo", rebind)
    assert fetch(f"{scheme}://photos.example/photo") == PHOTO
    assert internet.lookups == ["photos.example"]
    assert internet.connections == ["127.0.0.1"]


@pytest.mark.usefixtures("patient")
def test_each_redirect_is_looked_up_and_checked_again(internet: SimpleNamespace) -> None:
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    internet.names = SimpleNamespace(get=lambda name: answers.pop(0))
    with pytest.raises(LinkRefused, match="not on the public internet"):
        fetch("https://photos.example/redirect")
    assert internet.lookups == ["photos.example"] * 2
    assert internet.connections == ["127.0.0.1"]


@pytest.mark.usefixtures("patient")
def test_redirect_to_an_international_host(internet: SimpleNamespace) -> None:
    internet.names["xn--bcher-kva.example"] = ["127.0.0.1"]
    location = quote("http://b\u00fccher.example/photo")
    assert fetch(f"http://photos.example/redirect-to?{location}") == PHOTO
    assert internet.lookups[-1] == "xn--bcher-kva.example"


def test_one_private_address_is_enough_to_refuse(internet: SimpleNamespace) -> None:
    with pytest.raises(LinkRefused, match="not on the public internet"):
        fetch("http://both.example/photo")
    assert internet.connections == []


@pytest.mark.usefixtures("patient")
def test_the_next_address_is_tried(internet: SimpleNamespace) -> None:
    assert fetch("https://nobody-first.example/photo") == PHOTO
    assert internet.connections[-1] == "127.0.0.1"


def test_an_address_that_does_not_respond_does_not_use_up_the_time(
    internet: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = socket.socket.connect

    def swallow(line: socket.socket, where: Any) -> None:
        if where[0] == "::1":
            time.sleep(line.gettimeout() or 60)
            raise TimeoutError("timed out")
        connect(line, where)

    monkeypatch.setattr(socket.socket, "connect", swallow)
    monkeypatch.setattr(remote, "TIMEOUT_S", 4 * LIMIT_S)
    assert fetch("https://nobody-first.example/photo") == PHOTO


@pytest.mark.usefixtures("patient")
def test_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    class Server6(Server):
        address_family = socket.AF_INET6

    try:
        server = Server6(("::1", 0), Scenes)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setenv("LENSLET_LINK_HOSTS", f"[::1]:{server.server_port}")
        assert fetch(f"http://[0::1]:{server.server_port}/photo") == PHOTO
        assert Scenes.seen[0]["Host"] == f"[::1]:{server.server_port}"
        server.shutdown()


@pytest.mark.usefixtures("patient")
def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert fetch("http://photos.example/photo") == PHOTO
    assert fetch("https://photos.example/photo") == PHOTO


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("http://photos.example/photo", "from https:// to http://"),
        ("http://127.0.0.2/", "from https:// to http://"),
        ("https://127.0.0.2/", "not on the public internet"),
        ("https://169.254.169.254/latest/meta-data/", "not on the public internet"),
        ("//169.254.169.254/latest/meta-data/", "not on the public internet"),
        ("https://[fd00:ec2::254]/", "not on the public internet"),
        ("https://[::ffff:127.0.0.1]/", "not on the public internet"),
        ("https://private.example/", "not on the public internet"),
        ("https://metadata.example/", "not on the public internet"),
        ("https://both.example/", "not on the public internet"),
        ("https://2130706433/", "no IP address in its usual form"),
        ("https://0x7f.1/", "no IP address in its usual form"),
        ("https://localhost/", "must be a full name"),
        ("https://photos.example./", "must be a full name"),
        ("https://user:password@photos.example/photo", "user name or password"),
        ("https://photos.example:22/", "ports other than 80 and 443"),
        ("https://:443/", "not a valid URL"),
        ("https://[::1/", "not a valid URL"),
        ("https://ⓛocalhost/", "not an international name that can be converted"),
        ("file:///etc/hostname", "something else than http"),
        ("ftp://photos.example/photo", "something else than http"),
        ("gopher://127.0.0.1:6379/_x", "something else than http"),
        ("data:image/png;base64,iVBORw0KGgo=", "something else than http"),
        ("s3://photos/photo.jpg", "something else than http"),
        ("\\\\127.0.0.2\\photo", "control character or a backslash"),
        ("/\t/127.0.0.2/photo", "control character or a backslash"),
        ("ht\x0btps://127.0.0.2/", "control character or a backslash"),
    ],
)
def test_redirect_is_refused(internet: SimpleNamespace, location: str, message: str) -> None:
    with pytest.raises(LinkRefused, match=message):
        fetch(f"https://photos.example/redirect-to?{quote(location)}")
    assert internet.connections == ["127.0.0.1"]
    assert len(Scenes.seen) == 1


@pytest.mark.usefixtures("patient")
def test_redirect_to_another_host_than_allowed(https: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENSLET_LINK_HOSTS", "photos.example")
    assert fetch(https + "/redirect") == PHOTO
    with pytest.raises(LinkRefused, match="LENSLET_LINK_HOSTS"):
        fetch(f"{https}/redirect-to?https://nobody-first.example/photo")


@pytest.mark.usefixtures("patient")
def test_redirect_from_http() -> None:
    assert fetch("http://photos.example/redirect") == PHOTO
    assert fetch("http://photos.example/redirect-to?https://photos.example/photo") == PHOTO
    with pytest.raises(LinkRefused, match="not on the public internet"):
        fetch("http://photos.example/redirect-to?http://127.0.0.2/")


# --- through the handler


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/page", 415, "not_an_image_link"),
        ("/reset", 502, "link_failed"),
        ("/less-than-announced", 502, "link_failed"),
        ("/packed", 502, "link_failed"),
        ("/missing", 502, "link_failed"),
        ("/stall-in-the-body", 504, "link_timeout"),
        ("/too-much", 413, "request_too_large"),
        ("/redirect-to", 502, "link_failed"),  # to a path that has the secret in it
        (":99/", 422, "link_refused"),
    ],
)
def test_answer_and_log_of_a_link(
    https: str, path: str, status: int, code: str, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    import lambda_func

    write_metrics(monkeypatch)
    monkeypatch.setattr(remote, "TIMEOUT_S", LIMIT_S if status == 504 else 20.0)
    event: dict[str, Any] = json.loads((EVENTS / "function_url_predict_image.json").read_text())
    event |= {"isBase64Encoded": False}
    event["body"] = json.dumps({"url": f"{https}{path}?signature=never-in-the-log"})
    event["headers"]["content-type"] = "application/json"
    answer = lambda_func.handler(event, None)
    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (status, code)
    written = capfd.readouterr()
    assert '"message":"answered"' in written.out
    for secret in ("never-in-the-log", "photos.example", "Traceback"):
        assert secret not in written.out + written.err + answer["body"]


# --- s3

KEYS = [
    "photo.jpg",
    "a folder/my photo.jpg",
    "100%20sure+.jpg",
    "why?.jpg",
    "photo#1.jpg",
    "/photo.jpg",
    "日本.jpg",
]


@pytest.fixture(scope="module")
def s3() -> Iterator[None]:
    """A moto server as this process's S3, with a bucket `photos` that holds KEYS, their names as content."""
    import boto3

    with moto_server() as address, s3_at(address):
        client = boto3.client("s3")
        client.create_bucket(Bucket="photos")
        for key in KEYS:
            client.put_object(Bucket="photos", Key=key, Body=key.encode())
        client.put_object(Bucket="photos", Key="at the limit", Body=bytes(LIMIT_BYTES))
        client.put_object(Bucket="photos", Key="too large", Body=bytes(LIMIT_BYTES + 1))
        remote.s3_client.cache_clear()
        yield
        remote.s3_client.cache_clear()


@pytest.fixture
def buckets(internet: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENSLET_S3_BUCKETS", "photos,missing")


@pytest.fixture
def another_s3(s3: None, patient: None, buckets: None) -> Iterator[None]:
    """For tests that change the environment which the client is made from."""
    remote.s3_client.cache_clear()
    yield
    remote.s3_client.cache_clear()


@pytest.mark.slow
@pytest.mark.usefixtures("s3", "patient", "buckets")
@pytest.mark.parametrize("key", KEYS)
def test_s3_key_is_taken_literally(key: str) -> None:
    assert fetch(f"s3://photos/{key}") == key.encode()


@pytest.mark.slow
@pytest.mark.usefixtures("s3", "patient", "buckets")
def test_s3_object_at_the_limit() -> None:
    assert fetch("s3://photos/at the limit") == bytes(LIMIT_BYTES)


@pytest.mark.slow
@pytest.mark.usefixtures("s3", "patient", "buckets")
@pytest.mark.parametrize(
    ("link", "error", "message"),
    [
        ("s3://photos/missing.jpg", LinkFailed, "did not give the object: NoSuchKey"),
        ("s3://missing/photo.jpg", LinkFailed, "did not give the object: NoSuchBucket"),
        ("s3://photos/too large", RequestTooLarge, "more than 200,000 bytes"),
    ],
)
def test_s3_fails(link: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fetch(link)


@pytest.mark.slow
@pytest.mark.usefixtures("another_s3")
def test_s3_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(LinkFailed, match="could not be asked"):
            fetch("s3://photos/photo.jpg")


@pytest.mark.slow
@pytest.mark.usefixtures("another_s3")
def test_s3_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(remote, "TIMEOUT_S", LIMIT_S)
        with pytest.raises(LinkTimeout, match=f"longer than {LIMIT_S} s"):
            fetch("s3://photos/photo.jpg")


@pytest.mark.slow
@pytest.mark.usefixtures("another_s3")
def test_s3_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(LinkFailed, match="could not be asked"):
        fetch("s3://photos/photo.jpg")


@pytest.mark.slow
@pytest.mark.usefixtures("another_s3")
def test_many_links_at_once() -> None:
    bodies: dict[str, bytes] = {}
    threads = [
        threading.Thread(target=lambda key=key: bodies.update({key: fetch(f"s3://photos/{key}")}))
        for key in KEYS[:3]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bodies == {key: key.encode() for key in KEYS[:3]}


# What S3 and its like may do besides what moto does.


@pytest.fixture(scope="module")
def client_of_scenes(ports: dict[str, int]) -> Any:
    with s3_at(f"http://127.0.0.1:{ports['http']}"):
        return remote.s3_client.__wrapped__(remote.S3_TIMEOUT_FACTOR * LIMIT_S, attempts=1)


@pytest.fixture
def scenes_as_s3(client_of_scenes: Any, buckets: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of `Scenes` as S3; the object `page` of the bucket `photos` is the scene `page`."""
    monkeypatch.setattr(remote, "s3_client", lambda timeout_s, attempts: client_of_scenes)


@pytest.mark.usefixtures("scenes_as_s3", "patient")
@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        ("denied", LinkFailed, "S3 did not give the object: AccessDenied"),
        ("reset", LinkFailed, "S3 could not be asked for the object, or broke off"),
        ("less-than-announced", LinkFailed, "S3 could not be asked for the object, or broke off"),
        ("too-much", RequestTooLarge, "more than 200,000 bytes"),
        ("\ud800", LinkRefused, "impossible bucket or key"),
    ],
)
def test_faults_of_s3(key: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fetch(f"s3://photos/{key}")


@pytest.mark.usefixtures("scenes_as_s3", "patient")
def test_s3_bytes_are_not_decoded() -> None:
    assert fetch("s3://photos/photo") == PHOTO
    assert fetch("s3://photos/packed") == gzip.compress(bytes(50 * LIMIT_BYTES), mtime=0)


@pytest.mark.usefixtures("scenes_as_s3")
@pytest.mark.parametrize("key", ["stall-before-the-answer", "stall-in-the-body"])
def test_s3_stalls(key: str) -> None:
    with pytest.raises(LinkTimeout, match=f"longer than {LIMIT_S} s"):
        fetch(f"s3://photos/{key}")

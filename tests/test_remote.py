"""Links, read from real servers on the loopback interface: HTTPS with our own certificate, S3 by moto."""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from inference import remote
from inference.errors import LinkFailed, LinkRefused, LinkTimeout, RequestTooLarge
from inference.remote import fetch

PHOTO = b"\xff\xd8\xff some photo"
LIMIT_BYTES = 200_000
LIMIT_S = 0.5


class Scenes(BaseHTTPRequestHandler):
    """Each path is one way for a server to behave; `seen` keeps the headers of the requests."""

    protocol_version = "HTTP/1.1"
    seen: list[dict[str, str]] = []  # noqa: RUF012

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
        name = self.path.split("?")[0].strip("/").replace("-", "_") or "photo"
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

    def redirect_to_http(self) -> None:
        self.answer(302, Location=f"http://{self.headers['Host']}/photo")

    def redirect_to_file(self) -> None:
        self.answer(302, Location="file:///etc/hostname")

    def redirect_to_nowhere(self) -> None:
        self.answer(302, Location="https://:443/")

    def redirect_in_latin1(self) -> None:
        self.answer(302, Location="/\xff")

    def redirect_with_endless_body(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/photo")
        self.end_headers()
        while True:
            self.wfile.write(bytes(10_000))


@pytest.fixture(scope="module")
def https(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the server whose paths are `Scenes`."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    with ThreadingHTTPServer(("127.0.0.1", 0), Scenes) as server, pytest.MonkeyPatch.context() as patch:
        server.daemon_threads = True
        server.block_on_close = False
        server.socket = context.wrap_socket(server.socket, server_side=True)
        patch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        patch.setenv("NO_PROXY", "127.0.0.1")
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()


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
    ],
)
def test_https_delivers(https: str, path: str, body: bytes) -> None:
    assert fetch(https + path) == body


@pytest.mark.usefixtures("patient")
def test_scheme_in_capitals(https: str) -> None:
    assert fetch(https.replace("https", "HTTPS") + "/photo") == PHOTO


@pytest.mark.usefixtures("patient")
def test_request_gives_our_name_and_asks_for_plain_bytes(https: str) -> None:
    Scenes.seen.clear()
    fetch(https + "/photo")
    assert Scenes.seen[0]["User-Agent"].startswith("lenslet/")
    assert Scenes.seen[0]["Accept-Encoding"] == "identity"


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("/missing", LinkFailed, "answered with status 404"),
        ("/broken", LinkFailed, "answered with status 500"),
        ("/empty-answer", LinkFailed, "answered with status 204"),
        ("/reset", LinkFailed, "could not be reached, or broke off"),
        ("/less-than-announced", LinkFailed, "could not be reached, or broke off"),
        ("/redirect-four-times", LinkFailed, "redirects more than 3 times"),
        ("/redirect-loop", LinkFailed, "redirects more than 3 times"),
        ("/redirect-in-latin1", LinkFailed, "could not be reached, or broke off"),
        ("/redirect-to-http", LinkRefused, "redirects to something else than https"),
        ("/redirect-to-file", LinkRefused, "redirects to something else than https"),
        ("/redirect-to-nowhere", LinkRefused, "not a valid URL"),
        ("/too-much", RequestTooLarge, "more than 200,000 bytes"),
        ("/too-much-without-length", RequestTooLarge, "more than 200,000 bytes"),
    ],
)
def test_https_fails(https: str, path: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fetch(https + path)


@pytest.mark.parametrize(
    "path", ["/stall-before-the-answer", "/stall-in-the-body", "/trickle-the-body", "/trickle-the-headers"]
)
def test_https_is_too_slow(https: str, path: str) -> None:
    start = time.monotonic()
    with pytest.raises(LinkTimeout, match=f"longer than {LIMIT_S} s"):
        fetch(https + path)
    assert time.monotonic() - start < 3 * LIMIT_S


def test_a_trickling_body_is_let_go_of(https: str) -> None:
    before = set(threading.enumerate())
    with pytest.raises(LinkTimeout):
        fetch(https + "/trickle-the-body")
    deadline = time.monotonic() + 10 * LIMIT_S
    # The server's threads end as well, when nobody reads any more.
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not set(threading.enumerate()) - before


@pytest.mark.usefixtures("patient")
def test_unknown_authority_is_not_trusted(https: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    with pytest.raises(LinkFailed, match="could not be reached"):
        fetch(https + "/photo")


@pytest.mark.usefixtures("patient")
def test_nobody_listens(https: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening: connections are refused
        with pytest.raises(LinkFailed, match="could not be reached"):
            fetch(f"https://127.0.0.1:{taken.getsockname()[1]}/photo")


# --- links of the wrong kind


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("", "only https:// and s3://"),
        ("photo.jpg", "only https:// and s3://"),
        ("//example.com/photo.jpg", "only https:// and s3://"),
        ("https:/example.com", "only https:// and s3://"),
        ("http://127.0.0.1/photo.jpg", "only https:// and s3://"),
        ("ftp://127.0.0.1/photo.jpg", "only https:// and s3://"),
        ("file:///proc/self/environ", "only https:// and s3://"),
        ("data:image/png;base64,iVBORw0KGgo=", "only https:// and s3://"),
        ("https", "only https:// and s3://"),
        ("https://", "not a valid URL"),
        ("https:///photo.jpg", "not a valid URL"),
        ("https://:443/photo.jpg", "not a valid URL"),
        ("https://[::1/photo.jpg", "not a valid URL"),
        ("https://127.0.0.1:notaport/", "not a valid URL"),
        ("https://*.example.com/", "not a valid URL"),
        ("s3://", "must name a bucket and a key"),
        ("s3://bucket", "must name a bucket and a key"),
        ("s3://bucket/", "must name a bucket and a key"),
        ("s3:///key", "must name a bucket and a key"),
        ("s3://no bucket is called so/key", "impossible bucket or key"),
    ],
)
@pytest.mark.usefixtures("patient")
def test_link_is_refused(link: str, message: str) -> None:
    with pytest.raises(LinkRefused, match=message):
        fetch(link)


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
    # Two seconds of imports, which the fast tests need not wait for.
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "none")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "none")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_CONFIG_FILE", "none")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
        patch.setenv("NO_PROXY", "127.0.0.1")
        client = boto3.client("s3")
        client.create_bucket(Bucket="photos")
        for key in KEYS:
            client.put_object(Bucket="photos", Key=key, Body=key.encode())
        client.put_object(Bucket="photos", Key="at the limit", Body=bytes(LIMIT_BYTES))
        client.put_object(Bucket="photos", Key="too large", Body=bytes(LIMIT_BYTES + 1))
        remote._s3_client.cache_clear()
        yield
        remote._s3_client.cache_clear()
    server.stop()


@pytest.fixture
def another_s3(s3: None, patient: None) -> Iterator[None]:
    """For tests that change the environment which the client is made from."""
    remote._s3_client.cache_clear()
    yield
    remote._s3_client.cache_clear()


@pytest.mark.slow
@pytest.mark.usefixtures("s3", "patient")
@pytest.mark.parametrize("key", KEYS)
def test_s3_key_is_taken_literally(key: str) -> None:
    assert fetch(f"s3://photos/{key}") == key.encode()


@pytest.mark.slow
@pytest.mark.usefixtures("s3", "patient")
def test_s3_object_at_the_limit() -> None:
    assert fetch("s3://photos/at the limit") == bytes(LIMIT_BYTES)


@pytest.mark.slow
@pytest.mark.usefixtures("s3", "patient")
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

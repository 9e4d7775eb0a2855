"""A server on the loopback for links that a real lenslet serve fetches; each path has another behaviour."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

STALL_S = 15  # longer than any fetch in these tests may take


class Paths(BaseHTTPRequestHandler):
    """`/reset` is answered by `reset`; /photos/denied is the object `denied` of the S3 bucket `photos`."""

    protocol_version = "HTTP/1.1"
    photo_bytes: bytes
    asked: threading.Event
    released: threading.Event

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self.close_connection = True
        self.asked.set()
        with suppress(OSError):  # the client gave up, as some paths intend
            getattr(self, self.path.split("?")[0].rpartition("/")[2])()

    def answer(self, status: int, body: bytes, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def photo(self) -> None:
        self.answer(200, self.photo_bytes)

    def photo_on_release(self) -> None:
        """The photo, but not before the test allows it."""
        self.released.wait(STALL_S)
        self.photo()

    def silent(self) -> None:
        self.released.wait(STALL_S)

    def silent_after_half(self) -> None:
        self.answer(200, self.photo_bytes[: len(self.photo_bytes) // 2], len(self.photo_bytes))
        self.released.wait(STALL_S)

    def trickle(self) -> None:
        self.answer(200, b"", len(self.photo_bytes))
        while not self.released.is_set():
            self.wfile.write(b".")
            time.sleep(0.2)

    def reset(self) -> None:
        # Closing a socket that lingers for 0 s sends RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.socket(fileno=self.connection.detach()).close()

    def longer_than_sent(self) -> None:
        self.answer(200, self.photo_bytes, len(self.photo_bytes) + 1000)

    def shorter_than_sent(self) -> None:
        self.answer(200, self.photo_bytes, len(self.photo_bytes) // 4)

    def page(self) -> None:
        self.answer(200, b"<!doctype html><title>Please sign in</title>")

    def nothing(self) -> None:
        self.answer(200, b"")

    def missing(self) -> None:
        self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def denied(self) -> None:
        self.answer(
            403, b"<Error><Code>AccessDenied</Code><Message>of arn:aws:iam::1:role/secret</Message></Error>"
        )

    def slow_down(self) -> None:
        self.answer(503, b"<Error><Code>SlowDown</Code></Error>")


@contextmanager
def serving_links(photo: bytes) -> Iterator[SimpleNamespace]:
    """Its `address` and `host`; `asked` is set by every request, `released` ends the waiting of /photo_on_release."""

    class Scenes(Paths):
        photo_bytes = photo
        asked = threading.Event()
        released = threading.Event()

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Scenes) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        host = f"127.0.0.1:{server.server_port}"
        try:
            yield SimpleNamespace(
                address=f"http://{host}", host=host, asked=Scenes.asked, released=Scenes.released
            )
        finally:
            Scenes.released.set()
            server.shutdown()

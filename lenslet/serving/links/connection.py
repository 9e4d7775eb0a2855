"""Connections to checked addresses, bounded by the deadline of a fetch."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from lenslet.inference.errors import LinkFailed, LinkTimeout
from lenslet.serving.links.address import Place, public_addresses

if TYPE_CHECKING:
    import socket
    import ssl
    from http.client import HTTPResponse

MAX_LINE_BYTES = 1024 * 1024  # of headers, sizes of chunks and trailers; usually some hundreds


class Deadline:
    """The end of a fetch's time, and the connections to close when it has passed."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.end = time.monotonic() + timeout_s
        self.connections: list[socket.socket] = []

    def remaining_s(self) -> float:
        """Raises LinkTimeout if there is none."""
        remaining = self.end - time.monotonic()
        if remaining <= 0:
            raise self.passed()
        return remaining

    def passed(self) -> LinkTimeout:
        return LinkTimeout(f"the link's server took longer than {self.timeout_s:g} s")

    def cut(self) -> None:
        """Shut the connections down under the thread that reads them, which a slow server could hold for days."""
        import socket

        for connection in self.connections:
            with suppress(OSError):  # it is closed already
                # Not SSLSocket.shutdown, which removes the TLS state while the thread uses it.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)


def connect(place: Place, deadline: Deadline) -> "socket.socket":
    """A connection to a checked address of the place; with https, the server's certificate is verified.

    Raises: LinkRefused if one of the addresses is not public, OSError, LinkTimeout.
    """
    connection = _dial(public_addresses(place), place.port, deadline)
    try:
        connection.settimeout(deadline.remaining_s())  # bounds the whole handshake
        if place.scheme == "https":
            context = _tls(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
            connection = context.wrap_socket(connection, server_hostname=place.name)
        deadline.connections.append(connection)
        # Raises if the deadline has passed meanwhile: then no other thread closes this connection.
        connection.settimeout(deadline.remaining_s())
    except BaseException:
        connection.close()
        raise
    return connection


class CountedLines:
    """The stream of an answer, of which http.client reads everything but the body line by line.

    That are interim answers (1xx), headers, sizes of chunks, and trailers; it limits the number of headers alone.
    """

    def __init__(self, stream: Any, count: Callable[[], None]) -> None:
        self._stream = stream
        self._count = count
        self._left = MAX_LINE_BYTES

    def readline(self, limit: int = -1) -> bytes:
        """Raises LinkFailed if the lines are too many, or too long together."""
        self._count()
        line: bytes = self._stream.readline(limit)
        self._left -= len(line)
        if self._left < 0:
            raise LinkFailed(f"the link's server sends more than {MAX_LINE_BYTES:,} bytes beside the body")
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def counted_response(count: Callable[[], None], sock: "socket.socket", method: str) -> "HTTPResponse":
    """A response that calls `count` for each line it reads."""
    from http.client import HTTPResponse

    response = HTTPResponse(sock, method=method)
    response.fp = CountedLines(response.fp, count)  # type: ignore[assignment]
    return response


def _dial(addresses: list[str], port: int, deadline: Deadline) -> "socket.socket":
    """A connection to the first address that accepts one; each gets an equal share of the remaining time."""
    import socket

    failure = OSError("the host has no address")
    for index, address in enumerate(addresses):
        timeout_s = deadline.remaining_s() / (len(addresses) - index)
        try:
            connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        except OSError as error:  # a machine without IPv6
            failure = error
            continue
        try:
            connection.settimeout(timeout_s)
            connection.connect((address, port))
            return connection
        except OSError as error:
            connection.close()
            failure = error
    raise failure


@cache
def _tls(authorities: str | None, folder: str | None) -> "ssl.SSLContext":
    """Certificate verification with the operator's authorities, or those of certifi."""
    import ssl

    if not (authorities or folder):
        import certifi  # the same list everywhere; slim images and macOS may have none

        authorities = certifi.where()
    return ssl.create_default_context(cafile=authorities or None, capath=folder or None)

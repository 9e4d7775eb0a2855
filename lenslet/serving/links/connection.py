"""Connections to addresses that were checked, which end when a fetch must have ended."""

import os
import time
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from lenslet.inference.errors import LinkTimeout
from lenslet.serving.links.address import Place, public_addresses

if TYPE_CHECKING:
    import socket
    import ssl


class Deadline:
    """When a fetch must have ended, and the connections to cut if it has not."""

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
        """End the connections under the thread that waits for them: one byte now and then could keep it for days."""
        import socket

        for connection in self.connections:
            with suppress(OSError):  # it has ended by itself
                # Not SSLSocket.shutdown, which takes the thread's TLS state away while it is used.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)


def connect(place: Place, deadline: Deadline) -> "socket.socket":
    """A connection to an address of the place that was checked; https: to a server that proved to be the host.

    Raises: LinkRefused if one of the addresses is not public, OSError, LinkTimeout.
    """
    connection = _dial(public_addresses(place), place.port, deadline)
    try:
        connection.settimeout(deadline.remaining_s())  # which bounds the handshake as a whole
        if place.scheme == "https":
            context = _tls(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
            connection = context.wrap_socket(connection, server_hostname=place.name)
        deadline.connections.append(connection)
        # Or it is too late, and nobody comes any more to cut it.
        connection.settimeout(deadline.remaining_s())
    except BaseException:
        connection.close()
        raise
    return connection


def _dial(addresses: list[str], port: int, deadline: Deadline) -> "socket.socket":
    """A connection to the first address that takes one; each may use its share of the time that is left."""
    import socket

    failure = OSError("the host has no address")
    for index, address in enumerate(addresses):
        patience_s = deadline.remaining_s() / (len(addresses) - index)
        try:
            connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        except OSError as error:  # a machine without IPv6
            failure = error
            continue
        try:
            connection.settimeout(patience_s)
            connection.connect((address, port))
            return connection
        except OSError as error:
            connection.close()
            failure = error
    raise failure


@cache
def _tls(authorities: str | None, folder: str | None) -> "ssl.SSLContext":
    """What checks certificates, by the operator's own authorities or the usual ones."""
    import ssl

    if not (authorities or folder):
        import certifi  # the same list everywhere; a slim image or a Mac may have none of its own

        authorities = certifi.where()
    return ssl.create_default_context(cafile=authorities or None, capath=folder or None)

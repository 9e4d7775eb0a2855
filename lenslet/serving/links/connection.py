"""Connections to checked addresses, bounded by the deadline of a fetch."""

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

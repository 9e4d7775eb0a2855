"""Hosts and buckets that links may name, as the operator sets them in the environment; read with every link.

- LENSLET_LINK_HOSTS: hosts that http(s) links may name, separated by commas, as `images.example.com,
  *.example.org` (every subdomain of example.org, not that host itself). `images.example.com:8443` allows that port
  instead of 80 and 443. Not set or blank: every host. The addresses of a listed host must be public all the same.
- LENSLET_S3_BUCKETS: buckets that s3 links may name, separated by commas. Not set or blank: none.
- LENSLET_CONTACT: the address of a page about this deployment, which the User-Agent of its requests then names.

A malformed setting is an error, and no link is fetched.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lenslet.inference.errors import LinkRefused
from lenslet.serving.links.host import one_host
from lenslet.serving.settings import read_entries

USUAL_PORTS, MAX_PORT = (80, 443), 65535
HOST = re.compile(r"((\*\.)?[a-z0-9_.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?", re.IGNORECASE | re.ASCII)
HOST_KIND = "host names as *.example.org or a.example:8443"
BUCKET = re.compile(r"[a-z0-9._-]{3,255}", re.IGNORECASE | re.ASCII)
CONTACT = re.compile(r"https?://[!-'*-~]+")  # printable; a bracket would end the comment it stands in


@dataclass(frozen=True)
class Rules:
    """Hosts are (name or *.name, port or None for 80 and 443); without hosts, every public one is allowed."""

    hosts: tuple[tuple[str, int | None], ...] = ()
    buckets: frozenset[str] = frozenset()
    contact: str = ""

    def allow(self, host: str, port: int) -> bool:
        if not self.hosts:
            return port in USUAL_PORTS
        return any(
            (host.endswith(name[1:]) if name.startswith("*") else host == name)
            and (port in USUAL_PORTS if allowed is None else port == allowed)
            for name, allowed in self.hosts
        )


def read_rules(environment: Mapping[str, str]) -> Rules:
    """The settings named above. Raises ValueError, naming the setting and its malformed entry."""
    hosts = []
    for entry in read_entries(environment, "LENSLET_LINK_HOSTS", HOST, HOST_KIND):
        try:
            hosts.append(_host_and_port(entry))
        except (LinkRefused, ValueError) as error:
            raise ValueError(
                f"LENSLET_LINK_HOSTS takes {HOST_KIND}, separated by commas, not {entry!r}: {error}"
            ) from error
    buckets = read_entries(environment, "LENSLET_S3_BUCKETS", BUCKET, "bucket names")
    contact = environment.get("LENSLET_CONTACT", "").strip()
    if contact and not CONTACT.fullmatch(contact):
        raise ValueError(f"LENSLET_CONTACT takes an http(s):// address without brackets, not {contact!r}")
    return Rules(tuple(hosts), frozenset(buckets), contact)


def _host_and_port(entry: str) -> tuple[str, int | None]:
    """Normalized as `locate` normalizes those of links. Raises LinkRefused, ValueError."""
    name, *ports = re.split(r":(?=[0-9]+$)", entry)  # not within [2606:4700::1111]
    # A subdomain of an IP address does not exist, so a name with any label for the asterisk must be a host name.
    host = "*" + one_host(f"x{name[1:]}")[1:] if name.startswith("*") else one_host(name)
    port = int(ports[0]) if ports else None
    if port is not None and not 1 <= port <= MAX_PORT:
        raise ValueError(f"ports go from 1 to {MAX_PORT}")
    return host, port

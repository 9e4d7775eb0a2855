"""Strict parsing of http(s) links, and the check that a host has public addresses only."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address, ip_network
from urllib.parse import quote

from lenslet.inference.errors import LinkRefused
from lenslet.serving.links.host import in_ascii, one_host
from lenslet.serving.links.rules import Rules

WEB_PORTS = {"http": 80, "https": 443}

# RFC 3986, section 3, with far fewer characters in the host than section 3.2.2 allows. Not `urlsplit`: it removes
# tabs and line ends, and what it takes for the host has changed between Python versions.
LINK = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE | re.ASCII)
AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::([0-9]{0,5}))?", re.IGNORECASE | re.ASCII)
NEVER_IN_LINKS = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")  # browsers take a backslash for a slash, others do not

# The special-purpose address registries of IANA, listed here because `is_global` differs between Python 3.10 and 3.13.
# No photos are served from these blocks, so the few of them that are routed are refused, too.
NOT_PUBLIC = [
    ip_network(block)
    for block in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by carriers
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's services for the machine itself
        "169.254.0.0/16",  # link-local; 169.254.169.254 gives credentials
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112: reverse look-ups of private addresses
        "192.52.193.0/24",  # multicast tunnels
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "2001::/23",  # protocol assignments; Teredo, which has an IPv4 address inside
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which has an IPv4 address inside
        "2620:4f:8000::/48",  # AS112
        "3ffe::/16",  # 6bone, a former test network
        "3fff::/20",  # documentation
    )
]
# Loopback, fd00:ec2::254, IPv4-mapped, link-local and multicast addresses are outside of it.
PUBLIC_IPV6 = ip_network("2000::/3")
NAT64 = ip_network("64:ff9b::/96")  # how networks with IPv6 alone reach IPv4 (RFC 6052)


@dataclass(frozen=True)
class Place:
    """The target of an http(s) link, parsed once: connections and requests use these fields only."""

    scheme: str  # http or https
    host: str  # lower case; an IPv6 address in its brackets
    port: int
    target: str  # path and query as they are sent, percent-encoded ASCII

    @property
    def name(self) -> str:
        """The host in the form that resolvers and TLS expect."""
        return self.host.strip("[]")

    @property
    def authority(self) -> str:
        """Host and port in the form of the header `Host`."""
        return self.host if self.port == WEB_PORTS[self.scheme] else f"{self.host}:{self.port}"


def locate(link: str, rules: Rules) -> Place:
    """The target of an http(s) link. Raises LinkRefused; no name is looked up yet."""
    if NEVER_IN_LINKS.search(link):
        raise LinkRefused("the link has a control character or a backslash in it")
    parts = LINK.fullmatch(link)
    if not parts:
        raise LinkRefused("only http://, https:// and s3:// links are fetched")
    scheme, authority, target = parts[1].lower(), parts[2], parts[3]
    if "@" in authority:
        raise LinkRefused("links with a user name or password are not fetched")
    if not authority.isascii():
        authority = in_ascii(authority)
    named = AUTHORITY.fullmatch(authority)
    if not named:
        raise LinkRefused("the link is not a valid URL with a host")
    host, port = one_host(named[1]), int(named[2] or WEB_PORTS[scheme])
    if not rules.allow(host, port):
        raise LinkRefused(
            "the link's host or port is not among those that LENSLET_LINK_HOSTS allows"
            if rules.hosts
            else "links to ports other than 80 and 443 are fetched only if LENSLET_LINK_HOSTS names host and port"
        )
    try:  # what `requests` and browsers leave as it is
        target = quote(target, safe="!$%&'()*+,/:;=?@[]~")
    except UnicodeEncodeError as error:
        raise LinkRefused("the link has a lone surrogate, half a character, in it") from error
    return Place(scheme, host, port, target if target.startswith("/") else f"/{target}")


def public_addresses(place: Place) -> list[str]:
    """The addresses of a host, looked up once; connect to these and never by name again (DNS rebinding).

    Raises: LinkRefused if any of them is not public, OSError if there are none.
    """
    # Tests replace `resolve` and `is_public`. There is no environment variable for it: one that opens the private
    # network would sooner or later be set where untrusted callers send the links.
    addresses = resolve(place.name)
    if not all(is_public(address) for address in addresses):
        raise LinkRefused("the link's host is not on the public internet, and nothing else is fetched")
    return addresses


def resolve(name: str) -> list[str]:
    """All IP addresses of a host, in the order to try them. Raises OSError if there are none."""
    import socket  # imported here, because it takes 6 ms and only links need it

    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [str(address[0]) for _, _, _, _, address in found]


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet."""
    parsed = ip_address(address)
    if parsed in NAT64:
        parsed = IPv4Address(int(parsed) & 0xFFFFFFFF)
    if parsed.version == 6 and parsed not in PUBLIC_IPV6:
        return False
    return not any(parsed in block for block in NOT_PUBLIC)

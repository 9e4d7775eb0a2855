"""Normalization of host names and IP addresses, for links and for the settings that allow them."""

import re
import unicodedata
from ipaddress import IPv4Address, IPv6Address

from lenslet.inference.errors import LinkRefused

LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
HOST_NAME = re.compile(rf"(?=.{{1,253}}$){LABEL}(\.{LABEL})+", re.ASCII)
# C libraries read 2130706433, 127.1, 0177.0.0.1 and 0x7f.1 as 127.0.0.1; no top-level domain looks like that.
ENDS_IN_NUMBER = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)", re.ASCII)

# Letters that IDNA 2003, which Python has, turns into others, and IDNA 2008, which browsers have, keeps.
DEVIATIONS = re.compile("[\u00df\u03c2]")


def in_ascii(authority: str) -> str:
    """An international host with its port, in its xn-- form. Raises LinkRefused.

    Only letters and their marks are converted. Signs that stand for ASCII ones, such as wide digits and dots, are
    refused: one program reads them as another host than the next does.
    """
    host, colon, port = authority.partition(":")
    try:
        if DEVIATIONS.search(host) or not all(each.isascii() or _is_plain_letter(each) for each in host):
            raise ValueError("a sign that stands for another, or is read differently")
        return host.encode("idna").decode() + colon + port
    except ValueError as error:
        raise LinkRefused(
            "the link's host is not an international name that can be converted: spell it in ASCII, in its xn-- form"
        ) from error


def _is_plain_letter(character: str) -> bool:
    is_letter = unicodedata.category(character)[0] in "LM"
    return is_letter and unicodedata.normalize("NFKC", character) == character


def one_host(text: str) -> str:
    """A host name in lower case, or a canonical IP address. Raises LinkRefused if `text` is neither."""
    host = text.lower()
    if host.startswith("[") or ENDS_IN_NUMBER.fullmatch(host):
        try:
            return f"[{IPv6Address(host[1:-1])}]" if host.startswith("[") else str(IPv4Address(host))
        except ValueError as error:
            raise LinkRefused("the link's host is a number, but no IP address in its usual form") from error
    if not HOST_NAME.fullmatch(host):
        raise LinkRefused("the link's host must be a full name, as www.example.com, without a dot at its end")
    return host

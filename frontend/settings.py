"""Which endpoint the page asks, and with which key.

In this order: Streamlit's secrets (LENSLET_ENDPOINT, LENSLET_API_KEY), which Streamlit itself puts into the environment
over what is there; the environment (the same names); the sidebar; `http://127.0.0.1:8080`. A key typed in the sidebar
is preferred to a given one. LENSLET_PUBLIC_ENDPOINT says how people reach the endpoint, where this page knows it by
another name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

NAMES = ENDPOINT, KEY, PUBLIC = "LENSLET_ENDPOINT", "LENSLET_API_KEY", "LENSLET_PUBLIC_ENDPOINT"
DEFAULT_ENDPOINT = "http://127.0.0.1:8080"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Given:
    """What the environment says; "" where it says nothing."""

    endpoint: str
    key: str = field(repr=False)
    public: str = ""


def read_given(environment: Mapping[str, str]) -> Given:
    endpoint, key, public = (environment.get(name, "").strip() for name in NAMES)
    return Given(clean(endpoint), key, clean(public))


def may_choose(given: Given, address: str | None) -> bool:
    """Whether the sidebar lets people change the endpoint.

    Not where the operator has set one, and not on a page that listens for others (`address`, the option
    server.address, is not this computer): its server would send requests wherever a stranger likes.
    """
    return not given.endpoint and address in LOOPBACK


def key_for(endpoint: str, given: Given, typed: str) -> str:
    """A given key goes to the given endpoint, or without one to the default, but never to one that somebody typed."""
    return typed or (given.key if endpoint == (given.endpoint or DEFAULT_ENDPOINT) else "")


def address_for_others(endpoint: str, given: Given) -> str:
    """The endpoint in use, as request examples name it."""
    return given.public if given.public and endpoint == given.endpoint else endpoint


def clean(endpoint: str) -> str:
    """With a scheme, without closing slashes, and without the path and the query that people copy along."""
    scheme, separator, rest = re.split(r"[?#]", endpoint.strip())[0].rpartition("://")
    rest = re.sub(r"(/(predict|health))?/*$", "", rest)
    if rest and not separator:
        scheme = "http" if is_here(f"//{rest}") else "https"
    return f"{scheme.lower()}://{rest}" if scheme or rest else ""


def is_here(url: str) -> bool:
    """Whether an address is one of this computer."""
    try:
        return urlsplit(url).hostname in LOOPBACK
    except ValueError:  # it is no address at all
        return False

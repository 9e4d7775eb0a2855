"""The endpoint that the page calls, and the key it sends.

In order of precedence: Streamlit's secrets (LENSLET_ENDPOINT, LENSLET_API_KEY), which Streamlit itself copies into the
environment; the environment (the same names); the sidebar; `http://127.0.0.1:8080`. A key typed in the sidebar takes
precedence over one that is set. LENSLET_PUBLIC_ENDPOINT is the endpoint's public address, where it differs from the one
that this page uses.
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
    """Settings of the environment; "" where unset."""

    endpoint: str
    key: str = field(repr=False)
    public: str = ""


def read_given(environment: Mapping[str, str]) -> Given:
    endpoint, key, public = (environment.get(name, "").strip() for name in NAMES)
    return Given(clean(endpoint), key, clean(public))


def may_choose(given: Given, address: str | None) -> bool:
    """Whether the sidebar lets people change the endpoint.

    Not where the operator has set one, and not on a public page (`address`, the option server.address, is not this
    computer): its server would send requests to any address that a visitor types (SSRF).
    """
    return not given.endpoint and address in LOOPBACK


def key_for(endpoint: str, given: Given, typed: str) -> str:
    """A configured key is sent to the configured or default endpoint only, never to an address that somebody typed."""
    return typed or (given.key if endpoint == (given.endpoint or DEFAULT_ENDPOINT) else "")


def address_for_others(endpoint: str, given: Given) -> str:
    """The endpoint's address for request examples."""
    return given.public if given.public and endpoint == given.endpoint else endpoint


def clean(endpoint: str) -> str:
    """With a scheme; without trailing slashes, and without the path and query of a copied link."""
    scheme, separator, rest = re.split(r"[?#]", endpoint.strip())[0].rpartition("://")
    rest = re.sub(r"(/(predict|health))?/*$", "", rest)
    if rest and not separator:
        scheme = "http" if is_here(f"//{rest}") else "https"
    return f"{scheme.lower()}://{rest}" if scheme or rest else ""


def is_here(url: str) -> bool:
    """Whether an address is a loopback address."""
    try:
        return urlsplit(url).hostname in LOOPBACK
    except ValueError:  # not an address at all
        return False

"""Which endpoint the page asks, and with which key.

In this order: the environment (LENSLET_ENDPOINT, LENSLET_API_KEY), Streamlit's secrets (the same names), the sidebar,
`http://127.0.0.1:8080`. A key typed in the sidebar is preferred to a given one. LENSLET_PUBLIC_ENDPOINT says how
people reach the endpoint, where this page knows it by another name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

NAMES = ENDPOINT, KEY, PUBLIC = "LENSLET_ENDPOINT", "LENSLET_API_KEY", "LENSLET_PUBLIC_ENDPOINT"
DEFAULT_ENDPOINT = "http://127.0.0.1:8080"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Given:
    """What the environment and the secrets say; "" where they say nothing."""

    endpoint: str
    key: str = field(repr=False)
    public: str = ""


def read_given(environment: Mapping[str, str], secrets: Mapping[str, str]) -> Given:
    endpoint, key, public = (
        (environment.get(name, "") or str(secrets.get(name, ""))).strip() for name in NAMES
    )
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
    """Without closing slashes, and without the path that people copy along."""
    return endpoint.strip().rstrip("/").removesuffix("/predict").rstrip("/")

"""Who may ask, and which pages may read the answers, as the operator says in the environment at start.

- LENSLET_API_KEYS: SHA-256 hashes of the keys that are let in, in hexadecimal, separated by commas. A caller sends
  the key itself as `X-Api-Key: <key>` or `Authorization: Bearer <key>`. Not set or blank: everybody is let in.
- LENSLET_CORS_ORIGINS: origins of web pages that may read the answers, as `https://app.example.com`, separated by
  commas. Not set, blank or `*`: every page.

A direct invoke has no headers and needs no key: AWS let it in already, by the caller's permission to invoke.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lenslet.inference.errors import KeyMissing, KeyRefused
from lenslet.serving.settings import read_entries

KEY_HASH = re.compile(r"[0-9a-f]{64}", re.IGNORECASE | re.ASCII)
# As browsers send it: no path, and no port that goes without saying.
ORIGIN = re.compile(
    r"(http://(?!.*:80$)|https://(?!.*:443$))([a-z0-9_.-]+|\[[0-9a-f:]+\])(:[1-9][0-9]{0,4})?",
    re.IGNORECASE | re.ASCII,
)
# No Access-Control-Allow-Credentials, ever: a key is sent by a page that knows it, cookies mean nothing here.
CORS = {
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, Authorization, X-Api-Key",
    "Access-Control-Max-Age": "7200",
    "Access-Control-Expose-Headers": "Retry-After",
}


@dataclass(frozen=True)
class Access:
    """No hashes let everybody in; no origins let every page read."""

    key_hashes: tuple[bytes, ...] = field(default=(), repr=False)
    origins: frozenset[str] = frozenset()

    def check_key(self, headers: Mapping[str, str]) -> None:
        """`headers` have names in lower case. Raises KeyMissing, or KeyRefused if no key in them is right."""
        if not self.key_hashes:
            return
        keys = _keys_in(headers)
        if not keys:
            raise KeyMissing("an API key is needed, as X-Api-Key: <key> or Authorization: Bearer <key>")
        hashes = [hashlib.sha256(key.encode(errors="surrogatepass")).digest() for key in keys]
        # Counted to the end, where `any` would stop: the time must not tell which hash was met.
        if not sum(hmac.compare_digest(given, known) for given in hashes for known in self.key_hashes):
            raise KeyRefused("the API key is not one that is let in")

    def cors_headers(self, origin: str | None) -> dict[str, str]:
        """What tells a browser whether the page at `origin` may read the answer, errors and preflights too."""
        if not self.origins:
            return {"Access-Control-Allow-Origin": "*", **CORS}
        if origin not in self.origins:
            return {"Vary": "Origin"}
        return {"Access-Control-Allow-Origin": origin, **CORS, "Vary": "Origin"}


def read_access(environment: Mapping[str, str]) -> Access:
    """The settings named above. Raises ValueError, naming the setting and what makes no sense in it."""
    hashes = read_entries(
        environment,
        "LENSLET_API_KEYS",
        KEY_HASH,
        "SHA-256 hashes of 64 hexadecimal digits",
        is_secret=True,  # a key may stand there by mistake
    )
    origins: list[str] = []
    if environment.get("LENSLET_CORS_ORIGINS", "").strip() != "*":
        kind = "* alone, or origins as https://app.example.com or http://localhost:3000"
        origins = read_entries(environment, "LENSLET_CORS_ORIGINS", ORIGIN, kind)
    return Access(tuple(map(bytes.fromhex, hashes)), frozenset(origin.lower() for origin in origins))


def _keys_in(headers: Mapping[str, str]) -> list[str]:
    """Both are looked at: an API Gateway with keys or an authorizer of its own takes one of them for itself."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    given = [headers.get("x-api-key", ""), token if scheme.lower() == "bearer" else ""]
    return [key.strip() for key in given if key.strip()]

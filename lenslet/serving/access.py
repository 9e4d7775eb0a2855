"""API keys and CORS, as the operator sets them in the environment; read once, at the start.

- LENSLET_API_KEYS: SHA-256 hashes of the accepted keys, in hexadecimal, separated by commas. A caller sends the key
  itself as `X-Api-Key: <key>` or `Authorization: Bearer <key>`. Not set or blank: no key is needed.
- LENSLET_CORS_ORIGINS: origins of web pages that may read the answers, for example `https://app.example.com`, separated
  by commas. Not set, blank or `*`: every page.

A direct invoke has no headers and needs no key: AWS has checked the caller's permission to invoke.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lenslet.inference.errors import KeyMissing, KeyRefused
from lenslet.serving.settings import read_entries

KEY_HASH = re.compile(r"[0-9a-f]{64}", re.IGNORECASE | re.ASCII)
# As browsers send it: no path, and no default port.
ORIGIN = re.compile(
    r"(http://(?!.*:80$)|https://(?!.*:443$))([a-z0-9_.-]+|\[[0-9a-f:]+\])(:[1-9][0-9]{0,4})?",
    re.IGNORECASE | re.ASCII,
)
# Never Access-Control-Allow-Credentials: pages send the key themselves, and no cookie is read.
CORS = {
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, Authorization, X-Api-Key",
    "Access-Control-Max-Age": "7200",
    "Access-Control-Expose-Headers": "Retry-After",
}


@dataclass(frozen=True)
class Access:
    """Without hashes no key is needed; without origins every page may read the answers."""

    key_hashes: tuple[bytes, ...] = field(default=(), repr=False)
    origins: frozenset[str] = frozenset()

    def check_key(self, headers: Mapping[str, str]) -> None:
        """Raises KeyMissing, or KeyRefused if no key is accepted; `headers` have names in lower case."""
        if not self.key_hashes:
            return
        keys = _keys_in(headers)
        if not keys:
            raise KeyMissing("an API key is needed, as X-Api-Key: <key> or Authorization: Bearer <key>")
        hashes = [hashlib.sha256(key.encode(errors="surrogatepass")).digest() for key in keys]
        # No short-circuit as with `any`, so that timing does not leak which hash matched.
        if not sum(hmac.compare_digest(given, known) for given in hashes for known in self.key_hashes):
            raise KeyRefused("the API key is not accepted")

    def cors_headers(self, origin: str | None) -> dict[str, str]:
        """Headers by which a browser lets the page at `origin` read the answer; on errors and preflights, too."""
        if not self.origins:
            return {"Access-Control-Allow-Origin": "*", **CORS}
        if origin not in self.origins:
            return {"Vary": "Origin"}
        return {"Access-Control-Allow-Origin": origin, **CORS, "Vary": "Origin"}


def read_access(environment: Mapping[str, str]) -> Access:
    """The settings named above. Raises ValueError, naming the setting and its malformed entry."""
    hashes = read_entries(
        environment,
        "LENSLET_API_KEYS",
        KEY_HASH,
        "SHA-256 hashes of 64 hexadecimal digits",
        is_secret=True,  # it may hold a key by mistake
    )
    origins: list[str] = []
    if environment.get("LENSLET_CORS_ORIGINS", "").strip() != "*":
        kind = "* alone, or origins as https://app.example.com or http://localhost:3000"
        origins = read_entries(environment, "LENSLET_CORS_ORIGINS", ORIGIN, kind)
    return Access(tuple(map(bytes.fromhex, hashes)), frozenset(origin.lower() for origin in origins))


def _keys_in(headers: Mapping[str, str]) -> list[str]:
    """Keys in both headers: an API Gateway with keys or an authorizer of its own uses one of the two for itself."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    given = [headers.get("x-api-key", ""), token if scheme.lower() == "bearer" else ""]
    return [key.strip() for key in given if key.strip()]

"""A running endpoint as its callers see it: requests out, JSON in, one sentence for whatever is not as it should be."""

import base64
import os
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests

from lenslet.inference.errors import InputError

TIMEOUT_S = 35  # API Gateway gives up after 30
LOOPBACK = ("127.0.0.1", "::1", "localhost")
KEY_VARIABLE = "LENSLET_API_KEY"  # so that a key need not stand on a command line, where other users see it
# A function that asks for keys behind a gateway that does, too: the gateway takes X-Api-Key for itself.
BEARER_VARIABLE = "LENSLET_BEARER_KEY"
BUSY = (429, 503)  # over a usage plan's rate, or all places of the server taken
PAUSES_S = (1.0, 2.0, 4.0)  # before a busy endpoint is asked again, or longer if it says so
LONGEST_PAUSE_S = 10


class CheckError(InputError):
    """The endpoint does not do what it should; the message says what it did."""


@dataclass
class Endpoint:
    """The service at `url`, and the labels it says it has."""

    url: str
    session: requests.Session
    labels: list[str] = field(default_factory=list)
    origin: str = "https://example.com"  # of the page that a browser would ask from
    # Not while it stays busy, as with a quota that is used up: each request would wait in vain.
    is_patient: bool = True

    def ask(self, method: str, path: str, status: int, **content: Any) -> Any:
        """The JSON answer to a request. Raises CheckError on another status, no CORS header, or no answer."""
        response = send(self, method, path, **content)
        expect(
            response.status_code == status,
            f"status {response.status_code}, not {status}: {response.text[:200]}",
        )
        expect_readable(response, self)
        try:
            return response.json() if response.content else None
        except ValueError:
            raise CheckError(f"the answer is not JSON: {response.text[:200]}") from None


def connect(url: str, key: str | None, origin: str = Endpoint.origin) -> Endpoint:
    """Asks nothing yet. Raises CheckError if the url is no address."""
    try:
        host = urlsplit(url).hostname
    except ValueError as error:
        raise CheckError(f"{url} is no address: {error}") from None
    if "://" not in url:
        raise CheckError(f"{url} is no address: http:// or https:// is missing before it")
    session = requests.Session()
    # A proxy for the outside world can't reach this machine's own servers.
    session.trust_env = host not in LOOPBACK
    session.headers["Origin"] = origin
    if key:
        session.headers["X-Api-Key"] = key
    if bearer := os.environ.get(BEARER_VARIABLE):
        session.headers["Authorization"] = f"Bearer {bearer}"
    return Endpoint(url.rstrip("/"), session, origin=origin)


def send(endpoint: Endpoint, method: str, path: str, **content: Any) -> requests.Response:
    """Patient with an endpoint that says that it is busy. Raises CheckError, in one sentence, if no answer comes."""
    response, _ = send_counting(endpoint, method, path, **content)
    return response


def send_counting(
    endpoint: Endpoint, method: str, path: str, **content: Any
) -> tuple[requests.Response, int]:
    """As `send`; and how often the endpoint was busy before that answer."""
    pauses_s = PAUSES_S if endpoint.is_patient else ()
    for refusals, pause_s in enumerate(pauses_s):
        response = send_once(endpoint, method, path, **content)
        if response.status_code not in BUSY:
            return response, refusals
        asked = response.headers.get("Retry-After", "")
        time.sleep(min(LONGEST_PAUSE_S, max(pause_s, int(asked) if asked.isdecimal() else 0)))
    response = send_once(endpoint, method, path, **content)
    endpoint.is_patient = response.status_code not in BUSY
    return response, len(pauses_s)


def send_once(endpoint: Endpoint, method: str, path: str, **content: Any) -> requests.Response:
    try:
        return endpoint.session.request(method, endpoint.url + path, timeout=TIMEOUT_S, **content)
    except requests.Timeout:
        raise CheckError(f"no answer within {TIMEOUT_S} s") from None
    except (requests.RequestException, ValueError) as error:
        # urllib3's own error says why; around it, requests says where and how often.
        reason = getattr(error.args[0], "reason", error) if error.args else error
        raise CheckError(f"no answer: {reason}") from None


def is_reachable(endpoint: Endpoint, wait_s: float) -> bool:
    """Whether anything answers, asked again for `wait_s` seconds."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            send_once(endpoint, "GET", "/health")
            return True
        except CheckError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.1)


def expect_readable(response: requests.Response, endpoint: Endpoint) -> None:
    """That a browser shows the answer to a page of the endpoint's origin."""
    allowed = response.headers.get("Access-Control-Allow-Origin")
    complaint = f"header Access-Control-Allow-Origin is {allowed}, not * or {endpoint.origin}"
    expect(allowed in ("*", endpoint.origin), complaint)


def look_up(answer: Any, name: str) -> Any:
    expect(isinstance(answer, dict) and name in answer, f"the answer has no {name}: {str(answer)[:200]}")
    return answer[name]


def expect(holds: bool, complaint: str) -> None:
    if not holds:
        raise CheckError(complaint)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()

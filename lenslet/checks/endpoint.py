"""HTTP client for checks of a running endpoint: retries while it is busy, one sentence for each failure."""

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
# The key of a function behind a gateway that requires keys too: the gateway consumes X-Api-Key.
BEARER_VARIABLE = "LENSLET_BEARER_KEY"
BUSY = (429, 503)  # above a usage plan's rate, or all workers of the server are busy
PAUSES_S = (1.0, 2.0, 4.0)  # before a busy endpoint is asked again, or longer if Retry-After says so
LONGEST_PAUSE_S = 10


class CheckError(InputError):
    """The endpoint does not do what it should; the message says what it did."""


@dataclass
class Endpoint:
    """The service at `url`, and the labels that it reports."""

    url: str
    session: requests.Session
    labels: list[str] = field(default_factory=list)
    origin: str = "https://example.com"  # of the page that a browser would ask from
    # Whether to retry; off while it stays busy, as with an exhausted quota, where every retry is in vain.
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


def open_endpoint(url: str, key: str | None, origin: str = Endpoint.origin) -> Endpoint:
    """No request is sent yet. Raises CheckError if `url` is not a valid address."""
    try:
        host = urlsplit(url).hostname
    except ValueError as error:
        raise CheckError(f"{url} is not a valid address: {error}") from None
    if "://" not in url:
        raise CheckError(f"{url} is not a valid address: http:// or https:// is missing before it")
    session = requests.Session()
    # A proxy cannot reach servers on the loopback interface.
    session.trust_env = host not in LOOPBACK
    session.headers["Origin"] = origin
    if key:
        session.headers["X-Api-Key"] = key
    if bearer := os.environ.get(BEARER_VARIABLE):
        session.headers["Authorization"] = f"Bearer {bearer}"
    return Endpoint(url.rstrip("/"), session, origin=origin)


def send(endpoint: Endpoint, method: str, path: str, **content: Any) -> requests.Response:
    """The response, after retries while the endpoint is busy. Raises CheckError if none comes."""
    response, _ = send_counting(endpoint, method, path, **content)
    return response


def send_counting(
    endpoint: Endpoint, method: str, path: str, **content: Any
) -> tuple[requests.Response, int]:
    """As `send`, with the number of refused attempts before that response."""
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
        # urllib3's error is the reason; requests wraps it with address and attempts.
        reason = getattr(error.args[0], "reason", error) if error.args else error
        raise CheckError(f"no answer: {reason}") from None


def is_reachable(endpoint: Endpoint, wait_s: float) -> bool:
    """Whether anything answers within `wait_s` seconds."""
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
    """Check that a browser lets a page of the endpoint's origin read the response (CORS)."""
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

"""HTTP client of the endpoint (`openapi.yaml`): retries while it starts, and explains failures in one sentence."""

import base64
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from time import monotonic, sleep
from typing import Any

import requests

from answers import Answer, read_answer
from settings import is_here

CONNECT_TIMEOUT_S = 4.0
READ_TIMEOUT_S = 35.0  # API Gateway gives up after 30
ATTEMPTS = 5
FIRST_PAUSE_S = 0.5  # doubled each time
LONGEST_PAUSE_S = 20.0  # if the endpoint asks for a longer one, the client gives up
PATIENCE_S = 60.0  # no attempt starts later
USER_AGENT = "lenslet-page/0.2"

# Temporary failures of a gateway; with the codes below they are failures of a link's server instead.
PASSING_STATUSES = (429, 502, 503, 504)
LASTING_CODES = ("link_failed", "link_timeout")

# The fields of schema `Description` that the page requires.
DESCRIPTION_TYPES = {"name": str, "version": str, "labels": list, "formats": list}

CHECK_KEY = "enter the right one in the sidebar under “Endpoint”"
# Code of schema `Error` → what to tell a person, and what to do.
CODES = {
    "key_missing": f"This endpoint asks for an API key: {CHECK_KEY}.",
    "key_refused": f"The endpoint does not accept this API key: {CHECK_KEY}.",
    "not_an_image": "This is not a picture in a supported format: use JPEG, PNG, WEBP, GIF, BMP or TIFF.",
    "broken_image": "The picture is damaged or cut off: save it again, or try another one.",
    "image_too_large": "The picture is too large to be read: make it smaller and try again.",
    "request_too_large": "The file is too large for the endpoint: make it smaller and try again.",
    "training_key_missing": "Trainings have a key of their own: enter it.",
    "training_key_refused": "This is not the key for trainings.",
    "training_runs": "A training is running already.",
    "nothing_to_promote": "The last training registered no candidate.",
    "promotion_failed": "The candidate could not be promoted: the endpoint's log says why.",
    "too_much_feedback": "More corrections arrive than the endpoint takes: try again later.",
    "link_refused": "The endpoint refuses this link: use a public http or https address, or upload the photo.",
    "link_failed": "The link's server did not deliver the photo: check the link, or upload the photo.",
    "link_timeout": "The link's server was too slow: try again, or upload the photo.",
    "bad_request": "The endpoint did not accept the request.",
    "overloaded": "The endpoint is busy: try again in a moment.",
    "request_timeout": "Sending took too long: try again, or with a smaller photo.",
    "internal_error": "The endpoint failed: try again; its log says why.",
}
# For answers of gateways and proxies, which lack the codes above.
STATUSES = {
    401: CODES["key_missing"],
    403: f"The endpoint refuses the request; most likely the API key is missing or wrong: {CHECK_KEY}.",
    404: "There is no Lenslet at this address: check it; a stage such as /prod may be missing.",
    405: "There is no Lenslet at this address: check it.",
    408: CODES["request_timeout"],
    413: CODES["request_too_large"],
    415: CODES["not_an_image"],
    429: "The endpoint is asked too often: wait a minute, then try again.",
    502: "The gateway got no answer from the function: try again in a moment.",
    503: CODES["overloaded"],
    504: "The function did not answer in time: try again in a moment.",
}
# Caused by the photo or its link: the same request would fail again.
PHOTO_CODES = (
    "bad_request",
    "not_an_image",
    "broken_image",
    "image_too_large",
    "request_too_large",
    "link_refused",
)
# Errors with several causes: the endpoint's own message names the one.
EXPLAINED_CODES = ("bad_request", "link_refused", "link_failed")
DOWN = "Nothing answers at {url}: check the address, or try again later."
DOWN_HERE = "Nothing answers at {url}: start the endpoint (make serve), or check its address."
SLOW = "The endpoint at {url} takes too long to answer: try again in a moment."
INSECURE = "The connection to {url} is not secure (its certificate is not accepted): check the address."
NOT_LENSLET = "The server at {url} is not Lenslet: check the address."
REDIRECT = "{url} redirects to another address: enter that one."
NO_ADDRESS = "“{url}” is not an address of an endpoint: those begin with http:// or https://."


class Failure(Exception):
    """The endpoint gave no answer; the message is one sentence with the remedy."""

    def __init__(self, sentence: str, code: str, is_passing: bool = False, pause_s: float = 0.0) -> None:
        super().__init__(sentence)
        self.code = code
        self.is_passing = is_passing  # a later attempt may succeed
        self.pause_s = pause_s  # requested by the endpoint


@dataclass(frozen=True)
class Reply:
    """An answer, the duration of the successful attempt, and the number of attempts."""

    content: Any
    seconds: float
    attempts: int


@dataclass(frozen=True)
class Gateway:
    """The endpoint at `url`. Thread-safe."""

    url: str
    key: str = field(default="", repr=False)
    attempts: int = ATTEMPTS

    def describe(self) -> dict[str, Any]:
        """GET /: schema `Description`. Raises Failure."""
        content = self.ask("GET", "/").content
        if isinstance(content, dict) and all(
            isinstance(content.get(name), kind) for name, kind in DESCRIPTION_TYPES.items()
        ):
            return content
        raise Failure(NOT_LENSLET.format(url=self.url), "not_lenslet")

    def classify(
        self, photo: bytes | str, on_wait: Callable[[Failure], None] = lambda failure: None
    ) -> tuple[Answer, Reply]:
        """POST /predict with a photo's bytes or a link; `on_wait` is called before each pause. Raises Failure."""
        source = {"url": photo} if isinstance(photo, str) else {"image": base64.b64encode(photo).decode()}
        reply = self.ask("POST", "/predict", {**source, "explain": True}, on_wait)
        try:
            return read_answer(reply.content), reply
        except ValueError:
            raise Failure(NOT_LENSLET.format(url=self.url), "not_lenslet") from None

    def correct(self, photo: bytes | str, label: str | None) -> str:
        """POST /feedback: the right label, None for none of them. Returns what it is stored as. Raises Failure."""
        source = {"url": photo} if isinstance(photo, str) else {"image": base64.b64encode(photo).decode()}
        content = self.ask("POST", "/feedback", {**source, "label": label, "consent": True}).content
        if isinstance(content, dict) and isinstance(content.get("id"), str):
            return str(content["id"])
        raise Failure(NOT_LENSLET.format(url=self.url), "not_lenslet")

    def ask(
        self,
        method: str,
        path: str,
        content: dict[str, Any] | None = None,
        on_wait: Callable[[Failure], None] = lambda failure: None,
    ) -> Reply:
        """The JSON of an answer with status 200; temporary failures are retried. Raises Failure."""
        if not self.url.startswith(("http://", "https://")):
            raise Failure(NO_ADDRESS.format(url=self.url), "no_address")
        last_start = monotonic() + PATIENCE_S
        for attempt in range(1, self.attempts + 1):
            started = monotonic()
            try:
                found = self._attempt(method, path, content)
                return Reply(found, monotonic() - started, attempt)
            except Failure as failure:
                # Jitter, so that clients that were refused together do not retry together.
                pause_s = FIRST_PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)  # noqa: S311
                pause_s = max(pause_s, failure.pause_s)
                is_late = pause_s > LONGEST_PAUSE_S or monotonic() + pause_s > last_start
                if not failure.is_passing or attempt == self.attempts or is_late:
                    raise
                on_wait(failure)
            sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")

    def _attempt(self, method: str, path: str, content: dict[str, Any] | None) -> Any:
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
        if self.key:
            headers["X-Api-Key"] = self.key
        try:
            response = requests.request(
                method,
                self.url + path,
                json=content,
                headers=headers,
                timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
                allow_redirects=False,  # requests would send the key along, to any host
            )
        except requests.exceptions.SSLError:
            raise Failure(INSECURE.format(url=self.url), "insecure") from None
        except requests.exceptions.ConnectTimeout:
            raise self._down() from None
        except requests.exceptions.Timeout:
            raise Failure(SLOW.format(url=self.url), "slow", is_passing=True) from None
        except requests.exceptions.ConnectionError:
            raise self._down() from None
        except (requests.exceptions.RequestException, ValueError):
            raise Failure(NO_ADDRESS.format(url=self.url), "no_address") from None
        return self._read(response)

    def _down(self) -> Failure:
        sentence = DOWN_HERE if is_here(self.url) else DOWN
        return Failure(sentence.format(url=self.url), "down", is_passing=True)

    def _read(self, response: requests.Response) -> Any:
        try:
            content = response.json()
        except ValueError:
            content = None
        if response.status_code in (200, 202) and content is not None:
            return content
        if 300 <= response.status_code < 400:
            raise Failure(REDIRECT.format(url=self.url), "redirect")
        raise failure_of(response, content, self.url)


def failure_of(response: requests.Response, content: Any, url: str) -> Failure:
    """The failure that an error response describes: an error of Lenslet, or of a gateway before it."""
    error = content.get("error") if isinstance(content, dict) else None
    code = str(error.get("code")) if isinstance(error, dict) else ""
    status = response.status_code
    sentence = CODES.get(code) or STATUSES.get(status) or NOT_LENSLET.format(url=url)
    if code in EXPLAINED_CODES and isinstance(error, dict) and error.get("message"):
        sentence = f"{sentence} It says: {error['message']}."
    is_passing = status in PASSING_STATUSES and code not in LASTING_CODES
    pause_s = read_pause(response.headers.get("Retry-After", "")) if is_passing else 0.0
    if pause_s > LONGEST_PAUSE_S:
        sentence = f"The endpoint asks to wait {pause_s:.0f} seconds: try again then."
    return Failure(sentence, code or str(status), is_passing, pause_s)


def read_pause(text: str) -> float:
    """Seconds of a Retry-After header, a number or a date (RFC 9110, section 10.2.3); 0 for anything else."""
    if text.strip().isdecimal():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    date = date if date.tzinfo else date.replace(tzinfo=timezone.utc)
    return max(0.0, (date - datetime.now(timezone.utc)).total_seconds())

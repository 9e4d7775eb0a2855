"""https:// and s3:// links to bytes, within limits of time and size."""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from inference.errors import LinkFailed, LinkRefused, LinkTimeout, RequestTooLarge

if TYPE_CHECKING:
    from requests import Response, Session

# requests (77 ms) and boto3 (205 ms with a client) are imported where a link needs them, not at start-up.

MAX_BYTES = 20 * 1024 * 1024
TIMEOUT_S = 10.0  # for the whole fetch; the gateway gives up after 29 s
# A worker thread that outlives its fetch ends with its socket; later, so that the limit above speaks first.
SOCKET_TIMEOUT_FACTOR = 2
MAX_REDIRECTS = 3
CHUNK_BYTES = 64 * 1024
# Some hosts (Wikimedia among them) refuse a library's default agent and let in one that gives its name.
# Photos are compressed already, and what a server packs once more could unpack to any size.
HEADERS = {"User-Agent": "lenslet/0.1", "Accept-Encoding": "identity"}


def fetch(link: str) -> bytes:
    """The bytes behind https://host/path or s3://bucket/key; a key is taken literally, as AWS's own tools do.

    Raises: LinkRefused (another scheme, no host or key), LinkFailed (unreachable, or an error status),
        LinkTimeout (more than `TIMEOUT_S` in all), RequestTooLarge (more than `MAX_BYTES`).
    """
    scheme, separator, _ = link.partition("://")
    if not separator or scheme.lower() not in READERS:
        raise LinkRefused("only https:// and s3:// links are fetched")
    return _in_time(READERS[scheme.lower()], link)


def _in_time(read: Callable[[str, float], bytes], link: str) -> bytes:
    """`read(link, deadline)` on its own thread: no socket timeout bounds a name look-up or slow headers."""
    outcome: Future[bytes] = Future()
    deadline = time.monotonic() + TIMEOUT_S

    def work() -> None:
        try:
            outcome.set_result(read(link, deadline))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return outcome.result(TIMEOUT_S)
    except FutureTimeout as error:
        raise LinkTimeout(_too_slow()) from error


def _read_https(link: str, deadline: float) -> bytes:
    import requests
    from urllib3.exceptions import HTTPError

    try:
        with requests.Session() as session, _answer(session, link) as response:
            if response.status_code != 200:
                raise LinkFailed(f"the link's server answered with status {response.status_code}")
            # Not `iter_content`: it waits until a chunk is full, past any deadline.
            return _join(iter(lambda: response.raw.read1(CHUNK_BYTES), b""), deadline)
    except requests.exceptions.InvalidURL as error:
        raise LinkRefused("the link is not a valid URL with a host") from error
    except (requests.RequestException, HTTPError, ValueError) as error:
        raise LinkFailed("the link's server could not be reached, or broke off") from error


def _answer(session: "Session", link: str) -> "Response":
    """What the link's server answers when all redirects are followed; the body is not read yet."""
    from requests import Request

    for _ in range(1 + MAX_REDIRECTS):
        if not link.lower().startswith("https://"):
            raise LinkRefused("the link redirects to something else than https://")
        # Not `session.get`: of a redirect it reads the whole body, however long, even if told not to follow.
        request = Request("GET", link, headers=HEADERS).prepare()
        settings: Any = session.merge_environment_settings(link, {}, True, None, None)  # proxies, CA bundle
        response = session.get_adapter(link).send(
            request, timeout=SOCKET_TIMEOUT_FACTOR * TIMEOUT_S, **settings
        )
        target = session.get_redirect_target(response)
        if target is None:
            return response
        response.close()
        link = urljoin(link, target)
    raise LinkFailed(f"the link redirects more than {MAX_REDIRECTS} times")


def _read_s3(link: str, deadline: float) -> bytes:
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    bucket, _, key = link.partition("://")[2].partition("/")
    if not (bucket and key):
        raise LinkRefused("the link must name a bucket and a key: s3://bucket/key")
    try:
        stored = _s3_client(SOCKET_TIMEOUT_FACTOR * TIMEOUT_S).get_object(Bucket=bucket, Key=key)
        return _join(stored["Body"].iter_chunks(CHUNK_BYTES), deadline)
    except ClientError as error:
        raise LinkFailed(f"S3 did not give the object: {error.response['Error']['Code']}") from error
    except ParamValidationError as error:
        raise LinkRefused("the link names an impossible bucket or key") from error
    except BotoCoreError as error:
        raise LinkFailed("S3 could not be asked for the object, or broke off") from error


@cache
def _s3_client(timeout_s: float) -> Any:
    # Clients may be shared among threads. A session may not, so the client gets one of its own.
    import boto3.session
    from botocore.config import Config

    limits = Config(connect_timeout=timeout_s, read_timeout=timeout_s, retries={"total_max_attempts": 1})
    return boto3.session.Session().client("s3", config=limits)


READERS = {"https": _read_https, "s3": _read_s3}


def _join(chunks: Iterable[bytes], deadline: float) -> bytes:
    """All chunks as one, counted while they arrive: a server may lie about its Content-Length."""
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > MAX_BYTES:
            raise RequestTooLarge(f"the link delivers more than {MAX_BYTES:,} bytes, the limit")
        if time.monotonic() > deadline:
            raise LinkTimeout(_too_slow())
    return bytes(data)


def _too_slow() -> str:
    return f"the link's server took longer than {TIMEOUT_S:g} s"

"""Fetching of http(s):// and s3:// links, with limits of host (`address`), time and size."""

import os
import string
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin

import lenslet
from lenslet.inference.decode import SIGNATURE
from lenslet.inference.errors import LinkFailed, LinkRefused, RequestTooLarge
from lenslet.serving.links.address import NEVER_IN_LINKS, Place, locate
from lenslet.serving.links.allowance import Allowance
from lenslet.serving.links.connection import Deadline, connect, counted_response
from lenslet.serving.links.delivered import check_delivered
from lenslet.serving.links.rules import Rules, read_rules
from lenslet.serving.s3 import s3_client

if TYPE_CHECKING:
    from http.client import HTTPResponse

# http.client with ssl (33 ms), certifi and boto3 (205 ms with a client) are imported where a link needs them, not at
# start-up. `requests` is not used: it resolves a name itself, after any check, uses proxies and decompresses bodies.

# Around links that were copied from a page, a mail or a file: white space, signs without width, and the delimiters of
# RFC 3986, appendix C.
COPIED_SPACE = " \t\r\n" + "".join(
    map(chr, (0xA0, *range(0x2000, 0x2010), 0x2028, 0x2029, 0x202F, 0x205F, 0x2060, 0x3000, 0xFEFF))
)
DELIMITERS = '<>"'
MAX_LINK_LENGTH = 8192  # signed S3 links have up to about 2,500 characters
MAX_BYTES = 20 * 1024 * 1024
TIMEOUT_S = 10.0  # for the whole fetch; the gateway gives up after 29 s
# Ends the thread of an S3 fetch that has timed out; longer than the limit above, whose error is to be reported.
S3_TIMEOUT_FACTOR = 2
MAX_REDIRECTS = 3
REDIRECTS = (301, 302, 303, 307, 308)
PASSING_STATUSES = (408, 425, 429)  # of those below 500
CHUNK_BYTES = 64 * 1024
# Servers that choose a format by this header must choose one that every deployment reads: LENSLET_FORMATS may leave out
# HEIC and AVIF, which also cost more to decode.
ACCEPT = "image/jpeg, image/png, image/webp, image/gif, image/bmp, image/tiff, */*;q=0.1"
# SDKs of AWS upload with `aws-chunked`; S3 undoes it and keeps the name in the object's metadata.
PLAIN_ENCODINGS = {"", "identity", "aws-chunked"}


def fetch(link: str, allowance: Allowance | None = None) -> bytes:
    """The bytes behind http(s)://host/path or s3://bucket/key; a key is taken literally, as by AWS's own tools.

    `allowance` is shared by all links of the request, if there are several.

    Raises: LinkRefused (another scheme, or a place that is not public or not allowed), LinkFailed (unreachable,
        or an error status), LinkTimeout (more than `TIMEOUT_S` in all), RequestTooLarge (more than `MAX_BYTES`, or
        than the allowance), NotAnImageLink (a page, JSON or nothing), Overloaded (links of other requests).
    """
    trimmed = link.strip(COPIED_SPACE + DELIMITERS)
    scheme, separator, _ = trimmed.partition("://")
    link = link.lstrip(COPIED_SPACE) if scheme.lower() == "s3" else trimmed  # a key may end in a space
    if not separator or scheme.lower() not in READERS:
        raise LinkRefused(
            "only http://, https:// and s3:// links are fetched; a photo itself goes into image"
        )
    if len(link) > MAX_LINK_LENGTH:
        raise LinkRefused(f"the link is longer than {MAX_LINK_LENGTH:,} characters, the limit")
    own = allowance or Allowance()
    try:
        return _in_time(
            partial(READERS[scheme.lower()], link, read_rules(os.environ), own), Deadline(TIMEOUT_S)
        )
    finally:
        if not allowance:
            own.release()


def _in_time(read: Callable[[Deadline], bytes], deadline: Deadline) -> bytes:
    """`read(deadline)` in a thread of its own, because no socket timeout bounds a name look-up or slow headers."""
    outcome: Future[bytes] = Future()

    def work() -> None:
        try:
            outcome.set_result(read(deadline))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return outcome.result(deadline.remaining_s())
    except FutureTimeout as error:
        deadline.cut()
        raise deadline.passed() from error


def _read_web(link: str, rules: Rules, allowance: Allowance, deadline: Deadline) -> bytes:
    from http.client import HTTPException

    place = locate(link, rules)
    try:
        for _ in range(1 + MAX_REDIRECTS):
            with _answer(place, rules, allowance, deadline) as response:
                location = response.getheader("Location") if response.status in REDIRECTS else None
                if location is None:
                    return check_delivered(_body(response, allowance, deadline), link)
            place = _redirected(place, location, rules)
    except TimeoutError as error:
        raise deadline.passed() from error
    except (OSError, HTTPException, ValueError) as error:
        raise LinkFailed("the link's server could not be reached, or broke off") from error
    raise LinkFailed(f"the link redirects more than {MAX_REDIRECTS} times")


@contextmanager
def _answer(place: Place, rules: Rules, allowance: Allowance, deadline: Deadline) -> "Iterator[HTTPResponse]":
    """The response of a place, of which only the headers are read yet."""
    from http.client import HTTPConnection

    contact = f" (+{rules.contact})" if rules.contact else ""
    headers = {
        "Host": place.authority,
        # Some hosts, Wikimedia among them, refuse the default agents of libraries and accept one with a name.
        "User-Agent": f"lenslet/{lenslet.__version__}{contact}",
        "Accept": ACCEPT,
        # Photos are compressed already, and a body with a second compression could unpack to any size.
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    connection = HTTPConnection(place.name, place.port)
    connection.response_class = partial(counted_response, allowance.take_step)  # type: ignore[assignment]
    with connect(place, deadline) as connection.sock:
        connection.request("GET", place.target, headers=headers)
        with connection.getresponse() as response:
            yield response


def _redirected(place: Place, location: str, rules: Rules) -> Place:
    """The target of a redirect, checked as a link is."""
    # Headers arrive as Latin-1; what servers send is mostly UTF-8, which may name an international host. Of anything
    # else, percent-encoding keeps the bytes as they were.
    sent = location.encode("latin-1").strip(b" ")
    if NEVER_IN_LINKS.search(sent.decode(errors="replace")):  # before urljoin removes tabs and line ends
        raise LinkRefused("the link redirects to one with a control character or a backslash in it")
    try:
        text = sent.decode()
    except UnicodeDecodeError:
        text = quote(sent, safe=string.punctuation)
    try:
        link = urljoin(f"{place.scheme}://{place.authority}{place.target}", text)
    except ValueError as error:
        raise LinkRefused("the link redirects to something that is not a valid URL") from error
    if len(link) > MAX_LINK_LENGTH:
        raise LinkRefused(
            f"the link redirects to one that is longer than {MAX_LINK_LENGTH:,} characters, the limit"
        )
    if not link.lower().startswith(("http://", "https://")):
        raise LinkRefused("the link redirects to something else than http:// or https://")
    following = locate(link, rules)
    if place.scheme == "https" and following.scheme == "http":
        raise LinkRefused("the link redirects from https:// to http://, which is not encrypted")
    return following


def _body(response: "HTTPResponse", allowance: Allowance, deadline: Deadline) -> bytes:
    if response.status != 200:
        raise LinkFailed(
            f"the link's server answered with status {response.status}{_remedy_of(response.status)}"
        )
    # Not `read`, which waits for the whole body, past any deadline.
    data = _join(iter(lambda: response.read1(CHUNK_BYTES), b""), allowance, deadline)
    if response.length:
        raise LinkFailed("the link's server sent fewer bytes than it announced")
    # Some servers name what is no encoding (none, binary, utf-8); a picture that begins as one is not compressed.
    encodings = response.getheader("Content-Encoding", "").lower().split(",")
    if not {each.strip() for each in encodings} <= PLAIN_ENCODINGS and not SIGNATURE.match(data):
        raise LinkFailed(
            "the link's server sent a compressed body, though it was asked for a plain one: send the photo itself"
        )
    return data


def _remedy_of(status: int) -> str:
    if status >= 500 or status in PASSING_STATUSES:
        return ": try again later"
    if status >= 400:
        return ": see what it shows in a private window of a browser, or send the photo itself"
    return ""


def _read_s3(link: str, rules: Rules, allowance: Allowance, deadline: Deadline) -> bytes:
    bucket, _, key = link.partition("://")[2].partition("/")
    if not (bucket and key):
        raise LinkRefused("the link must name a bucket and a key: s3://bucket/key")
    if {".", ".."} & {
        *key.split("/")
    }:  # proxies and compatible stores may take it for another key, or bucket
        raise LinkRefused("the link's key has a part . or .. in it")
    if not rules.buckets:
        raise LinkRefused("s3:// links are not fetched here: LENSLET_S3_BUCKETS names no bucket")
    if bucket not in rules.buckets:
        raise LinkRefused("the link's bucket is not among those that LENSLET_S3_BUCKETS names")
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    try:
        stored = s3_client(S3_TIMEOUT_FACTOR * TIMEOUT_S, attempts=1).get_object(Bucket=bucket, Key=key)
        return _join(stored["Body"].iter_chunks(CHUNK_BYTES), allowance, deadline)
    except ClientError as error:
        raise LinkFailed(f"S3 did not give the object: {error.response['Error']['Code']}") from error
    except (ParamValidationError, UnicodeError) as error:
        raise LinkRefused("the link names an impossible bucket or key") from error
    except BotoCoreError as error:
        raise LinkFailed("S3 could not be asked for the object, or broke off") from error


READERS = {"http": _read_web, "https": _read_web, "s3": _read_s3}


def _join(chunks: Iterable[bytes], allowance: Allowance, deadline: Deadline) -> bytes:
    """All chunks as one; they are counted as they arrive, because a server may send a false Content-Length."""
    with BytesIO() as data:  # its value is not copied; a bytearray would take twice the memory
        try:
            for chunk in chunks:
                allowance.take_step()
                if data.tell() + len(chunk) > MAX_BYTES:
                    raise RequestTooLarge(f"the link delivers more than {MAX_BYTES:,} bytes, the limit")
                allowance.take(len(chunk))
                data.write(chunk)
                deadline.remaining_s()
        except BaseException:
            allowance.give_back(data.tell())
            raise
        return data.getvalue()

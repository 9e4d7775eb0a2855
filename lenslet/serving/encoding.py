"""Base64 as callers send it, and what mangled photo bytes look like."""

import base64
import re

from lenslet.inference.decode import SIGNATURE
from lenslet.inference.errors import BadRequest

PYTHON_LITERAL = re.compile(r"b['\"]")
URL_SAFE = bytes.maketrans(b"-_", b"+/")
# From so many characters on, pybase64 is worth its import: 0.4 ms instead of 10 for a photo of 12 megapixels.
LARGE = 200_000
# The character that a UTF-8 decoder puts for bytes that are no text, such as the first ones of every JPEG and PNG.
REPLACEMENT = "\ufffd".encode()


def read_base64(text: str, place: str = "image") -> bytes:
    """Base64 (RFC 4648), with or without the head of a data URL.

    The standard and the URL-safe alphabet are read, with or without padding; line breaks and white space around it are
    skipped. A space between two characters is refused: it mostly was a plus sign.

    Raises: BadRequest, naming `place`.
    """
    text = text.lstrip(" \t\r\n\f\v")
    head, comma, payload = text.partition(",") if text.startswith("data:") else ("", "", text)
    if head and not (comma and head.endswith(";base64")):
        raise BadRequest("the data URL must begin with data:<type>;base64,")
    try:
        return _decoded(payload)
    except ValueError:
        pass  # other forms are rare: searching them first would cost a pass over the megabytes of every photo
    return _read_unusual_base64(payload, place)


def _read_unusual_base64(payload: str, place: str) -> bytes:
    if PYTHON_LITERAL.match(payload):
        raise BadRequest(
            f"the {place} is a bytes literal of Python, b'…': send base64.b64encode(data).decode(), the text itself"
        )
    plain = payload.encode(errors="replace").translate(URL_SAFE, b"\t\r\n\f\v").strip()
    if b" " in plain and _is_base64(plain.replace(b" ", b"+")):
        raise BadRequest(
            f"the {place} has spaces within its base64, which probably were plus signs that form encoding turned "
            "into spaces: send JSON, or write each + as %2B"
        )
    try:
        return _decoded(
            _padded(plain.rstrip(b"="))
        )  # more padding than is due is refused by one decoder only
    except ValueError as error:
        raise BadRequest(f"the {place} is not valid base64") from error


def _decoded(payload: str | bytes) -> bytes:
    """Raises: ValueError, if it is anything but base64 of the standard alphabet with its padding."""
    if len(payload) < LARGE:
        return base64.b64decode(payload, validate=True)
    try:
        import pybase64
    except ModuleNotFoundError:  # an environment that was installed without it: the same, more slowly
        return base64.b64decode(payload, validate=True)
    data: bytes = pybase64.b64decode(payload, validate=True)
    return data


def _is_base64(payload: bytes) -> bool:
    try:
        return bool(_decoded(_padded(payload)))
    except ValueError:
        return False


def _padded(payload: bytes) -> bytes:
    return payload + b"=" * (-len(payload) % 4)


def check_bytes(data: bytes) -> bytes:
    """The bytes of one photo as they are. Raises BadRequest if there are none, or if they are text made of a photo."""
    if not data:
        raise BadRequest("the image is empty")
    if data.startswith(REPLACEMENT):
        raise BadRequest(
            "the photo's bytes were turned into text on the way (U+FFFD stands where bytes were lost): send the file's "
            'bytes and not a string, give a REST API the binary media type of the request, or send {"image": base64}'
        )
    if _is_base64_of_photo(data[:64]):
        raise BadRequest(
            'the body is the photo in base64, not its bytes: send it as JSON, {"image": base64}, or decode it first'
        )
    return data


def _is_base64_of_photo(start: bytes) -> bool:
    payload = start.partition(b",")[2] if start.startswith(b"data:") else start
    try:
        return bool(SIGNATURE.match(base64.b64decode(payload[: len(payload) // 4 * 4], validate=True)))
    except ValueError:
        return False

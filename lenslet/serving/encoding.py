"""Base64 as callers send it, and what mangled photo bytes look like."""

import base64
import re

from lenslet.inference.decode import SIGNATURE
from lenslet.inference.errors import BadRequest

PYTHON_LITERAL = re.compile(r"b['\"]")
A_LINK = re.compile(r"(https?|s3)://", re.IGNORECASE)
PERCENT_ENCODED = re.compile(r"%(2b|2f|3d)", re.IGNORECASE)
NO_BASE64 = re.compile(r"[^A-Za-z0-9+/=_\t\r\n\f\v-]")
URL_SAFE = bytes.maketrans(b"-_", b"+/")
# From so many characters on, pybase64 is worth its import: 0.4 ms instead of 10 for a photo of 12 megapixels.
LARGE = 200_000
REPLACEMENT = "\ufffd"  # what a UTF-8 decoder puts for bytes that are no text
# Decoders that lose nothing, or nearly so; the text is longer in UTF-8.
ONE_BYTE_CODES = ("latin-1", "cp1252")


def read_base64(text: str, place: str = "image") -> bytes:
    """Base64 (RFC 4648), with or without the head of a data URL.

    The standard and the URL-safe alphabet are read, with or without padding; line breaks and white space around it are
    skipped. A space between two characters is refused: it mostly was a plus sign.

    Raises: BadRequest, naming `place`.
    """
    text = text.lstrip(" \t\r\n\f\v")
    head, comma, payload = text.partition(",") if text[:5].lower() == "data:" else ("", "", text)
    if head and not (comma and head.replace(" ", "").lower().endswith(";base64")):
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
    if A_LINK.match(payload):
        raise BadRequest(f"the {place} is a link, not base64: send it as url")
    plain = payload.encode(errors="replace").translate(URL_SAFE, b"\t\r\n\f\v").strip().rstrip(b"=")
    try:
        return _decoded(plain + b"=" * (-len(plain) % 4))  # one decoder refuses more padding than is due
    except ValueError as error:
        raise BadRequest(_why_not_base64(payload.strip(), place)) from error


def _why_not_base64(payload: str, place: str) -> str:
    odd = NO_BASE64.search(payload)
    if odd and odd[0] == " ":
        return (
            f"the {place} has spaces within its base64, which probably were plus signs that form encoding turned "
            "into spaces: send JSON, or write each + as %2B"
        )
    if PERCENT_ENCODED.search(payload):
        return (
            f"the {place} has %2B, %2F or %3D within its base64: undo the percent-encoding before it is sent"
        )
    if odd:
        reason = f"its character number {odd.start() + 1}, {odd[0]!a}, is none of base64"
    else:
        reason = "it is cut off, or padding stands before its end"
    return f"the {place} is not valid base64: {reason}"


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


def check_bytes(data: bytes) -> bytes:
    """The bytes of one photo as they are. Raises BadRequest if there are none, or if they are text made of a photo."""
    if not data:
        raise BadRequest("the image is empty")
    if _was_text(data):
        raise BadRequest(
            "the photo's bytes were turned into text on the way, which is not undone: send the file's bytes and not a "
            'string, give a REST API the binary media type of the request, or send {"image": base64}'
        )
    if _is_base64_of_photo(data[:64]):
        raise BadRequest(
            'the body is the photo in base64, not its bytes: send it as JSON, {"image": base64}, or decode it first'
        )
    return data


def _was_text(data: bytes) -> bool:
    """Whether a photo's bytes were decoded to text, and that was encoded as UTF-8.

    Decoders would take some of it for a picture: BMP, GIF and TIFF begin with ASCII, which stays as it was.
    """
    if data.isascii():
        return False
    try:
        text = data.decode(errors="surrogatepass")  # fails at the first bytes of a photo
    except UnicodeDecodeError:
        return False
    start = text[:64]
    return REPLACEMENT in text or any(
        SIGNATURE.match(start.encode(code, errors="replace")) for code in ONE_BYTE_CODES
    )


def _is_base64_of_photo(start: bytes) -> bool:
    payload = start.partition(b",")[2] if start.startswith(b"data:") else start
    try:
        return bool(SIGNATURE.match(base64.b64decode(payload[: len(payload) // 4 * 4], validate=True)))
    except ValueError:
        return False

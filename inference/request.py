"""What a caller asks for: events of API Gateway, Function URL and direct invoke, in one form, checked."""

import base64
import json
import reprlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from inference.errors import BadRequest, RequestTooLarge
from inference.remote import fetch

# Lambda's own limit of an event. It holds behind plain HTTP too: what works on a laptop works when deployed.
MAX_BODY_BYTES = 6 * 1024 * 1024
MAX_IMAGES = 16
SOURCES = ("url", "image", "images")
OPTIONS = ("top", "explain")


@dataclass(frozen=True)
class Call:
    """One HTTP request, the same for payload 1.0 and 2.0."""

    method: str
    path: str  # without the stage, the query and a closing slash
    content_type: str  # lower case, without parameters; "" if not given
    query: Mapping[str, str]
    body: str
    is_base64: bool

    def content(self) -> bytes:
        """The body's bytes. Raises RequestTooLarge, or BadRequest if the event's base64 is broken."""
        if len(self.body) > MAX_BODY_BYTES:
            raise RequestTooLarge(f"the body is larger than {MAX_BODY_BYTES:,} bytes (in base64), the limit")
        return read_base64(self.body) if self.is_base64 else self.body.encode(errors="surrogatepass")


@dataclass(frozen=True)
class Question:
    """A checked request for predictions."""

    photos: tuple[Callable[[], bytes], ...]  # each gives one image's bytes, or raises a LensletError
    is_batch: bool  # asked as `images`: answered as `results`
    top: int | None  # how many labels to answer with; None: all
    explain: bool


def read_call(event: object) -> Call | None:
    """The HTTP request in an event, or None if the function was invoked directly.

    Event shapes: "Lambda proxy integrations", payload format versions 1.0 and 2.0, of the AWS documentation.
    """
    context = event.get("requestContext") if isinstance(event, dict) else None
    if not isinstance(event, dict) or not isinstance(context, dict):
        return None
    http = context.get("http")  # payload 2.0 only
    if not http and "httpMethod" not in event:
        return None
    path = (event["rawPath"] if http else event["path"]) or "/"
    stage = f"/{context.get('stage')}"
    if path == stage or path.startswith(f"{stage}/"):  # an HTTP API puts the name of its stage in front
        path = path.removeprefix(stage)
    # Senders spell header names as they like; payload 1.0 has null where there is nothing.
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    return Call(
        method=(http["method"] if http else event["httpMethod"]).upper(),
        path=path.rstrip("/") or "/",
        content_type=(headers.get("content-type") or "").partition(";")[0].strip().lower(),
        query=event.get("queryStringParameters") or {},
        body=event.get("body") or "",
        is_base64=bool(event.get("isBase64Encoded")),
    )


def read_question(call: Call) -> Question:
    """The question in the body of POST /predict: JSON, or an image with options in the query.

    Raises: BadRequest, naming the field; RequestTooLarge.
    """
    content = call.content()
    if call.content_type.startswith("image/"):
        _refuse_unknown(call.query, OPTIONS, "query parameter")
        return _question([lambda: _not_empty(content)], _options_of_query(call.query))
    if call.query:
        raise BadRequest("options go into the JSON body; query parameters are for bodies of type image/*")
    try:
        fields = json.loads(content.decode("utf-8-sig"))  # some editors put a byte order mark in front
    except (ValueError, RecursionError) as error:
        raise BadRequest(
            "the body is not JSON (UTF-8); a photo itself needs Content-Type: image/*"
        ) from error
    return question_of(fields)


def question_of(fields: object) -> Question:
    """The question in the JSON of POST /predict, which is also the event of a direct invoke.

    Raises: BadRequest, naming the field. What is wrong with one image's bytes shows only when they are read.
    """
    if not isinstance(fields, dict):
        raise BadRequest("the request must be a JSON object")
    _refuse_unknown(fields, SOURCES + OPTIONS, "field")
    given = [name for name in SOURCES if name in fields]
    if len(given) != 1:
        raise BadRequest(f"exactly one of url, image, images is needed, not {' and '.join(given) or 'none'}")
    if given != ["images"]:
        return _question([_photo({given[0]: fields[given[0]]}, "")], fields)
    images = fields["images"]
    if not isinstance(images, list) or not 1 <= len(images) <= MAX_IMAGES:
        raise BadRequest(f"images must be a list of 1 to {MAX_IMAGES} objects")
    photos = [_photo(image, f"images[{index}]") for index, image in enumerate(images)]
    return _question(photos, fields, is_batch=True)


def read_base64(text: str) -> bytes:
    """Strict base64 (RFC 4648, section 4), with or without a data URL's head; ASCII white space is fine."""
    head, comma, payload = text.partition(",") if text.startswith("data:") else ("", "", text)
    if head and not (comma and head.endswith(";base64")):
        raise BadRequest("the data URL must begin with data:<type>;base64,")
    try:
        return base64.b64decode(payload, validate=True)
    except ValueError:
        pass  # rarely, there is white space: looking for it first would cost every photo a pass over its megabytes
    try:
        return base64.b64decode(payload.encode("ascii").translate(None, b" \t\r\n\f\v"), validate=True)
    except ValueError as error:
        raise BadRequest("the image is not valid base64") from error


def _question(
    photos: list[Callable[[], bytes]], options: Mapping[str, Any], is_batch: bool = False
) -> Question:
    top, explain = options.get("top"), options.get("explain", False)
    if "top" in options and (type(top) is not int or top < 1):  # True is an int to isinstance
        raise BadRequest(f"top must be a whole number of at least 1, not {reprlib.repr(top)}")
    if type(explain) is not bool:
        raise BadRequest(f"explain must be true or false, not {reprlib.repr(explain)}")
    return Question(tuple(photos), is_batch, top, explain)


def _photo(image: object, place: str) -> Callable[[], bytes]:
    """The reader of {"url": …} or {"image": …}, found at `place` in the request."""
    if not isinstance(image, dict) or len(image) != 1:
        raise BadRequest(f'{place} must be {{"url": …}} or {{"image": …}}')
    _refuse_unknown(image, ("url", "image"), f"field in {place}")
    [(name, text)] = image.items()
    if not isinstance(text, str):
        raise BadRequest(f"{place}{'.' if place else ''}{name} must be a string")
    return partial(fetch, text) if name == "url" else lambda: _not_empty(read_base64(text))


def _options_of_query(query: Mapping[str, str]) -> dict[str, object]:
    """Query parameters as JSON would spell them; what is no JSON stays text, for the type check to refuse."""
    spelled: dict[str, object] = {"true": True, "false": False}
    # At most nine digits: Python refuses to read thousands of them.
    return {
        name: int(text) if text.isascii() and text.isdigit() and len(text) < 10 else spelled.get(text, text)
        for name, text in query.items()
    }


def _refuse_unknown(fields: Collection[str], known: Collection[str], kind: str) -> None:
    for name in fields:
        if name not in known:
            raise BadRequest(f"unknown {kind} {reprlib.repr(name)}; known are {', '.join(known)}")


def _not_empty(data: bytes) -> bytes:
    if not data:
        raise BadRequest("the image is empty")
    return data

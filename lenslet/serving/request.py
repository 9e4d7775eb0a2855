"""Checked requests, from events of API Gateway, Function URLs and direct invokes."""

import base64
import json
import reprlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from typing import Any

from lenslet.inference.errors import BadRequest, RequestTooLarge
from lenslet.serving.links.fetcher import Allowance, fetch

# Lambda's limit of an event. `lenslet serve` has it, too, so that what works locally works when deployed.
MAX_BODY_BYTES = 6 * 1024 * 1024
MAX_IMAGES = 16
# Arrays and objects in a body. A batch of links with IPv6 addresses has about a hundred; six megabytes of brackets
# would take seconds and 200 MB to parse.
MAX_BRACKETS = 10_000
MAX_TOP = 999_999_999  # fits into 32 bits, for any client
SOURCES = ("url", "image", "images")
OPTIONS = ("top", "explain")


@dataclass(frozen=True)
class HttpRequest:
    """One HTTP request, from an event of payload format 1.0 or 2.0."""

    method: str
    path: str  # without the stage, the query and a closing slash
    content_type: str  # lower case, without parameters; "" if not given
    query: Mapping[str, str]
    body: str | bytes = field(repr=False)
    is_base64: bool
    headers: Mapping[str, str] = field(repr=False)  # names in lower case

    def content(self) -> bytes:
        """The body's bytes. Raises RequestTooLarge, or BadRequest if the event's base64 is broken."""
        # Lambda's events are JSON and hold text only. lenslet serve hands bytes over as they came, instead of
        # base64 that would be undone here; they have the limit of the base64 that they would be.
        size = len(self.body) if isinstance(self.body, str) else ceil(len(self.body) / 3) * 4
        if size > MAX_BODY_BYTES:
            raise RequestTooLarge(f"the body is larger than {MAX_BODY_BYTES:,} bytes (in base64), the limit")
        if isinstance(self.body, bytes):
            return self.body
        return read_base64(self.body, "body") if self.is_base64 else self.body.encode(errors="surrogatepass")


@dataclass(frozen=True)
class PredictRequest:
    """A checked request for predictions."""

    photos: tuple[Callable[[], bytes], ...]  # each returns one image's bytes, or raises a LensletError
    is_batch: bool  # requested as `images`, answered as `results`
    top: int | None  # how many labels to answer with; None: all
    explain: bool


def read_http_request(event: object) -> HttpRequest | None:
    """The HTTP request in an event, or None if the function was invoked directly.

    Event shapes: "Lambda proxy integrations", payload format versions 1.0 and 2.0, of the AWS documentation.
    Raises: BadRequest if the event looks like one of these, but has values of other types.
    """
    context = event.get("requestContext") if isinstance(event, dict) else None
    if not isinstance(event, dict) or not isinstance(context, dict):
        return None
    http = context.get("http")  # payload 2.0 only
    if not http and "httpMethod" not in event:
        return None
    try:
        stage = f"/{context['stage']}" if context.get("stage") else ""
        return _http_request_of(event, http or {"method": event["httpMethod"]}, stage)
    except (AttributeError, KeyError, TypeError) as error:
        raise BadRequest("the event is not one that API Gateway or a Function URL sends") from error


def _http_request_of(event: dict[str, Any], http: dict[str, Any], stage: str) -> HttpRequest:
    path = event["rawPath" if "rawPath" in event else "path"] or "/"
    if path == stage or path.startswith(f"{stage}/"):  # an HTTP API prefixes the name of its stage
        path = path.removeprefix(stage)
    # The case of header names varies; payload 1.0 has null for empty values.
    given = (event.get("headers") or {}).items()
    headers = {name.lower(): value for name, value in given if isinstance(value, str)}
    # Of a repeated name, payload 1.0 has the last value here and all of them in the other; payload 2.0 joins them.
    single = {name: [value] for name, value in (event.get("queryStringParameters") or {}).items()}
    query = single | (event.get("multiValueQueryStringParameters") or {})
    body, is_base64 = event.get("body") or "", event.get("isBase64Encoded") or False
    if not isinstance(body, str | bytes) or not isinstance(is_base64, bool):
        raise TypeError("body or isBase64Encoded")
    return HttpRequest(
        method=http["method"].upper(),
        path=path.rstrip("/") or "/",
        content_type=headers.get("content-type", "").partition(";")[0].strip().lower(),
        query={name: ",".join(values) for name, values in query.items()},
        body=body,
        is_base64=is_base64,
        headers=headers,
    )


def read_predict_request(request: HttpRequest) -> PredictRequest:
    """The checked body of POST /predict: JSON, or an image with options in the query.

    Raises: BadRequest, naming the field; RequestTooLarge.
    """
    content = request.content()
    if request.content_type.startswith("image/"):
        _refuse_unknown(request.query, OPTIONS, "query parameter")
        return _checked_request([lambda: _not_empty(content)], _options_of_query(request.query))
    if request.query:
        raise BadRequest("options go into the JSON body; query parameters are for bodies of type image/*")
    return predict_request_of(read_json(content))


def predict_request_of(fields: object) -> PredictRequest:
    """The checked JSON of POST /predict, which is also the event of a direct invoke.

    Raises: BadRequest, naming the field. The bytes of images are checked when they are read, not here.
    """
    if not isinstance(fields, dict):
        raise BadRequest("the request must be a JSON object")
    _refuse_unknown(fields, SOURCES + OPTIONS, "field")
    given = [name for name in SOURCES if name in fields]
    if len(given) != 1:
        raise BadRequest(f"exactly one of url, image, images is needed, not {' and '.join(given) or 'none'}")
    allowance = Allowance()
    if given != ["images"]:
        return _checked_request([_photo({given[0]: fields[given[0]]}, "", allowance)], fields)
    images = fields["images"]
    if not isinstance(images, list) or not 1 <= len(images) <= MAX_IMAGES:
        raise BadRequest(f"images must be a list of 1 to {MAX_IMAGES} objects")
    photos = [_photo(image, f"images[{index}]", allowance) for index, image in enumerate(images)]
    return _checked_request(photos, fields, is_batch=True)


def read_json(content: bytes) -> object:
    """Raises BadRequest: no JSON (as RFC 8259 has it, so no NaN), a repeated field, or more brackets than allowed."""
    if _brackets(content) > MAX_BRACKETS:
        raise BadRequest(f"the body has more than {MAX_BRACKETS:,} brackets, the limit")
    try:
        text = content.decode("utf-8-sig")  # some editors write a byte order mark
        return json.loads(text, object_pairs_hook=_object_of, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest(
            "the body is not JSON (UTF-8); a photo itself needs Content-Type: image/*"
        ) from error


def _brackets(content: bytes) -> int:
    """Number of opening brackets, counted up to one above the limit.

    `find` skips megabytes of base64 ten times as fast as `count`, which takes 2.5 ms for a photo of 12 megapixels.
    """
    count = 0
    for bracket in (b"{", b"["):
        place = content.find(bracket)
        while place >= 0 and count <= MAX_BRACKETS:
            count += 1
            place = content.find(bracket, place + 1)
    return count


def read_base64(text: str, place: str = "image") -> bytes:
    """Strict base64 (RFC 4648, section 4), with or without the head of a data URL; ASCII white space is skipped."""
    head, comma, payload = text.partition(",") if text.startswith("data:") else ("", "", text)
    if head and not (comma and head.endswith(";base64")):
        raise BadRequest("the data URL must begin with data:<type>;base64,")
    try:
        return base64.b64decode(payload, validate=True)
    except ValueError:
        pass  # white space is rare: searching it first would cost a pass over the megabytes of every photo
    try:
        return base64.b64decode(payload.encode("ascii").translate(None, b" \t\r\n\f\v"), validate=True)
    except ValueError as error:
        raise BadRequest(f"the {place} is not valid base64") from error


def _checked_request(
    photos: list[Callable[[], bytes]], options: Mapping[str, Any], is_batch: bool = False
) -> PredictRequest:
    top: Any = options.get("top")
    explain = options.get("explain", False)
    if "top" in options and not (_is_whole(top) and 1 <= top <= MAX_TOP):
        raise BadRequest(f"top must be a whole number from 1 to {MAX_TOP:,}, not {reprlib.repr(top)}")
    if type(explain) is not bool:
        raise BadRequest(f"explain must be true or false, not {reprlib.repr(explain)}")
    return PredictRequest(tuple(photos), is_batch, None if top is None else int(top), explain)


def _is_whole(number: Any) -> bool:
    """As in JSON Schema, 2.0 is a whole number, and true is not."""
    return type(number) is int or (type(number) is float and number.is_integer())


def _photo(image: object, place: str, allowance: Allowance) -> Callable[[], bytes]:
    """A function that reads {"url": …} or {"image": …}, which stands at `place` in a request with this allowance."""
    if not isinstance(image, dict) or len(image) != 1:
        raise BadRequest(f'{place} must be {{"url": …}} or {{"image": …}}')
    _refuse_unknown(image, ("url", "image"), f"field in {place}")
    [(name, text)] = image.items()
    if not isinstance(text, str):
        raise BadRequest(f"{place}{'.' if place else ''}{name} must be a string")
    return partial(fetch, text, allowance) if name == "url" else lambda: _not_empty(read_base64(text))


def _options_of_query(query: Mapping[str, str]) -> dict[str, object]:
    """Query parameters as JSON values; other text stays as it is, and the type check refuses it."""
    spelled: dict[str, object] = {"true": True, "false": False}
    # At most nine digits: Python refuses to parse thousands of them.
    return {
        name: int(text) if text.isascii() and text.isdigit() and len(text) < 10 else spelled.get(text, text)
        for name, text in query.items()
    }


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse repeated names: some parsers take the first, some the last, so a filter in front may see another value."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise BadRequest(f"field {reprlib.repr(twice)} is given more than once")
    return fields


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _refuse_unknown(fields: Collection[str], known: Collection[str], kind: str) -> None:
    for name in fields:
        if name not in known:
            raise BadRequest(f"unknown {kind} {reprlib.repr(name)}; known are {', '.join(known)}")


def _not_empty(data: bytes) -> bytes:
    if not data:
        raise BadRequest("the image is empty")
    return data

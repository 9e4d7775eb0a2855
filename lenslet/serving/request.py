"""Checked requests for predictions: JSON, a raw photo, or a form."""

import json
import re
import reprlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from lenslet.inference.errors import BadRequest
from lenslet.inference.explanation import OWN
from lenslet.inference.judged_explanation import OCCLUSION
from lenslet.serving.encoding import check_bytes, read_base64
from lenslet.serving.form import Form, read_form
from lenslet.serving.gateway import HttpRequest
from lenslet.serving.links.allowance import Allowance

MAX_IMAGES = 16
# Arrays and objects in a body. A batch of links with IPv6 addresses has about a hundred; six megabytes of brackets
# would take seconds and 200 MB to parse.
MAX_BRACKETS = 10_000
MAX_TOP = 999_999_999  # fits into 32 bits, for any client
SOURCES = ("url", "image", "images")
OPTIONS = ("top", "explain", "model")
# Beginnings of bodies that come with the type of a photo, and what they are.
NO_PHOTOS = {
    re.compile(rb'\s*\{\s*"'): "JSON",
    re.compile(rb"(\r\n)?--[^\r\n]{1,70}\r\nContent-", re.I): "a form",
}
SET_BY_CLIENT = "let the HTTP client set the Content-Type"
EXPLANATIONS = {True: OWN, False: None, OCCLUSION: OCCLUSION}  # values of `explain` → kind


@dataclass(frozen=True)
class PredictRequest:
    """A checked request for predictions."""

    photos: tuple[Callable[[], bytes], ...]  # each returns one image's bytes, or raises a LensletError
    is_batch: bool  # requested as `images`, answered as `results`
    top: int | None  # how many labels to answer with; None: all, at most 100
    explain: str | None  # kind of explanation, a value of `EXPLANATIONS`; None: none
    model: str | None = None  # its name; None: the default one
    links: Allowance | None = None  # of its links; None: it has none


def read_predict_request(request: HttpRequest) -> PredictRequest:
    """The checked body of POST /predict: JSON, an image with options in the query, or a form.

    Raises: BadRequest, naming the field; RequestTooLarge.
    """
    if request.content_type == "multipart/form-data":
        return _request_of_form(read_form(request.content(), request.headers["content-type"]), request.query)
    if request.content_type.startswith("image/"):
        content = request.content()
        refuse_unknown(request.query, OPTIONS, "query parameter")
        for start, kind in NO_PHOTOS.items():
            if start.match(content):
                raise BadRequest(
                    f"the body is {kind}, but its Content-Type is that of a photo: {SET_BY_CLIENT}"
                )
        return _checked_request([lambda: check_bytes(content)], _options_of_query(request.query))
    remedy = f"a photo itself needs Content-Type: image/*, and of a form {SET_BY_CLIENT}"
    return _request_of_json(read_json(request.json_text(), remedy), request.query)


def _request_of_json(fields: object, query: Mapping[str, str]) -> PredictRequest:
    """The JSON's own request; the query may name the model, which is then part of the address."""
    if not query.keys() <= {"model"}:
        raise BadRequest(
            "options go into the JSON body; query parameters, model excepted, are for bodies of type image/* or "
            "multipart/form-data"
        )
    if query and isinstance(fields, dict):
        if "model" in fields:
            raise BadRequest("model is given in the JSON and in the query")
        fields = {**fields, **query}
    return predict_request_of(fields)


def _request_of_form(form: Form, query: Mapping[str, str]) -> PredictRequest:
    """One photo, or a batch if the form has several; options as fields of the form or query parameters."""
    refuse_unknown(query, OPTIONS, "query parameter")
    for name in form.options:
        if name in query:
            raise BadRequest(f"{name} is given in the form and in the query")
    photos: list[Callable[[], bytes]] = [partial(check_bytes, photo) for photo in form.photos]
    if not 1 <= len(photos) <= MAX_IMAGES:
        raise BadRequest(
            f"the form must have 1 to {MAX_IMAGES} photos, in fields named file or image, not {len(photos)}"
        )
    return _checked_request(photos, _options_of_query({**query, **form.options}), is_batch=len(photos) > 1)


def predict_request_of(fields: object) -> PredictRequest:
    """The checked JSON of POST /predict, which is also the event of a direct invoke.

    Raises: BadRequest, naming the field. The bytes of images are checked when they are read, not here.
    """
    if not isinstance(fields, dict):
        raise BadRequest("the request must be a JSON object")
    refuse_unknown(fields, SOURCES + OPTIONS, "field")
    given = [name for name in SOURCES if name in fields]
    if len(given) != 1:
        raise BadRequest(f"exactly one of url, image, images is needed, not {' and '.join(given) or 'none'}")
    allowance = Allowance()
    if given != ["images"]:
        photo = read_photo({given[0]: fields[given[0]]}, "", allowance)
        return _checked_request([photo], fields, links=allowance if given == ["url"] else None)
    images = fields["images"]
    if not isinstance(images, list) or not 1 <= len(images) <= MAX_IMAGES:
        raise BadRequest(f"images must be a list of 1 to {MAX_IMAGES} objects")
    photos = [read_photo(image, f"images[{index}]", allowance) for index, image in enumerate(images)]
    has_links = any("url" in image for image in images)
    return _checked_request(photos, fields, is_batch=True, links=allowance if has_links else None)


def read_json(content: str | bytes, remedy: str) -> object:
    """`content`: as `HttpRequest.json_text` gives it; `remedy`: what callers do whose body is something else.

    Raises BadRequest: no JSON (as RFC 8259 has it, so no NaN), a repeated field, or more brackets than allowed.
    """
    if _brackets(content) > MAX_BRACKETS:
        raise BadRequest(f"the body has more than {MAX_BRACKETS:,} brackets, the limit")
    try:
        # Some editors write a byte order mark.
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        return json.loads(text, object_pairs_hook=_object_of, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON (UTF-8); {remedy}") from error


def _brackets(content: str | bytes) -> int:
    """Number of opening brackets, counted up to one above the limit.

    `find` skips megabytes of base64 ten times as fast as `count`, which takes 2.5 ms for a photo of 12 megapixels.
    """
    count = 0
    for bracket in "{[":
        found = (
            partial(content.find, bracket)
            if isinstance(content, str)
            else partial(content.find, bracket.encode())
        )
        place = found(0)
        while place >= 0 and count <= MAX_BRACKETS:
            count += 1
            place = found(place + 1)
    return count


def _checked_request(
    photos: list[Callable[[], bytes]],
    options: Mapping[str, Any],
    is_batch: bool = False,
    links: Allowance | None = None,
) -> PredictRequest:
    top: Any = options.get("top")
    explain = options.get("explain", False)
    if "top" in options and not (_is_whole(top) and 1 <= top <= MAX_TOP):
        raise BadRequest(f"top must be a whole number from 1 to {MAX_TOP:,}, not {reprlib.repr(top)}")
    if type(explain) is not bool and explain != OCCLUSION:
        raise BadRequest(f'explain must be true, false or "{OCCLUSION}", not {reprlib.repr(explain)}')
    model = options.get("model")
    if "model" in options and not isinstance(model, str):
        raise BadRequest(f"model must be a name, as GET /models lists them, not {reprlib.repr(model)}")
    return PredictRequest(
        tuple(photos), is_batch, None if top is None else int(top), EXPLANATIONS[explain], model, links
    )


def _is_whole(number: Any) -> bool:
    """As in JSON Schema, 2.0 is a whole number, and true is not."""
    return type(number) is int or (type(number) is float and number.is_integer())


def read_photo(image: object, place: str, allowance: Allowance) -> Callable[[], bytes]:
    """A function that reads {"url": …} or {"image": …}, which stands at `place` in a request with this allowance."""
    if not isinstance(image, dict) or len(image) != 1:
        raise BadRequest(f'{place} must be {{"url": …}} or {{"image": …}}')
    refuse_unknown(image, ("url", "image"), f"field in {place}")
    [(name, text)] = image.items()
    if not isinstance(text, str):
        raise BadRequest(f"{place}{'.' if place else ''}{name} must be a string")
    return partial(_fetch, text, allowance) if name == "url" else lambda: check_bytes(read_base64(text))


def _fetch(link: str, allowance: Allowance) -> bytes:
    """As the fetcher does, whose import takes 5 ms that a start without links does not need."""
    from lenslet.serving.links import fetcher

    return fetcher.fetch(link, allowance)


def _options_of_query(query: Mapping[str, str]) -> dict[str, object]:
    """Query parameters as JSON values; other text stays as it is, and the type check refuses it."""
    spelled: dict[str, object] = {"true": True, "false": False}
    # At most nine digits: Python refuses to parse thousands of them.
    values = {
        name: int(text) if text.isascii() and text.isdigit() and len(text) < 10 else spelled.get(text, text)
        for name, text in query.items()
    }
    return {**values, "model": query["model"]} if "model" in query else values  # "1" may be a model's name


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse repeated names: some parsers take the first, some the last, so a filter in front may see another value."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise BadRequest(f"field {reprlib.repr(twice)} is given more than once")
    return fields


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def refuse_unknown(fields: Collection[str], known: Collection[str], kind: str) -> None:
    for name in fields:
        if name not in known:
            raise BadRequest(f"unknown {kind} {reprlib.repr(name)}; known are {', '.join(known) or 'none'}")

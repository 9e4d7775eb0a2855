"""HTTP requests from the events of API Gateway, Function URLs and Application Load Balancers.

- LENSLET_BASE_PATH: the path under which a custom domain or a proxy has this service, for example `/photos`. Needed
  only where the event does not say the route: an HTTP API with `$default`, a load balancer, a reverse proxy.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any
from urllib.parse import unquote_plus

from lenslet.inference.errors import BadRequest, RequestTooLarge
from lenslet.serving.encoding import read_base64

# Lambda's limit of an event. `lenslet serve` has it, too, so that what works locally works when deployed.
MAX_BODY_BYTES = 6 * 1024 * 1024
BASE_PATH = re.compile(r"(/[a-z0-9._~-]+)+", re.IGNORECASE | re.ASCII)
PATH_PARAMETER = re.compile(r"\{(\w+)\+?\}", re.ASCII)  # {proxy+} stands for the rest of the path


@dataclass(frozen=True)
class HttpRequest:
    """One HTTP request, from an event of payload format 1.0 or 2.0, or of a load balancer."""

    method: str
    path: str  # without the stage, the base path, the query and a closing slash
    content_type: str  # lower case, without parameters; "" if not given
    query: Mapping[str, str]
    body: str | bytes = field(repr=False)
    is_base64: bool
    headers: Mapping[str, str] = field(repr=False)  # names in lower case
    takes_multi_value: bool = False  # a load balancer that ignores single-value headers of the answer

    def content(self) -> bytes:
        """The body's bytes. Raises RequestTooLarge, or BadRequest if they are compressed or the base64 is broken."""
        self._check()
        if isinstance(self.body, bytes):
            return self.body
        return read_base64(self.body, "body") if self.is_base64 else self.body.encode(errors="surrogatepass")

    def json_text(self) -> str | bytes:
        """The body for a parser of JSON: a text as it is, if it is ASCII, which spares two copies of megabytes.

        Raises: as `content`.
        """
        if isinstance(self.body, str) and not self.is_base64 and self.body.isascii():
            self._check()
            return self.body
        return self.content()

    def _check(self) -> None:
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            raise BadRequest(
                "the body is compressed (Content-Encoding), which is not read here: send it as it is"
            )
        # Lambda's events are JSON and hold text only. lenslet serve hands bytes over as they came, instead of
        # base64 that would be undone here; they have the limit of the base64 that they would be.
        size = len(self.body) if isinstance(self.body, str) else ceil(len(self.body) / 3) * 4
        if size > MAX_BODY_BYTES:
            raise RequestTooLarge(self._size_limit())

    def _size_limit(self) -> str:
        """The limit in the unit that the caller sent: bytes of a raw body, which a gateway makes base64, or of text."""
        photo = MAX_BODY_BYTES // 4 * 3
        if self.is_base64 or isinstance(self.body, bytes):
            return f"the body is larger than {photo:,} bytes, the limit: send the photo smaller"
        return (
            f"the body is larger than {MAX_BODY_BYTES:,} bytes, the limit, which base64 of a photo of {photo:,} bytes "
            "reaches: send the photo smaller, or as it is instead of in base64"
        )


def read_base_path(environment: Mapping[str, str]) -> str:
    """LENSLET_BASE_PATH without a closing slash, "" if not set. Raises ValueError if it is malformed."""
    text = environment.get("LENSLET_BASE_PATH", "").strip().rstrip("/")
    if text and not BASE_PATH.fullmatch(text):
        raise ValueError(f"LENSLET_BASE_PATH takes a path as /photos or /v1/photos, not {text!r}")
    return text


def read_http_request(event: object) -> HttpRequest | None:
    """The HTTP request in an event, or None if the function was invoked directly.

    Event shapes: "Lambda proxy integrations", payload format versions 1.0 and 2.0, and "Lambda functions as targets
    for Application Load Balancers" of the AWS documentation.
    Raises: BadRequest if the event looks like one of these, but has values of other types.
    """
    context = event.get("requestContext") if isinstance(event, dict) else None
    if not isinstance(event, dict) or not isinstance(context, dict):
        return None
    http = context.get("http")  # payload 2.0 only
    if not http and "httpMethod" not in event:
        return None
    try:
        return _http_request_of(event, context, http or {"method": event["httpMethod"]})
    except (AttributeError, KeyError, TypeError) as error:
        raise BadRequest("the event is not one that API Gateway or a Function URL sends") from error


def _http_request_of(event: dict[str, Any], context: dict[str, Any], http: dict[str, Any]) -> HttpRequest:
    # The case of header names varies; payload 1.0 has null for empty values. A load balancer with multi-value headers
    # has the lists alone.
    given = (event.get("headers") or {}).items()
    lists = event.get("multiValueHeaders") if event.get("headers") is None else None
    headers = {name.lower(): ",".join(values) for name, values in (lists or {}).items()}
    headers |= {name.lower(): value for name, value in given if isinstance(value, str)}
    # Of a repeated name, payload 1.0 has the last value here and all of them in the other; payload 2.0 joins them.
    single = {name: [value] for name, value in (event.get("queryStringParameters") or {}).items()}
    query = {
        name: ",".join(values)
        for name, values in (single | (event.get("multiValueQueryStringParameters") or {})).items()
    }
    if "elb" in context:  # which hands them over percent-encoded
        query = {unquote_plus(name): unquote_plus(value) for name, value in query.items()}
    body, is_base64 = event.get("body") or "", event.get("isBase64Encoded") or False
    if not isinstance(body, str | bytes) or not isinstance(is_base64, bool):
        raise TypeError("body or isBase64Encoded")
    return HttpRequest(
        method=http["method"].upper(),
        path=_path_of(event, context).rstrip("/") or "/",
        content_type=headers.get("content-type", "").partition(";")[0].strip().lower(),
        query=query,
        body=body,
        is_base64=is_base64,
        headers=headers,
        takes_multi_value="elb" in context and "multiValueHeaders" in event,
    )


def _path_of(event: dict[str, Any], context: dict[str, Any]) -> str:
    """The path as `openapi.yaml` has it: without the stage, the base path of a custom domain, or LENSLET_BASE_PATH."""
    path: str = event["rawPath" if "rawPath" in event else "path"] or "/"
    stage = f"/{context['stage']}" if context.get("stage") else ""
    # A REST API of a custom domain has the domain's base path in `path`, an HTTP API in `rawPath`. The route, which
    # the gateway has matched, is free of it: "/predict" or "/{proxy+}", in payload 2.0 after the method.
    route = event.get("resource") or (event.get("routeKey") or "").partition(" ")[2]
    route = PATH_PARAMETER.sub(lambda part: (event.get("pathParameters") or {}).get(part[1], part[0]), route)
    if route.startswith("/") and f"{path.rstrip('/')}/".endswith(f"{route.rstrip('/')}/"):
        path = route
    else:
        path = _without(stage, path)  # an HTTP API prefixes the name of its stage
    return _without(read_base_path(os.environ), path)


def _without(prefix: str, path: str) -> str:
    return path.removeprefix(prefix) if path == prefix or path.startswith(f"{prefix}/") else path

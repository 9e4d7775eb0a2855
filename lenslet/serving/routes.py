"""Paths and methods of the HTTP endpoint: routing, the key check before it, and the proxy response after it."""

from collections.abc import Callable, Mapping
from typing import Any

from lenslet.inference.errors import MethodNotAllowed, UnknownPath
from lenslet.serving.access import Access
from lenslet.serving.answer import Keep, description, descriptions, predict
from lenslet.serving.contract import read_contract
from lenslet.serving.feedback import take_feedback
from lenslet.serving.gateway import HttpRequest
from lenslet.serving.models import Models
from lenslet.serving.request import read_predict_request

Respond = Callable[[HttpRequest, Models, Keep | None], dict[str, Any]]

CONTRACT_PATH = "/openapi.json"
HEALTH_PATH = "/health"  # needs no key: load balancers have none
# HEAD is what uptime monitors send. It is answered as GET; the gateway or server drops the body.
READING = ("GET", "HEAD")
RETRY_AFTER_S = "60"  # `feedback.RateLimit` counts by the minute
ROUTES: dict[str, dict[str, Respond]] = {
    "/": dict.fromkeys(READING, lambda request, models, keep: description(models.default.artifact)),
    "/models": dict.fromkeys(READING, lambda request, models, keep: descriptions(models)),
    HEALTH_PATH: dict.fromkeys(READING, lambda request, models, keep: {"status": "ok"}),
    CONTRACT_PATH: dict.fromkeys(READING, lambda request, models, keep: read_contract()),
    "/predict": {"POST": lambda request, models, keep: predict(read_predict_request(request), models, keep)},
    "/feedback": {"POST": lambda request, models, keep: take_feedback(request, models)},
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def route(
    request: HttpRequest, models: Models, access: Access, keep: Keep | None = None
) -> tuple[int, dict[str, Any]]:
    """Answer a request: its status and JSON object, which is empty if the answer has no body.

    `keep` is called with each photo that the default model has classified.

    Raises: LensletError of any kind, the key check's among them.
    """
    check_key(request, access)
    if request.path not in ROUTES:
        raise UnknownPath(
            f"there is nothing at this path; there is at {', '.join(ROUTES)}{_base_path_hint(request.path)}"
        )
    methods = ROUTES[request.path]
    if request.method == "OPTIONS":  # a CORS preflight: the headers are the answer
        return 204, {}
    if request.method not in methods:
        raise MethodNotAllowed(f"{request.path} takes {', '.join(methods)}")
    return 200, methods[request.method](request, models, keep)


def _base_path_hint(path: str) -> str:
    if path.endswith(tuple(ROUTES.keys() - {"/"})):
        return ": if the service stands below another path, its operator names that in LENSLET_BASE_PATH"
    return ""


def needs_no_key(request: HttpRequest) -> bool:
    """Health checks and CORS preflights, which browsers send without a key; the answer to either reads no body."""
    return request.method == "OPTIONS" or request.path == HEALTH_PATH


def check_key(request: HttpRequest, access: Access) -> None:
    """Whether the caller is let in; only the headers are read. Raises: KeyMissing, KeyRefused."""
    if not needs_no_key(request):
        access.check_key(request.headers)


def proxy_response(request: HttpRequest, status: int, body: str, access: Access) -> dict[str, Any]:
    """The answer in the form that API Gateway, Function URLs and load balancers turn into an HTTP response."""
    headers = {"Content-Type": "application/json", **access.cors_headers(request.headers.get("origin"))}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 429:
        headers["Retry-After"] = RETRY_AFTER_S
    if status == 405:
        headers["Allow"] = ", ".join([*ROUTES[request.path], "OPTIONS"])
    answer = {"statusCode": status, "body": body, "isBase64Encoded": False}
    if request.takes_multi_value:
        return answer | {"multiValueHeaders": {name: [value] for name, value in headers.items()}}
    return answer | {"headers": headers}


def logged_fields(request: HttpRequest) -> Mapping[str, str | None]:
    """Method and path for the log, None if unknown: an unknown path may hold anything, for example a signed link."""
    return {
        "method": request.method if request.method in METHODS else None,
        "path": request.path if request.path in ROUTES else None,
    }

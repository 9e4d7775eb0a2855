"""An ASGI application around the function: each request becomes an event, and the handler's answer goes back."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from lenslet.inference.errors import LensletError, Overloaded, RequestTimeout
from lenslet.serving.access import Access
from lenslet.serving.answer import refusal
from lenslet.serving.contract import read_contract
from lenslet.serving.gateway import MAX_BODY_BYTES, HttpRequest, read_http_request
from lenslet.serving.http.admission import AdmissionControl
from lenslet.serving.http.docs_page import DOCS_HEADERS, docs_page
from lenslet.serving.http.event import Context, event_of, with_body
from lenslet.serving.http.training import METHODS, Training
from lenslet.serving.links.waiting import pausing
from lenslet.serving.routes import READING, check_key, logged_fields, needs_no_key, proxy_response
from lenslet.serving.telemetry import Telemetry

DOCS_PATH = "/docs"  # the page, which only this server has; needs no key, as it shows what is public
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_TIMEOUT_S = 30.0  # longer than a whole request may take with an HTTP API of API Gateway
# Status → headers of a refusal. A client that is too slow must not go on sending on this connection.
REFUSAL_HEADERS = {503: {"Retry-After": "1"}, 408: {"Connection": "close"}}


@dataclass(frozen=True)
class Function:
    """The parts of `lambda_func` that the bridge calls."""

    handler: Callable[[dict[str, Any], Any], dict[str, Any]]
    access: Access
    telemetry: Telemetry


def bridge(function: Function, admission: AdmissionControl, training: Training | None = None) -> Application:
    """An ASGI application; the handler runs in threads, of which as many work as there are workers."""
    threads = ThreadPoolExecutor(admission.threads, thread_name_prefix="handler")
    page = docs_page(read_contract())
    # A thread of its own: when all others are busy, the service is not dead.
    health = ThreadPoolExecutor(1, thread_name_prefix="health")

    training_thread = ThreadPoolExecutor(1, thread_name_prefix="training")

    def call_handler(event: dict[str, Any], body: bytes) -> dict[str, Any]:
        return function.handler(with_body(event, body), Context())

    def answer(loop: asyncio.AbstractEventLoop, event: dict[str, Any], body: bytes) -> dict[str, Any]:
        with pausing(partial(admission.waiting_for_links, loop)):
            return call_handler(event, body)

    async def respond(request: Request, event: dict[str, Any]) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        # Path and method as the function reads them: `POST /health/` or `options` would else take a place unchecked.
        read = http_request(event)
        if needs_no_key(read):
            return await loop.run_in_executor(health, call_handler, event, b"")
        # Before admission: callers without a key take no place from those who have one.
        check_key(read, function.access)
        with admission.place():
            body = await read_body(request)
            async with admission.worker():
                return await loop.run_in_executor(threads, answer, loop, event, body)

    async def train(request: HttpRequest) -> Response:
        assert training
        loop = asyncio.get_running_loop()
        status, content = await loop.run_in_executor(training_thread, training.answer, request)
        headers = function.access.cors_headers(request.headers.get("origin"))
        return JSONResponse(content, status, headers) if content else Response(None, status, headers)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        event = event_of(request)
        if request.method in READING and http_request(event).path == DOCS_PATH:
            await Response(page, headers=DOCS_HEADERS)(scope, receive, send)
            return
        if training and http_request(event).path in METHODS:
            await (await train(http_request(event)))(scope, receive, send)
            return
        try:
            answer = await respond(request, event)
        except ClientDisconnect:
            return
        except (LensletError, asyncio.CancelledError) as error:
            # Cancelled: the grace period is over, and uvicorn would make a 500 of it.
            reason = error if isinstance(error, LensletError) else Overloaded("the server is stopping")
            answer = refuse(http_request(event), reason, function)
        status = answer["statusCode"]
        headers = answer["headers"] | REFUSAL_HEADERS.get(status, {})
        await Response(answer["body"], status, headers)(scope, receive, send)

    return application


def refuse(request: HttpRequest, error: LensletError, function: Function) -> dict[str, Any]:
    """The proxy response of a request that the handler never sees; headers, JSON and log are as the handler's."""
    log_fields = {"request_id": Context().aws_request_id, **logged_fields(request)}
    function.telemetry.record(error.status, refusal(error), log_fields, latency_ms=0)
    return proxy_response(request, error.status, json.dumps(refusal(error)), function.access)


def http_request(event: dict[str, Any]) -> HttpRequest:
    request = read_http_request(event)
    assert request, "event_of makes HTTP events"
    return request


async def read_body(request: Request) -> bytes:
    """The body, or the first part of one that is over the limit: enough for the handler to refuse it.

    Raises: ClientDisconnect; RequestTimeout, if the client is too slow.
    """
    body = BytesIO()  # gives its bytes without a copy
    try:
        with anyio.fail_after(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                # The rest is read and dropped: a client that is cut off while it sends never sees the answer.
                if body.tell() <= MAX_BODY_BYTES:
                    body.write(chunk)
    except TimeoutError as error:
        raise RequestTimeout(f"the request took longer than {BODY_TIMEOUT_S:g} s to arrive") from error
    return body.getvalue()

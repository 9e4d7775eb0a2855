"""The Lambda function behind plain HTTP, for laptops, virtual machines and plain containers.

    lenslet serve --port 8080
    curl http://127.0.0.1:8080/predict -H "Content-Type: image/jpeg" --data-binary @photo.jpg

Each request becomes the event that a Function URL would send (payload format version 2.0; bodies that would be
base64 are bytes), the function's own `handler` answers it in a worker thread, and its answer goes back as it is. One
line of log for each request, and some of metrics for each prediction, which are for CloudWatch:
POWERTOOLS_METRICS_DISABLED=true leaves them out.

There is a process for each processor, and connections go to them by turns. When all workers of a process are busy,
some requests wait; more are answered 503 with Retry-After, at once. GET /health is always answered. SIGTERM and Ctrl-C
let the requests that have come end, refuse new ones, and exit with code 0.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lenslet.inference.errors import ArtifactError, LensletError, Overloaded, RequestTimeout
from lenslet.serving.http.connection import Connection
from lenslet.serving.http.event import Context, event_of, with_body
from lenslet.serving.http.processes import CAN_DEAL, CannotStart, deal
from lenslet.serving.request import MAX_BODY_BYTES

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]
CheckKey = Callable[[dict[str, Any]], None]
Refuse = Callable[[dict[str, Any], Any, LensletError], dict[str, Any]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

HEALTH = "/health"
BODY_LIMIT_S = 30.0  # as API Gateway: longer than the whole of an HTTP API's request may take
WAIT_LIMIT_S = 5.0  # for a worker; two links that stall keep two workers for ten seconds
GRACE_S = 15.0  # after a signal; a link may take ten seconds, and its photo some more
# Status → headers of a refusal. A client that is too slow must not go on sending on this connection.
REFUSAL_HEADERS = {503: {"Retry-After": "1"}, 408: {"Connection": "close"}}


@dataclass(frozen=True)
class Part:
    """What one process does of the server's work."""

    workers: int
    waiting: int
    prepare: Callable[[], None] | None

    def __call__(self, listener: socket.socket, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM. Raises CannotStart."""
        if self.prepare:
            self.prepare()
        if isinstance(sys.stdout, TextIOWrapper):  # whole lines, though other processes write there too
            sys.stdout.reconfigure(line_buffering=True)
        try:
            from lambda_func import check_key, handler, refuse_event  # loads the model, as it does in Lambda
        except ArtifactError as error:
            raise CannotStart(f"the model cannot be served: {error}") from error
        except ValueError as error:
            raise CannotStart(f"a setting makes no sense: {error}") from error
        ready()
        run(bridge(handler, check_key, refuse_event, Door(self.workers, self.waiting)), listener)


def main(argv: list[str] | None = None, prepare: Callable[[], None] | None = None) -> int:
    """`prepare` is for tests: each process calls it first."""
    arguments = read_arguments(argv)
    if arguments.model:
        os.environ["LENSLET_MODEL"] = str(arguments.model)
    try:
        listener = open_port(arguments.host, arguments.port)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # Python adds the address in brackets
        return refuse(f"cannot listen on {arguments.host}, port {arguments.port}: {reason}")
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    ready = partial(print, f"Lenslet answers on http://{host}:{port} (Ctrl-C stops it)", flush=True)
    # More than one for each processor would gain nothing: workers beyond that wait for links.
    count = min(arguments.workers, os.cpu_count() or 1) if CAN_DEAL else 1
    workers, waiting = shares(arguments.workers, count), shares(arguments.waiting, count)
    parts = [Part(*share, prepare) for share in zip(workers, waiting, strict=True)]
    try:
        if count == 1:
            parts[0](listener, ready)
        elif not deal(listener, parts, ready):
            print("lenslet serve: a process has died; the others have ended", file=sys.stderr)
            return 1
    except CannotStart as error:
        return refuse(str(error))
    return 0


def shares(whole: int, count: int) -> list[int]:
    """`whole` in `count` parts, as equal as they can be."""
    return [whole // count + (index < whole % count) for index in range(count)]


def read_arguments(argv: list[str] | None) -> argparse.Namespace:
    description, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets the network in (127.0.0.1)")
    parser.add_argument(
        "--port", type=number(0, 65535), default=8080, metavar="N", help="0: a free one (8080)"
    )
    parser.add_argument(
        "--model", type=Path, metavar="FOLDER", help="written by convert.py ($LENSLET_MODEL, else model/)"
    )
    parser.add_argument(
        "--workers",
        type=number(1, 1000),
        default=os.cpu_count() or 1,
        metavar="N",
        help="requests answered at the same time, shared out to a process for each processor (one each)",
    )
    parser.add_argument(
        "--waiting",
        type=number(0, 10_000),
        default=32,
        metavar="N",
        help="requests that may wait for a worker; each keeps up to 6 MB (32)",
    )
    return parser.parse_args(argv)


def number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if text.isdecimal() and least <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")

    return read


def refuse(sentence: str) -> int:
    print(
        f"lenslet serve: {sentence.strip()}", file=sys.stderr
    )  # the runtime ends its messages with a line end
    return 2


def open_port(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError if the address is unknown or taken."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.create_server(address[:2], family=family, backlog=128)
    # Each connection inherits it. Without it an answer's body waits 40 ms for the headers to be confirmed.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def run(application: Application, listener: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM; requests in progress get `GRACE_S` to end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn stops on these, then raises them once more: by default a traceback, or a death by signal.
        signal.signal(number, lambda number, frame: None)
    config = uvicorn.Config(
        application,
        loop="asyncio",  # another one does not take `lenslet.serving.http.processes.Dealt` for a socket
        lifespan="off",
        http=Connection,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(GRACE_S),
    )
    uvicorn.Server(config).run(sockets=[listener])


class Door:
    """As many requests as there are workers are answered, some more wait, and the rest is turned away at once."""

    def __init__(self, workers: int, waiting: int) -> None:
        self.workers = workers
        self._places = workers + waiting
        self._free_workers = asyncio.Semaphore(workers)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Taken before the body is read, so that bodies have bounded memory. Raises Overloaded."""
        if not self._places:
            raise Overloaded("too many requests are waiting already; try again later")
        self._places -= 1
        try:
            yield
        finally:
            self._places += 1

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        """Raises Overloaded if none is free in time."""
        try:
            with anyio.fail_after(WAIT_LIMIT_S):  # `asyncio.wait_for` would make a task for each request
                await self._free_workers.acquire()
        except TimeoutError as error:
            raise Overloaded(f"nobody was free within {WAIT_LIMIT_S:g} s; try again later") from error
        try:
            yield
        finally:
            self._free_workers.release()


def bridge(handler: Handler, check_key: CheckKey, refuse: Refuse, door: Door) -> Application:
    """An ASGI application: `handler` answers, in threads that stay, each with an interpreter of the model."""
    threads = ThreadPoolExecutor(door.workers, thread_name_prefix="handler")
    # One of its own: when all others wait for links, the service is busy and not dead.
    health = ThreadPoolExecutor(1, thread_name_prefix="health")

    def answer(event: dict[str, Any], body: bytes) -> dict[str, Any]:
        return handler(with_body(event, body), Context())

    async def ask(request: Request, event: dict[str, Any]) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        if request.scope["path"] == HEALTH or request.method == "OPTIONS":
            return await loop.run_in_executor(health, answer, event, b"")
        check_key(event)  # first: who has no key takes no place from those who have one
        with door.place():
            body = await read_body(request)
            async with door.worker():
                return await loop.run_in_executor(threads, answer, event, body)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        event = event_of(request)
        try:
            answer = await ask(request, event)
        except ClientDisconnect:
            return
        except (LensletError, asyncio.CancelledError) as error:
            # Cancelled: the grace is over, and uvicorn would make a 500 of it.
            reason = error if isinstance(error, LensletError) else Overloaded("the server is stopping")
            answer = refuse(event, Context(), reason)
            answer["headers"] |= REFUSAL_HEADERS.get(reason.status, {})
        await Response(answer["body"], answer["statusCode"], answer["headers"])(scope, receive, send)

    return application


async def read_body(request: Request) -> bytes:
    """The body, or the first part of one that is over the limit: enough for the handler to refuse it.

    Raises: ClientDisconnect; RequestTimeout, if the client is too slow.
    """
    body = BytesIO()  # gives its bytes without a copy
    try:
        with anyio.fail_after(BODY_LIMIT_S):
            async for chunk in request.stream():
                # The rest is read and dropped: a client that is cut off while it sends never sees the answer.
                if body.tell() <= MAX_BODY_BYTES:
                    body.write(chunk)
    except TimeoutError as error:
        raise RequestTimeout(f"the request took longer than {BODY_LIMIT_S:g} s to arrive") from error
    return body.getvalue()


if __name__ == "__main__":
    sys.exit(main())

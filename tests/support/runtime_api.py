"""AWS Lambda's Runtime API on 127.0.0.1: the four HTTP endpoints that a function's process uses in the cloud.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import json
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread
from typing import Any

ROOT = "/2018-06-01/runtime"
FUNCTION_ARN = "arn:aws:lambda:eu-central-1:123456789012:function:lenslet"
INVOCATION_LIMIT_S = 30


@dataclass(frozen=True)
class Report:
    """A report that the function's process posted."""

    kind: str  # "response", "error" (of one invocation) or "init/error" (the function cannot start)
    request_id: str | None  # of the invocation; None for init/error
    content: Any  # the JSON, decoded


class RuntimeApi(ThreadingHTTPServer):
    """Hands events to one function process, one at a time, and collects what it reports."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Endpoints)
        self.events: Queue[tuple[str, bytes]] = Queue()
        self.reports: Queue[Report] = Queue()

    @property
    def address(self) -> str:
        """The value of the environment variable AWS_LAMBDA_RUNTIME_API."""
        return f"127.0.0.1:{self.server_port}"

    def invoke(self, event: bytes) -> Report:
        """Hand over one event (JSON as it came) and wait for the report. Raises queue.Empty if none comes."""
        request_id = str(uuid.uuid4())
        self.events.put((request_id, event))
        report = self.next_report()
        assert report.request_id in (request_id, None)
        return report

    def next_report(self) -> Report:
        return self.reports.get(timeout=INVOCATION_LIMIT_S)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore connections that a killed function breaks off; anything else is an error of this server."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def running_runtime_api() -> Iterator[RuntimeApi]:
    with RuntimeApi() as api:
        Thread(target=api.serve_forever, daemon=True).start()
        try:
            yield api
        finally:
            api.shutdown()


class _Endpoints(BaseHTTPRequestHandler):
    server: RuntimeApi
    protocol_version = "HTTP/1.1"
    # Unbuffered writes and Nagle's algorithm together wait for the client's delayed ACK: 95 ms on every call.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path != f"{ROOT}/invocation/next":
            return self._answer(HTTPStatus.NOT_FOUND)
        request_id, event = self.server.events.get()
        headers = {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + INVOCATION_LIMIT_S) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": FUNCTION_ARN,
            "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000;Sampled=0",
        }
        return self._answer(HTTPStatus.OK, event, headers)

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        match self.path.removeprefix(f"{ROOT}/").split("/"):
            case ["invocation", request_id, ("response" | "error") as kind]:
                self.server.reports.put(Report(kind, request_id, content))
            case ["init", "error"]:
                self.server.reports.put(Report("init/error", None, content))
            case _:
                return self._answer(HTTPStatus.NOT_FOUND)
        return self._answer(HTTPStatus.ACCEPTED, b'{"status": "OK"}')

    def _answer(self, status: HTTPStatus, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent: pytest shows the function's own log when something fails."""

"""The HTTP server: a listening socket, a process for each processor, uvicorn in each process."""

import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn

from lenslet.inference.errors import ArtifactError
from lenslet.inference.processors import processors
from lenslet.serving.http.admission import AdmissionControl
from lenslet.serving.http.bridge import Application, Function, bridge
from lenslet.serving.http.connection import MAX_CONNECTIONS, HttpConnection
from lenslet.serving.http.log_stream import LogOutput
from lenslet.serving.http.processes import CAN_PASS_CONNECTIONS, CannotStart, serve_round_robin
from lenslet.serving.http.training import Training

GRACE_S = 15.0  # after a signal; a link may take ten seconds, and decoding its photo some more
# Connections that the system keeps until they are accepted, all of which are at once, before one can be closed.
BACKLOG = min(128, MAX_CONNECTIONS // 4)
SEND_BUFFER_BYTES = 128 << 10  # the largest usual answer; Linux doubles it


@dataclass(frozen=True)
class Worker:
    """The work of one process: it loads the function and answers the requests that come through a socket."""

    threads: int  # requests answered at the same time
    waiting: int  # requests that may wait for a thread
    prepare: Callable[[], None] | None = None  # called first; tests replace constants with it
    training: Training | None = None

    def __call__(self, listener: socket.socket, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM. Raises CannotStart."""
        if self.prepare:
            self.prepare()
        output = LogOutput()
        with output.used():
            function = load_function()
        ready()
        with output.used():
            run(bridge(function, AdmissionControl(self.threads, self.waiting), self.training), listener)


def serve(
    listener: socket.socket,
    threads: int,
    waiting: int,
    ready: Callable[[], None],
    prepare: Callable[[], None] | None = None,
    training: Training | None = None,
) -> bool:
    """Answer `threads` requests at the same time and let `waiting` more wait, until Ctrl-C or SIGTERM.

    Returns: whether it was asked to stop; False if a process died.
    Raises: CannotStart.
    """
    # More processes than processors would gain nothing: threads beyond that wait for links.
    count = min(threads, processors()) if CAN_PASS_CONNECTIONS else 1
    shares = list(zip(split_evenly(threads, count), split_evenly(waiting, count), strict=True))
    if (most := max(map(sum, shares))) > MAX_CONNECTIONS // 2:
        raise CannotStart(
            f"{most:,} requests at a time in one process need {4 * most:,} open files: "
            "raise their limit (ulimit -n), or lower --workers and --waiting"
        )
    workers = [Worker(*share, prepare, training) for share in shares]
    if count > 1:
        return serve_round_robin(listener, workers, ready)
    workers[0](listener, ready)
    return True


def split_evenly(total: int, count: int) -> list[int]:
    """`total` as a sum of `count` whole numbers that differ by one at most, the larger ones first."""
    return [total // count + (index < total % count) for index in range(count)]


def open_port(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError if the address is unknown or taken."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    # Each connection inherits it. Without it the body of an answer waits 40 ms for the headers to be confirmed.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Else the system keeps up to 4 MB of answers for each client that does not read.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    return listener


def load_function() -> Function:
    """`lambda_func`, whose import loads the model, as it does in Lambda. Raises CannotStart."""
    try:
        from lambda_func import access, handler, telemetry
    except ArtifactError as error:
        raise CannotStart(f"the model cannot be served: {error}") from error
    except ValueError as error:
        raise CannotStart(f"a setting is wrong: {error}") from error
    return Function(handler, access, telemetry)


def run(application: Application, listener: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM; requests in progress get `GRACE_S` to end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn stops on these, then raises them once more: by default a traceback, or a death by signal.
        signal.signal(number, lambda number, frame: None)
    stop_on_hangup()
    config = uvicorn.Config(
        application,
        loop="asyncio",  # another one does not take `processes.PassedConnections` for a socket
        lifespan="off",
        backlog=BACKLOG,
        http=HttpConnection,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(GRACE_S),
    )
    uvicorn.Server(config).run(sockets=[listener])


def stop_on_hangup() -> None:
    """The terminal was closed: stop as on SIGTERM, unless `nohup` has said to go on."""
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda number, frame: signal.raise_signal(signal.SIGTERM))

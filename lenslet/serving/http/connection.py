"""Timeouts for headers and for clients that do not read, caps on connections and chunks, which uvicorn lacks."""

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# As for a body. The rest of a body that was answered before it had arrived must come within it, too.
HEADER_TIMEOUT_S = 30.0
READ_TIMEOUT_S = 30.0  # for a client to read what is ready for it: about 64 KB, beside what the system keeps
UNLIMITED = 1 << 16
# Of a body: a chunk takes 25 µs of the event loop, one of a byte as one of 64 KB.
FREE_PIECES, MIN_PIECE_BYTES = 1000, 512
MAX_HEAD_BYTES, MAX_HEADERS = 32 << 10, 128  # API Gateway lets 10 KB through


def max_connections() -> int:
    """Half of the open files that the system allows: the rest is for links, the model, and what is being closed."""
    try:
        from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
    except ImportError:  # Windows
        return UNLIMITED
    limit, _ = getrlimit(RLIMIT_NOFILE)
    return UNLIMITED if limit == RLIM_INFINITY else limit // 2


# Of each process: all; those on which a request's headers are awaited; those whose client does not read its answer.
MAX_CONNECTIONS = max_connections()
MAX_IDLE = min(256, MAX_CONNECTIONS // 2)
MAX_UNREAD = min(64, MAX_CONNECTIONS // 4)


def check_head(request: h11.Request) -> None:
    """Raises: RemoteProtocolError, if reading the head on would take long: h11 limits only what arrives in parts."""
    size = len(request.target) + sum(len(name) + len(value) for name, value in request.headers)
    if size > MAX_HEAD_BYTES or len(request.headers) > MAX_HEADERS:
        raise h11.RemoteProtocolError("the head of the request is too large", error_status_hint=431)


class HttpConnection(H11Protocol):
    """uvicorn's connection, closed when headers take too long to arrive, or an answer too long to be read.

    When too many are idle or unread, the one that has been for the longest time is closed: a client with a request
    sends it at once, so clients that only hold connections open never keep it out.
    """

    # In the order in which they became so.
    all_open: ClassVar[dict["HttpConnection", None]] = {}
    idle: ClassVar[dict["HttpConnection", None]] = {}
    unread: ClassVar[dict["HttpConnection", None]] = {}
    _timeout: asyncio.TimerHandle
    _unread: asyncio.TimerHandle | None = None  # while the client does not read
    _pieces, _piece_bytes = 0, 0  # of the body that arrives
    _half_closed = False  # the client has sent all it wants to send, and waits for the answer

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._next_event = self.conn.next_event
        self.conn.next_event = self._counted_event  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.all_open[self] = None
        self._await_headers()
        if len(self.all_open) > MAX_CONNECTIONS:  # none but requests in progress: then it is this one
            next(iter(self.unread or self.idle))._abort()

    def _counted_event(self) -> Any:
        """The next event of h11; none, and the connection is closed, if a body comes in too many pieces.

        Raises: RemoteProtocolError, which uvicorn answers with status 400.
        """
        event = self._next_event()
        if type(event) is h11.Request:
            check_head(event)
            self._pieces = self._piece_bytes = 0
        elif type(event) is h11.Data:
            self._pieces += 1
            self._piece_bytes += len(event.data)
            if self._pieces > FREE_PIECES + self._piece_bytes // MIN_PIECE_BYTES:
                self._abort()
                return h11.NEED_DATA
        return event

    def handle_events(self) -> None:
        super().handle_events()
        if self.cycle and not self.cycle.response_complete:
            self._stop_waiting()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(READ_TIMEOUT_S, self._abort)
        self.unread[self] = None
        if len(self.unread) > MAX_UNREAD:
            next(iter(self.unread))._abort()

    def resume_writing(self) -> None:
        self._stop_waiting_for_reader()
        super().resume_writing()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether the connection stays open: a client may close its half once its request is complete."""
        self._half_closed = bool(self.cycle and not self.cycle.more_body and not self.cycle.response_complete)
        return self._half_closed

    def on_response_complete(self) -> None:
        if not self.transport.is_closing():
            self._await_headers()
        super().on_response_complete()  # may find the next request, which has arrived already
        if self._half_closed and self.cycle.response_complete:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.all_open.pop(self, None)
        self._stop_waiting()
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def _await_headers(self) -> None:
        self._timeout = self.loop.call_later(HEADER_TIMEOUT_S, self._abort)
        self.idle[self] = None
        if len(self.idle) > MAX_IDLE:
            next(iter(self.idle))._abort()

    def _stop_waiting(self) -> None:
        self._timeout.cancel()
        self.idle.pop(self, None)

    def _stop_waiting_for_reader(self) -> None:
        if self._unread:
            self._unread.cancel()
        self.unread.pop(self, None)

    def _abort(self) -> None:
        self.all_open.pop(self, None)  # before the loop has closed it: it is not to be chosen again
        self._stop_waiting()
        self._stop_waiting_for_reader()
        self.transport.abort()

"""Timeouts for headers and for clients that do not read, caps on connections and chunks, which uvicorn lacks."""

import asyncio
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

# As for a body. The rest of a body that was answered before it had arrived must come within it, too.
HEADER_TIMEOUT_S = 30.0
READ_TIMEOUT_S = 30.0  # for a client to read what is ready for it: about 64 KB, beside what the system keeps
UNLIMITED = 1 << 16
# Of a body: each piece is a call from the parser, whose time a byte takes as much as a page.
FREE_PIECES, MIN_PIECE_BYTES = 1000, 512
MAX_HEAD_BYTES, MAX_HEADERS = 32 << 10, 128  # API Gateway lets 10 KB through
# Requests that wait for the answer to one before them on their connection. After these it is closed: a client that
# sends more without waiting has to send them again.
MAX_PIPELINED = 32


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


class RequestRefused(ValueError):
    """Raised within the parser, which makes an HttpParserError of it: status 400."""


class HttpConnection(HttpToolsProtocol):
    """uvicorn's connection, closed when headers take too long to arrive, or an answer too long to be read.

    When too many are idle or unread, the one that has been for the longest time is closed: a client with a request
    sends it at once, so clients that only hold connections open never keep it out.
    """

    # In the order in which they became so.
    all_open: ClassVar[dict["HttpConnection", None]] = {}
    idle: ClassVar[dict["HttpConnection", None]] = {}
    unread: ClassVar[dict["HttpConnection", None]] = {}
    _timeout: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None  # while the client does not read
    # The request whose turn it is; self.cycle is the one that arrived last.
    _answering: RequestResponseCycle | None = None
    _in_head = False  # whether a head arrives
    _head_bytes, _headers = 0, 0  # of the head that arrives, or has
    _events, _unparsed_bytes = 0, 0  # of the parser; what has arrived since the last one
    _refused = False  # nothing more is read
    _pieces, _piece_bytes = 0, 0  # of the body that arrives
    _half_closed = False  # the client has sent all it wants to send, and waits for the answer

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.all_open[self] = None
        self._await_headers()
        if len(self.all_open) > MAX_CONNECTIONS:  # none but requests in progress: then it is this one
            next(iter(self.unread or self.idle))._abort()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._refused:
            return
        left, events = memoryview(data), self._events
        while left:
            try:
                self.parser.feed_data(left)
                break
            except httptools.HttpParserUpgrade as upgrade:
                left = memoryview(self._head_without_upgrade() + left[upgrade.args[0] :])
                self.parser = httptools.HttpRequestParser(self)
            except httptools.HttpParserError:
                self._refuse()
                return
        if events == self._events:  # of a header without an end, a trailer's too, the parser keeps all
            self._unparsed_bytes += len(data)
            if self._unparsed_bytes > MAX_HEAD_BYTES:
                self._refuse()

    def _refuse(self) -> None:
        """Close, after the answers to requests before the broken one; without any, with status 400."""
        self._refused = True
        if self.transport.is_closing():
            return
        first = self._answering
        if first and not first.response_complete and (first is not self.cycle or not first.more_body):
            if self.pipeline and self.cycle.more_body:  # the broken one
                self.pipeline.popleft()
                self.cycle = self.pipeline[0][0] if self.pipeline else first
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        self._await_headers()  # of a client that does not read, the connection would stay
        if first and first.more_body and first.response_started and not self._in_head:
            self.transport.close()
        else:
            self.send_400_response("Invalid HTTP request received.")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _head_without_upgrade(self) -> bytes:
        """The head that asks for another protocol, as Java's client does for HTTP/2 with each request, without asking.

        A server may ignore it, but the parser would not read the body.
        """
        fields = (b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade")
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(fields))

    # Called by the parser.

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINED:
            raise RequestRefused("too many requests wait for their turn")
        super().on_message_begin()
        self._count_event()
        self._in_head = True
        self._head_bytes = self._headers = self._pieces = self._piece_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Also of the trailers of a body in chunks, which are no headers of the request (RFC 9110, section 6.5.1)."""
        if self._in_head:
            super().on_header(name, value)
        self._headers += 1
        self._count_head(len(name) + len(value))

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES or self._headers > MAX_HEADERS:
            raise RequestRefused("the head of the request is too large")

    def _count_event(self) -> None:
        self._events, self._unparsed_bytes = self._events + 1, 0

    def on_headers_complete(self) -> None:
        self._count_event()
        self._in_head = False
        version = self.parser.get_http_version()
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and version == "1.1"):
            raise RequestRefused("a request names one host (RFC 9112, section 3.2)")
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings not in ([], [b"chunked"]):
            raise RequestRefused("of the codings of a transfer, chunks alone are read")
        if version == "1.0":
            self.expect_100_continue = False
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise RequestRefused("this server is no proxy")
            return
        super().on_headers_complete()
        self._stop_waiting()

    def on_message_complete(self) -> None:
        self._count_event()
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        """Keep a piece of a body, without a copy of it where it is read before the next one comes."""
        self._count_event()
        self._pieces += 1
        self._piece_bytes += len(body)
        if self._pieces > FREE_PIECES + self._piece_bytes // MIN_PIECE_BYTES:
            self._abort()
            raise RequestRefused("the body comes in too many pieces")
        if self.cycle.response_complete:
            return
        if not self.cycle.body:
            self.cycle.body = body  # type: ignore[assignment]  # uvicorn's `bytes(…)` of bytes are the same object
        else:
            if isinstance(self.cycle.body, bytes):
                self.cycle.body = bytearray(self.cycle.body)
            self.cycle.body += body
        if len(self.cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        self.cycle.message_event.set()

    # Called by the event loop, and by uvicorn.

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
        if not self._half_closed:  # closed once what is written has been read, if it ever is
            self._await_headers()
        return self._half_closed

    def on_response_complete(self) -> None:
        # Where it closes, too: of a client that does not read, the connection would stay.
        if self in self.all_open and (self.transport.is_closing() or not self.pipeline):
            self._await_headers()
        super().on_response_complete()  # starts the next request, if one has arrived already
        if self.pipeline:
            self.flow.pause_reading()
        if self._half_closed and self.cycle.response_complete:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.all_open.pop(self, None)
        self._stop_waiting()
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def _await_headers(self) -> None:
        self._stop_waiting()
        self._timeout = self.loop.call_later(HEADER_TIMEOUT_S, self._abort)
        self.idle[self] = None
        if len(self.idle) > MAX_IDLE:
            next(iter(self.idle))._abort()

    def _stop_waiting(self) -> None:
        if self._timeout:
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

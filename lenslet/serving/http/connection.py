"""Header timeout and cap on idle connections, which uvicorn lacks."""

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

# As for a body. The rest of a body that was answered before it had arrived must come within it, too.
HEADER_TIMEOUT_S = 30.0
USUAL_MAX_IDLE = 256


def max_idle() -> int:
    """Half of the open files that the system allows leaves room for requests, their links and the model."""
    try:
        from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
    except ImportError:  # Windows
        return USUAL_MAX_IDLE
    limit, _ = getrlimit(RLIMIT_NOFILE)
    return USUAL_MAX_IDLE if limit == RLIM_INFINITY else min(USUAL_MAX_IDLE, limit // 2)


MAX_IDLE = max_idle()  # connections of each process on which a request's headers are awaited


class HttpConnection(H11Protocol):
    """uvicorn's connection, closed when the headers of a request take too long to arrive.

    When too many are idle, the one that has been for the longest time is closed: a client with a request sends it at
    once, so clients that only hold connections open never keep it out.
    """

    idle: ClassVar[dict["HttpConnection", None]] = {}  # in the order in which they became idle
    _timeout: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()

    def handle_events(self) -> None:
        super().handle_events()
        if self.cycle and not self.cycle.response_complete:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        if not self.transport.is_closing():
            self._await_headers()
        super().on_response_complete()  # may find the next request, which has arrived already

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_headers(self) -> None:
        self._timeout = self.loop.call_later(HEADER_TIMEOUT_S, self._abort)
        self.idle[self] = None
        if len(self.idle) > MAX_IDLE:
            next(iter(self.idle))._abort()

    def _stop_waiting(self) -> None:
        self._timeout.cancel()
        self.idle.pop(self, None)

    def _abort(self) -> None:
        self._stop_waiting()
        self.transport.abort()

"""What uvicorn leaves open: how long a connection may take to say what it wants, and how many may take their time."""

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_LIMIT_S = 30.0  # as a body; in it comes the rest of one, too, that was answered before it had arrived
USUAL_MAX_SILENT = 256


def most_silent() -> int:
    """Half of what the system lets a process open leaves room for requests, their links and the model."""
    try:
        from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
    except ImportError:  # Windows
        return USUAL_MAX_SILENT
    limit, _ = getrlimit(RLIMIT_NOFILE)
    return USUAL_MAX_SILENT if limit == RLIM_INFINITY else min(USUAL_MAX_SILENT, limit // 2)


MAX_SILENT = most_silent()  # of each process


class Connection(H11Protocol):
    """uvicorn's own, which hangs up when the head of a request takes too long to come.

    When too many are waited for, the one that has been for the longest time makes room: who comes with a request says
    so at once, and is never kept out by those who come to wait.
    """

    silent: ClassVar[
        dict["Connection", None]
    ] = {}  # those that are waited for, in the order of their beginning
    _end: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def handle_events(self) -> None:
        super().handle_events()
        if self.cycle and not self.cycle.response_complete:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        if not self.transport.is_closing():
            self._await_head()
        super().on_response_complete()  # may find the next request, which had come already

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._end = self.loop.call_later(HEAD_LIMIT_S, self._hang_up)
        self.silent[self] = None
        if len(self.silent) > MAX_SILENT:
            next(iter(self.silent))._hang_up()

    def _stop_waiting(self) -> None:
        self._end.cancel()
        self.silent.pop(self, None)

    def _hang_up(self) -> None:
        self._stop_waiting()
        self.transport.abort()

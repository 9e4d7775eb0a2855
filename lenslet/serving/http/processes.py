"""Several processes behind one port: each connection goes to the next of them.

A process of Python runs one thread of Python at a time, so one alone leaves processors idle. Processes that share a
listening socket would be simpler, but whoever wakes first takes all connections that wait, and keeps them.
"""

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Sequence
from itertools import cycle
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

# Serves what it gets through the socket until SIGTERM, and calls the function once it is ready.
Work = Callable[[socket.socket, Callable[[], None]], None]

# Elsewhere an open connection cannot be given to another process as easily.
CAN_DEAL = hasattr(socket, "send_fds")


class CannotStart(Exception):
    """Whatever the reason is, it is one sentence for the person who starts the server."""


class Dealt(socket.socket):
    """The end of a channel at which a process gets its connections; asyncio takes it for a listening socket."""

    def listen(self, backlog: int = 0) -> None:
        """Nothing: the process that deals listens."""

    def accept(self) -> tuple[socket.socket, Any]:
        mark, descriptors, _, _ = socket.recv_fds(self, 1, 1)
        if not mark:  # the dealer stops, or was killed
            asyncio.get_running_loop().remove_reader(self)
            signal.raise_signal(signal.SIGTERM)
            raise BlockingIOError
        if not descriptors:  # this process has too many open
            raise ConnectionAbortedError
        return socket.socket(fileno=descriptors[0]), None


def deal(listener: socket.socket, works: Sequence[Work], ready: Callable[[], None]) -> bool:
    """A process for each of `works`; connections to all of them by turns, until SIGTERM or Ctrl-C.

    Returns: whether it was asked to stop; else a process has died. Ended are all of them, in either case.
    Raises: CannotStart, as the first of `works` that cannot.
    """
    signalled, wakeup = socket.socketpair()
    wakeup.setblocking(False)  # as `set_wakeup_fd` wants it
    # Ignored by the children from their first moment on, until their own server listens to it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    children = [_start(work) for work in works]
    signal.set_wakeup_fd(wakeup.fileno())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: None)  # there is something to read from `signalled`
    try:
        for _, _, report in children:
            if signalled in wait([signalled, report]):
                return True
            _check(report)
        ready()
        ends = [signalled, *(process.sentinel for process, _, _ in children)]
        return signalled in _hand_out(listener, [channel for _, channel, _ in children], ends)
    finally:
        signal.set_wakeup_fd(-1)
        listener.close()
        for _, channel, _ in children:
            channel.close()
        for process, _, _ in children:
            process.join()


def _start(work: Work) -> tuple[Any, socket.socket, Connection]:
    """(process, channel for its connections, what it says when it is ready or cannot start)."""
    spawn = get_context("spawn")  # a fork would copy locks that some thread of a library holds
    ours, theirs = socket.socketpair()
    report, reporter = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_run, args=(work, theirs, reporter))
    process.start()
    theirs.close()
    reporter.close()
    return process, ours, report


def _run(work: Work, channel: socket.socket, reporter: Any) -> None:
    """The life of one process."""
    try:
        work(Dealt(fileno=channel.detach()), lambda: reporter.send(""))
    except CannotStart as error:
        reporter.send(str(error))


def _check(report: Connection) -> None:
    try:
        reason = report.recv()
    except EOFError:
        reason = "a process ended while it started"
    if reason:
        raise CannotStart(reason)


def _hand_out(listener: socket.socket, channels: list[socket.socket], ends: list[Any]) -> set[Any]:
    """Until there is something to read from some of `ends`: these."""
    turns = cycle(channels)
    listener.setblocking(False)
    while not (ended := {*wait([listener, *ends])} - {listener}):
        try:
            connection, _ = listener.accept()
            with connection:
                socket.send_fds(next(turns), [b"."], [connection.fileno()])
        except OSError:  # the client has gone, a process is dying, or too many descriptors are open
            time.sleep(0.01)
    return ended

"""Several processes behind one port: connections go to them round-robin.

A Python process executes one thread of Python at a time, so one alone leaves processors idle. Processes that share a
listening socket would be simpler, but the first one to wake takes all connections that wait, and keeps them.
"""

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import cycle, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from lenslet.inference.errors import InputError

# Serves the connections of a listening socket until SIGTERM, and calls the function once it is ready.
Target = Callable[[socket.socket, Callable[[], None]], None]

# Elsewhere an open connection cannot be passed to another process as easily.
CAN_PASS_CONNECTIONS = hasattr(socket, "send_fds")


STOP_TIMEOUT_S = 30.0  # twice what requests in progress get
# Connections on their way to a process that has not taken them yet: what is lost if it hangs.
MAX_PENDING = 4
FULL_PAUSE_S = 0.1  # until the next attempt, when no process has taken those on their way


class CannotStart(InputError):
    """The server cannot start; the message is one sentence for the person who starts it."""


class PassedConnections(socket.socket):
    """The socket on which a process receives its connections; asyncio takes it for a listening socket."""

    def listen(self, backlog: int = 0) -> None:
        """Nothing: the parent process listens."""

    def accept(self) -> tuple[socket.socket, Any]:
        try:
            mark, descriptors, _, _ = socket.recv_fds(self, 1, 1)
        except ConnectionResetError:  # closed by the parent process, which had not read all marks
            mark, descriptors = b"", []
        if not mark:  # the parent process stops, or was killed
            asyncio.get_running_loop().remove_reader(self)
            signal.raise_signal(signal.SIGTERM)
            raise BlockingIOError
        if not descriptors:  # this process has too many open
            raise ConnectionAbortedError
        with suppress(OSError):  # the parent process is gone
            self.send(mark)
        return socket.socket(fileno=descriptors[0]), None


def serve_round_robin(listener: socket.socket, targets: Sequence[Target], ready: Callable[[], None]) -> bool:
    """Run each of `targets` in a process and pass them the connections in turn, until SIGTERM or Ctrl-C.

    Returns: whether it was asked to stop; False if a process died. All of them have ended, in either case.
    Raises: CannotStart, as the first of `targets` that cannot.
    """
    signalled, wakeup = socket.socketpair()
    wakeup.setblocking(False)  # as `set_wakeup_fd` wants it
    signal.set_wakeup_fd(wakeup.fileno())
    for number in stop_signals():
        signal.signal(number, lambda number, frame: None)  # there is something to read from `signalled`
    # Ignored by the children from their first moment on, until their own server listens to it.
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    children = []
    try:
        for target in targets:
            children.append(_start(target))
        signal.signal(signal.SIGINT, heard)
        for _, _, report in children:
            if signalled in wait([signalled, report]):
                return True
            _expect_ready(report)
        ready()
        ends = [signalled, *(process.sentinel for process, _, _ in children)]
        return signalled in _pass_connections(listener, [channel for _, channel, _ in children], ends)
    finally:
        signal.set_wakeup_fd(-1)
        listener.close()
        for _, channel, _ in children:
            channel.close()
        end = time.monotonic() + STOP_TIMEOUT_S
        for process, _, _ in children:
            process.join(max(0, end - time.monotonic()))
            if process.is_alive():  # it hangs, or was stopped
                process.kill()
                process.join()


def stop_signals() -> list[signal.Signals]:
    """SIGHUP comes when the terminal is closed; under `nohup` it is ignored and stays so."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    return numbers


def _start(target: Target) -> tuple[Any, socket.socket, Connection]:
    """(process, channel for its connections, pipe on which it reports that it is ready or cannot start)."""
    spawn = get_context("spawn")  # a fork would copy locks that a thread of some library holds
    ours, theirs = socket.socketpair()
    report, reporter = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_run, args=(target, theirs, reporter))
    process.start()
    ours.setblocking(False)
    theirs.close()
    reporter.close()
    return process, ours, report


def _run(target: Target, channel: socket.socket, reporter: Any) -> None:
    """The main function of a child process."""
    try:
        target(PassedConnections(fileno=channel.detach()), lambda: reporter.send(""))
    except CannotStart as error:
        reporter.send(str(error))


def _expect_ready(report: Connection) -> None:
    try:
        reason = report.recv()
    except EOFError:
        reason = "a process ended while it started"
    if reason:
        raise CannotStart(reason)


def _pass_connections(listener: socket.socket, channels: list[socket.socket], ends: list[Any]) -> set[Any]:
    """Pass connections until some of `ends` are readable, and return these."""
    turns, pending = cycle(channels), dict.fromkeys(channels, 0)
    listener.setblocking(False)
    while not (ended := {*wait([listener, *ends])} - {listener}):
        try:
            connection, _ = listener.accept()
            with connection:
                while not _hand_over(connection, turns, pending):
                    if {*wait([*ends, *channels], FULL_PAUSE_S)} & {*ends}:
                        break
        except OSError:  # the client is gone, a process is dying, or too many descriptors are open
            time.sleep(0.01)
    return ended


def _hand_over(
    connection: socket.socket, turns: Iterator[socket.socket], pending: dict[socket.socket, int]
) -> bool:
    """Pass a connection to the next process that has taken its earlier ones; False if none has. Raises: OSError."""
    for channel in islice(turns, len(pending)):
        with suppress(BlockingIOError):
            pending[channel] -= len(channel.recv(MAX_PENDING))  # a byte for each that was taken
        if pending[channel] < MAX_PENDING:
            socket.send_fds(channel, [b"."], [connection.fileno()])
            pending[channel] += 1
            return True
    return False

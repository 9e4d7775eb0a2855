"""Parts on the processors of this computer: one process for each, and another one in place of one that dies."""

import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from threading import Lock, Thread
from typing import Any

from lenslet.batch.plan import Part
from lenslet.batch.rows import Counts
from lenslet.batch.work import Job, PartWorker, Report
from lenslet.inference.errors import InputError

REPORT_S = 0.5  # between two reports of a worker
MOST_DEATHS = 3  # of workers at the same part
# A worker says that it lives. One that has not for minutes is stopped, and would be waited for without end.
BEAT_S, SILENCE_S = 5.0, 300.0


Send = Callable[[str, object], None]


def run_here(job: Job, parts: Iterator[Part], workers: int, report: Report) -> Counts:
    """Classify and write the parts. Raises: InputError, OSError if one cannot be written; finished parts stay."""
    if workers > 1:
        return _Crew(job, parts, report).run(workers)
    worker, counts = PartWorker(job), Counts()
    for part in parts:
        counts.join(worker.run(part, report))
    return counts


@dataclass
class _Hand:
    """A process, and the part that it is at."""

    process: Any
    part: Part
    reported: tuple[int, int] = (0, 0)  # photos of the part, and failures among them
    silent_s: float = 0.0  # since it was heard last


class _Crew:
    def __init__(self, job: Job, parts: Iterator[Part], report: Report) -> None:
        self.job, self.parts, self.report = job, parts, report
        self.again: deque[Part] = deque()  # of workers that died
        self.deaths: dict[int, int] = {}
        self.hands: dict[Connection, _Hand] = {}
        self.counts = Counts()

    def run(self, workers: int) -> Counts:
        try:
            hired = [self._hire() for _ in range(workers)]
            for connection in filter(None, hired):  # when all have begun to start, which takes half a second
                self._brief(connection)
            while self.hands:
                began_s = time.monotonic()
                for ready in wait(list(self.hands), BEAT_S):
                    assert isinstance(ready, Connection)
                    self.hands[ready].silent_s = 0.0
                    self._hear(ready)
                # No more than two beats: this process may itself have been stopped, as by Ctrl-Z.
                self._end_silent(min(time.monotonic() - began_s, 2 * BEAT_S))
        finally:
            for hand in self.hands.values():
                hand.process.kill()
        return self.counts

    def _end_silent(self, passed_s: float) -> None:
        """Kill the workers that are silent for too long: they are replaced like others that die."""
        for hand in self.hands.values():
            hand.silent_s += passed_s
            if hand.silent_s > SILENCE_S:
                hand.process.kill()

    def _next(self) -> Part | None:
        return self.again.popleft() if self.again else next(self.parts, None)

    def _hire(self) -> Connection | None:
        """Start a process for the next part, if there is one."""
        part = self._next()
        if part is None:
            return None
        # Not forked: a fork of a process with threads may hang. The worker holds its own end of the pipe alone, so
        # that it notices the end of this process, however that ends.
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _no_ctrl_c():
            process.start()
            self.hands[ours] = _Hand(process, part)
        theirs.close()
        return ours

    def _brief(self, connection: Connection) -> None:
        with suppress(BrokenPipeError):  # it died already, which is noticed where it is heard
            connection.send(self.job)
            connection.send(self.hands[connection].part)

    def _hear(self, connection: Connection) -> None:
        hand = self.hands[connection]
        try:
            kind, content = connection.recv()
        except (EOFError, OSError):
            self._replace(connection)
            return
        if kind == "error":
            error, trace = content
            raise error from RuntimeError(trace)
        if kind == "alive":
            return
        if kind == "progress":
            self.report(*content)
            hand.reported = (hand.reported[0] + content[0], hand.reported[1] + content[1])
            return
        self.counts.join(content)
        self.report(content.photos - hand.reported[0], content.failed - hand.reported[1])
        part = self._next()
        hand.reported = (0, 0)
        if part is None:
            connection.close()  # which ends the process
            del self.hands[connection]
        else:
            hand.part = part
            with suppress(BrokenPipeError):
                connection.send(part)

    def _replace(self, lost: Connection) -> None:
        """Give the part of a dead worker to a new one. Raises: InputError if it was not the first such."""
        hand = self.hands.pop(lost)
        hand.process.join()
        number = hand.part.number
        self.deaths[number] = self.deaths.get(number, 0) + 1
        if self.deaths[number] >= MOST_DEATHS:
            first, last = hand.part.sources[0].name, hand.part.sources[-1].name
            raise InputError(
                f"a worker was ended {MOST_DEATHS} times (exit code {hand.process.exitcode}) at the same part, from "
                f"{first} to {last}: give fewer --workers if memory is short, or leave out what is no photo"
            )
        self.report(-hand.reported[0], -hand.reported[1])
        self.again.append(hand.part)
        if connection := self._hire():
            self._brief(connection)


@contextmanager
def _no_ctrl_c() -> Iterator[None]:
    """For the block, Ctrl-C waits; and for good in a process that is started in it: its main process ends it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # else `start` does it, and lets Ctrl-C through afterwards
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _serve(connection: Connection) -> None:
    """The main function of a worker process: a job and its parts from the pipe, until that is closed."""
    send = _sender(connection)
    try:
        worker = PartWorker(connection.recv())
        while True:
            part = connection.recv()
            counts = worker.run(part, _Throttled(send))
            send("done", counts)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:
        with suppress(OSError):  # nobody listens any more
            send("error", (error, traceback.format_exc()))


def _sender(connection: Connection) -> Send:
    """Sends a kind and its content; and from a thread, in between, that this process lives."""
    lock = Lock()

    def send(kind: str, content: object) -> None:
        with lock:
            connection.send((kind, content))

    def beat() -> None:
        with suppress(OSError):  # nobody listens any more
            while True:
                time.sleep(BEAT_S)
                send("alive", None)

    Thread(target=beat, daemon=True).start()
    return send


class _Throttled:
    """Sends reports twice a second; the rest of a part comes with its counts."""

    def __init__(self, send: Send) -> None:
        self.send, self.photos, self.failed = send, 0, 0
        self.sent_s = time.monotonic()

    def __call__(self, photos: int, failed: int) -> None:
        self.photos += photos
        self.failed += failed
        if time.monotonic() - self.sent_s > REPORT_S:
            self.send("progress", (self.photos, self.failed))
            self.photos, self.failed, self.sent_s = 0, 0, time.monotonic()

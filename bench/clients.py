"""Concurrent HTTP clients that check every answer, and the memory that the server takes meanwhile.

Plain sockets, and requests encoded beforehand: client and server share the processors, and `http.client` takes three
times as long for a request as `Connection` does.
"""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from bench.load_pattern import Request

TIMEOUT_S = 60
LOST = "no answer"
REFUSED = "overloaded"


class Outcome(NamedTuple):
    """The result of one request."""

    kind: str
    status: int  # 0 if there was no answer
    code: str  # of an error; "" for a prediction
    seconds: float
    is_right: bool  # the known answer, or a refusal with Retry-After


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    content: Any  # JSON


class Connection:
    """A persistent HTTP/1.1 connection to a server that sends Content-Length with each answer."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        assert parts.hostname and parts.port
        self._socket = socket.create_connection((parts.hostname, parts.port), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, data: bytes) -> Answer:
        """Raises: OSError without an answer in time; KeyError, ValueError for a malformed one."""
        self._socket.sendall(data)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive()
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        while len(body) < int(headers["content-length"]):
            body += self._receive()
        return Answer(int(first.split()[1]), headers, json.loads(body))

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data


def ask_all(address: str, requests: Iterator[Request], clients: int, seconds: float = 3600) -> list[Outcome]:
    """Send `requests` from concurrent `clients`, each waiting for its answer, until none is left or time is up.

    A refused client waits for the seconds of Retry-After.
    """
    outcomes: list[Outcome] = []
    end = time.monotonic() + seconds
    lock = threading.Lock()

    def work() -> None:
        connection = None
        while time.monotonic() < end:
            with lock:
                request = next(requests, None)
            if request is None:
                break
            started = time.perf_counter()
            try:
                connection = connection or Connection(address)
                answer = connection.ask(request.data)
            except (OSError, KeyError, ValueError):
                outcomes.append(Outcome(request.kind, 0, LOST, time.perf_counter() - started, False))
                connection = None
                continue
            outcome = judged(request, answer, time.perf_counter() - started)
            outcomes.append(outcome)
            if outcome.code == REFUSED:
                pause_s = float(answer.headers.get("retry-after", 0))
                time.sleep(max(0, min(pause_s, end - time.monotonic())))
        if connection:
            connection.close()

    with ThreadPoolExecutor(clients) as pool:
        for client in [pool.submit(work) for _ in range(clients)]:
            client.result()  # raises what the client raised
    return outcomes


def judged(request: Request, answer: Answer, seconds: float) -> Outcome:
    code = answer.content["error"]["code"] if answer.status != 200 else ""
    if code == REFUSED:
        is_right = answer.status == 503 and answer.headers.get("retry-after", "").isdecimal()
    else:
        is_right = (answer.status, code or answer.content) == (request.status, request.content)
    return Outcome(request.kind, answer.status, code, seconds, is_right)


@contextmanager
def watched_memory(process_id: int, every_s: float = 0.25) -> Iterator[list[float]]:
    """Samples of the resident memory of a process and its children, in MB; empty without /proc."""
    samples: list[float] = []
    is_over = threading.Event()

    def watch() -> None:
        with suppress(OSError):
            while not is_over.wait(every_s):
                samples.append(sum(resident_mb(each) for each in [process_id, *descendants(process_id)]))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        is_over.set()
        thread.join()


def descendants(process_id: int) -> list[int]:
    """Identifiers of all descendants of a process."""
    stats = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            stats.append(path.read_text(errors="replace"))
    # "number (name) state parent …", and a name may have brackets.
    pairs = [(int(stat.split()[0]), int(stat.rpartition(")")[2].split()[1])) for stat in stats]
    children = [number for number, parent in pairs if parent == process_id]
    return [each for child in children for each in (child, *descendants(child))]


def resident_mb(process_id: int) -> float:
    status = Path(f"/proc/{process_id}/status").read_text(encoding="ascii", errors="replace")
    return int(status.split("VmRSS:")[1].split()[0]) / 1000

"""Logs that cannot be written, workers that hang, clients that close or do not read."""

import base64
import fcntl
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest
import requests

from bench.loopback import running as running_on_loopback
from tests.support.endpoint import ROOT, running
from tests.support.photos import quadrants, saved

PHOTO = saved(quadrants("RGBY"), "JPEG")
IMAGE = {"Content-Type": "image/jpeg"}

pytestmark = pytest.mark.slow

SERVE = [sys.executable, "-m", "lenslet", "serve", "--port", "0"]

IMPATIENT = """
import sys
from lenslet.commands import serve
from lenslet.serving.http import processes
processes.STOP_TIMEOUT_S = 3.0
sys.exit(serve.main(["--port", "0", "--workers", "2"]))
"""


def port_of(address):
    return int(address.rpartition(":")[2])


def children_of(process):
    """The processes that answer: those of `multiprocessing`, less the one that keeps account of its resources."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [
        int(each) for each in found if "resource_tracker" not in Path(f"/proc/{each}/cmdline").read_text()
    ]


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_full_log_is_said_once_and_harms_no_answer(workers):
    with Path("/dev/full").open("w") as full:
        process = subprocess.Popen(
            [*SERVE, "--workers", workers], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True
        )
    try:
        line = next(line for line in process.stderr if "answers on" in line)
        address = re.search(r"http://[^ ]+", line).group()
        assert line.endswith("(Ctrl-C stops it); the log cannot be written (No space left on device)\n")
        for _ in range(6):
            assert requests.post(f"{address}/predict", PHOTO, headers=IMAGE, timeout=60).status_code == 200
        assert requests.get(f"{address}/nothing", timeout=60).status_code == 404
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=40) == 0
        rest = process.stderr.read()
        assert rest.count("the log cannot be written") <= int(workers)
        assert "Traceback" not in rest
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_closed_pipe_harms_no_answer():
    process = subprocess.Popen(SERVE, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = re.search(r"http://[^ ]+", process.stdout.readline()).group()
        process.stdout.close()
        for _ in range(6):
            assert requests.post(f"{address}/predict", PHOTO, headers=IMAGE, timeout=60).status_code == 200
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_log_that_nobody_reads_holds_no_request(workers):
    """As with `lenslet serve | less`, Ctrl-S in a terminal, or a collector of logs that hangs."""
    process = subprocess.Popen(
        [*SERVE, "--workers", workers], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        said = b""
        while b"answers on" not in said:
            said = process.stdout.readline()
        address = re.search(r"http://[^ ]+", said.decode()).group()
        room = fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        for _ in range(2 * room // 100):
            assert requests.get(f"{address}/nothing", timeout=10).status_code == 404
        assert requests.get(f"{address}/health", timeout=10).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one process")
def test_worker_that_hangs():
    process = subprocess.Popen(
        [sys.executable, "-c", IMPATIENT],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        address = re.search(r"http://[^ ]+", process.stdout.readline()).group()
        threading.Thread(target=process.stdout.read, daemon=True).start()
        hung = children_of(process)[0]
        os.kill(hung, signal.SIGSTOP)
        waiting = []  # a few are on their way to the one that hangs; then all connections go to the other
        answered = 0
        for _ in range(20):
            connection = socket.create_connection(("127.0.0.1", port_of(address)), 5)
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            connection.settimeout(1)
            try:
                answered += connection.recv(100).startswith(b"HTTP/1.1 200")
                connection.close()
            except TimeoutError:
                waiting.append(connection)
        assert answered >= 16
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        assert not Path(f"/proc/{hung}").exists()
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_hangup_stops_it_as_sigterm_does(workers):
    with running("--workers", workers) as (address, process):
        assert requests.get(f"{address}/health", timeout=60).status_code == 200
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=40) == 0


SIGNALLED_AT_START = """
import os, sys
from lenslet.commands import serve
from lenslet.serving.http import processes
start = processes._start

def start_and_signal(target):
    started = start(target)
    os.kill(os.getpid(), int(sys.argv[1]))
    return started

processes._start = start_and_signal
sys.exit(serve.main(["--port", "0", "--workers", "2"]))
"""


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one process")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_while_processes_start(number):
    command = [sys.executable, "-c", SIGNALLED_AT_START, str(int(number))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def address():
    numbers = ["lenslet.serving.http.connection.READ_TIMEOUT_S=2"]
    with running_on_loopback("--workers", "1", numbers=numbers) as (address, _):
        yield address


def test_client_that_has_closed_its_half_gets_its_answer(address):
    with socket.create_connection(("127.0.0.1", port_of(address)), 60) as client:
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(PHOTO)}\r\n\r\n"
        client.sendall(head.encode() + PHOTO)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))  # to its end: the server closes
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_two_lengths_close_the_connection(address):
    with socket.create_connection(("127.0.0.1", port_of(address)), 60) as client:
        client.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in answer.lower()
    assert answer.count(b"HTTP/1.1 ") == 1  # what follows is not taken for a request


class FewFiles:
    """A server that may open 256 files, and clients that hold what it lets them."""

    def __init__(self):
        self.clients = []

    def limit(self):
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    def hold(self, port, sent):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(5)
        with suppress(OSError):
            client.connect(("127.0.0.1", port))
            client.sendall(sent)
        self.clients.append(client)


@pytest.mark.slow
def test_flood_leaves_descriptors_for_health_checks():
    """Of connections without a request, and of clients that ask for 30 pages of 32 KB and read none."""
    flood = FewFiles()
    process = subprocess.Popen(
        [*SERVE, "--workers", "1"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=flood.limit,
    )
    try:
        address = re.search(r"http://[^ ]+", process.stdout.readline()).group()
        threading.Thread(target=process.stdout.read, daemon=True).start()
        for _ in range(2):
            sent = [
                b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 30,
                b"GET / HTTP/1.1\r\nX-Half: ",
            ] * 100
            with ThreadPoolExecutor(50) as pool:
                pool.map(partial(flood.hold, port_of(address)), sent)
            assert requests.get(f"{address}/health", timeout=10).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert "Too many open files" not in process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.wait()
        for client in flood.clients:
            client.close()


def chunked(pieces):
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def test_body_in_tiny_chunks_is_cut_off(address):
    """A million chunks of one byte kept a process busy for half a minute, and its health checks waiting."""
    with (
        socket.create_connection(("127.0.0.1", port_of(address)), 5) as client,
        suppress(ConnectionResetError, BrokenPipeError),
    ):
        client.sendall(chunked([b" "] * 200_000))
        assert client.recv(1) == b""
    assert requests.get(f"{address}/health", timeout=5).status_code == 200


@pytest.mark.parametrize("size", [600, 60_000])
def test_body_in_usual_chunks_is_read(address, size):
    """A megabyte in chunks of this size, and the last 900 bytes one by one."""
    whole = b'{"image": "' + base64.b64encode(PHOTO) + b'"}' + b" " * 1_000_000
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)] + [b" "] * 900
    with socket.create_connection(("127.0.0.1", port_of(address)), 60) as client:
        client.sendall(chunked(pieces) + b"0\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200,
        b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 40_000 + b"\r\n",
        b"GET /health?" + b"&a=1" * 12_000 + b" HTTP/1.1\r\nHost: x\r\n",
    ],
    ids=["many headers", "long header", "long query"],
)
def test_head_that_takes_long_to_read_is_refused(address, head):
    with socket.create_connection(("127.0.0.1", port_of(address)), 5) as client:
        client.sendall(head + b"\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 400 ")


HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def statuses(address, *sent, shut=True):
    """Of all answers on one connection, until the server closes it."""
    with socket.create_connection(("127.0.0.1", port_of(address)), 30) as client:
        for part in sent:
            client.sendall(part)
        if shut:
            client.shutdown(socket.SHUT_WR)
        answers = b"".join(iter(lambda: client.recv(65536), b""))
    return re.findall(rb"HTTP/1.1 (\d+)", answers)


def test_requests_that_do_not_wait_are_answered_in_turn(address):
    unknown = HEALTH.replace(b"/health", b"/nothing")
    assert statuses(address, HEALTH + unknown + HEALTH) == [b"200", b"404", b"200"]


def test_connection_is_closed_after_many_requests_that_do_not_wait(address):
    """Each takes memory: of 256 KB that arrive at once, ten thousand would."""
    assert len(statuses(address, HEALTH * 32)) == 32
    with suppress(ConnectionResetError):  # of what was sent and never read
        assert len(statuses(address, HEALTH * 5000)) <= 40
    assert requests.get(f"{address}/health", timeout=5).status_code == 200


def test_broken_request_behind_another_leaves_its_answer_alone(address):
    photo = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(PHOTO)}\r\n\r\n"
    assert statuses(address, photo.encode() + PHOTO + b"nonsense\r\n\r\n", shut=False) == [b"200"]


def test_broken_chunk_is_refused(address):
    assert statuses(address, chunked([]) + b"5\r\n{}", b"no chunk\r\n", shut=False) == [b"400"]


@pytest.mark.parametrize("method", ["GET /health", "POST /predict"])
def test_wish_for_another_protocol_is_ignored(address, method):
    """Java's client sends it with each request; one for WebSocket ends no differently."""
    body = PHOTO if method.startswith("POST") else b""
    for protocol in ("h2c", "websocket"):
        head = (
            f"{method} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\n"
            f"HTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        assert statuses(address, (head.encode() + body) * 2 + HEALTH) == [b"200"] * 3


def test_header_that_never_ends_is_refused(address):
    endless = b"GET /health HTTP/1.1\r\nHost: x\r\nX: "
    with suppress(ConnectionResetError, BrokenPipeError):
        assert statuses(address, endless, *[b"y" * 8192] * 100, shut=False) == [b"400"]
    slow = [endless, b"y" * 20_000, b"\r\n\r\n"]
    assert statuses(address, *slow) == [b"200"]


def test_many_headers_after_a_body_are_refused(address):
    assert statuses(address, chunked([b"{}"]) + b"0\r\n" + b"X: y\r\n" * 500 + b"\r\n", shut=False) == [
        b"400"
    ]


OF_A_PHOTO = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
CHUNKED = OF_A_PHOTO + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "broken",
    [
        CHUNKED + b"ZZ\r\n",
        CHUNKED.replace(b"chunked", b"gzip"),
        b"GET / HTTP/1.1\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
    ids=["chunk", "coding", "no host", "no request"],
)
def test_requests_before_a_broken_one_are_answered(address, broken):
    assert statuses(address, HEALTH * 2 + broken, shut=False) == [b"200", b"200"]
    assert statuses(address, broken, shut=False) == [b"400"]


def test_one_host_is_named_and_none_is_enough_before_1_1(address):
    assert statuses(address, b"GET /health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", shut=False) == [b"400"]
    assert statuses(address, b"GET /health HTTP/1.0\r\n\r\n", shut=False) == [b"200"]


def test_client_before_1_1_is_not_asked_to_continue(address):
    early = b"POST /nothing HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n{}"
    assert statuses(address, early, shut=False) == [b"404"]


def test_trailers_are_no_headers(address):
    """A proxy in front that sets or filters headers does not look at them."""
    trailers = b"Content-Encoding: gzip\r\n\r\n"
    sent = CHUNKED + b"%x\r\n%b\r\n0\r\n" % (len(PHOTO), PHOTO) + trailers
    assert statuses(address, sent, HEALTH) == [b"200", b"200"]


@pytest.mark.parametrize("endless", [b"2\r\n{}\r\n0\r\nX: ", b"2;x="], ids=["trailer", "extension"])
def test_what_never_ends_behind_a_head_is_refused(address, endless):
    with suppress(ConnectionResetError, BrokenPipeError):
        assert statuses(address, CHUNKED + endless, *[b"y" * 8192] * 2000, shut=False) in ([b"400"], [])
    assert requests.get(f"{address}/health", timeout=5).status_code == 200


@pytest.mark.parametrize(
    "last",
    [
        b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        OF_A_PHOTO + b"Content-Length: 9000\r\n\r\nhalf",
        CHUNKED + b"ZZ\r\n",
    ],
    ids=["close", "half a body", "broken"],
)
def test_connection_that_closes_unread_is_dropped(last):
    """Its rest is less than what counts as unread; such connections would fill the server for good."""
    numbers = [f"lenslet.serving.http.connection.{name}=2" for name in ("HEADER_TIMEOUT_S", "READ_TIMEOUT_S")]
    with running_on_loopback("--workers", "1", numbers=numbers) as (address, process), ExitStack() as stack:
        requests.get(f"{address}/health", headers={"Connection": "close"}, timeout=5)
        before = sockets_of(process)
        for pages in range(1, 13):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.connect(("127.0.0.1", port_of(address)))
            client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * pages + last)
            if b"half" in last:
                client.shutdown(socket.SHUT_WR)
        end = time.monotonic() + 30
        time.sleep(1)  # until all are accepted, and some are full
        while sockets_of(process) > before:
            assert time.monotonic() < end, sockets_of(process) - before
            time.sleep(0.2)


def sockets_of(process):
    found = 0
    for each in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(OSError):  # closed since
            found += each.readlink().name.startswith("socket:")
    return found


def test_more_requests_than_open_files_allow():
    done = subprocess.run(
        [*SERVE, "--workers", "1", "--waiting", "100"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=FewFiles().limit,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "lenslet serve: 101 requests at a time in one process need 404 open files: "
        "raise their limit (ulimit -n), or lower --workers and --waiting\n"
    )


def test_client_that_does_not_read_is_dropped(address):
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port_of(address)))
        client.settimeout(1)
        requests_sent = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 200
        end = time.monotonic() + 60
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while time.monotonic() < end:
                try:
                    client.sendall(requests_sent)
                except TimeoutError:
                    time.sleep(0.5)

"""Logs that cannot be written, workers that hang, clients that close or do not read."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from bench.loopback import running as running_on_loopback
from tests.support.endpoint import ROOT, running
from tests.support.photos import quadrants, saved

PHOTO = saved(quadrants("RGBY"), "JPEG")
IMAGE = {"Content-Type": "image/jpeg"}
SERVE = [sys.executable, "-m", "lenslet", "serve", "--port", "0"]


def port_of(address):
    return int(address.rpartition(":")[2])


def children_of(process):
    """The processes that answer: those of `multiprocessing`, less the one that keeps account of its resources."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [
        int(each) for each in found if "resource_tracker" not in Path(f"/proc/{each}/cmdline").read_text()
    ]


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


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one process")
def test_worker_that_hangs():
    numbers = ["lenslet.serving.http.server.GRACE_S=1"]
    with running_on_loopback("--workers", "2", numbers=numbers) as (address, process):
        hung = children_of(process)[0]
        os.kill(hung, signal.SIGSTOP)
        waiting = []  # a handful waits for the one that hangs; then all connections go to the other
        answered = 0
        for _ in range(60):
            connection = socket.create_connection(("127.0.0.1", port_of(address)), 5)
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            connection.settimeout(2)
            try:
                answered += connection.recv(100).startswith(b"HTTP/1.1 200")
                connection.close()
            except TimeoutError:
                waiting.append(connection)
        assert answered >= 45
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        assert not Path(f"/proc/{hung}").exists()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_hangup_stops_it_as_sigterm_does(workers):
    with running("--workers", workers) as (address, process):
        assert requests.get(f"{address}/health", timeout=60).status_code == 200
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=40) == 0


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

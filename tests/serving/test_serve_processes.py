"""Several processes behind one port: distribution of connections, and shutdown."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests

from bench.clients import descendants
from bench.loopback import running
from lenslet.serving.http.server import split_evenly
from tests.support import link_server
from tests.support.endpoint import ROOT, said
from tests.support.photos import plain

PHOTO = plain((200, 30, 30))
needs_two = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one processor gets one process")


@pytest.mark.parametrize(
    ("whole", "count", "expected"),
    [(2, 2, [1, 1]), (19, 2, [10, 9]), (1, 3, [1, 0, 0]), (0, 2, [0, 0]), (32, 1, [32])],
)
def test_split_evenly(whole, count, expected):
    assert split_evenly(whole, count) == expected


def workers_of(process):
    """Process ids of those that serve; beside them, Python has one that tidies up."""
    commands = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in descendants(process.pid)}
    return [child for child, command in commands.items() if b"spawn_main" in command]


def is_running(process_id):
    with suppress(OSError):
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return False


def wait_until(is_so):
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def statuses(url, count):
    """Of requests one after the other, each on a connection of its own."""
    return [requests.get(url, timeout=30).status_code for _ in range(count)]


@contextmanager
def both_busy(**options):
    """Two processes, each with one link that stalls until `released` is set, and no place to wait."""
    with (
        link_server.serving_links(PHOTO) as links,
        running(
            "--workers",
            "2",
            "--waiting",
            "0",
            numbers=["links_keep_workers=1"],
            LENSLET_LINK_HOSTS=links.host,
            **options,
        ) as (address, process),  # fmt: skip
        ThreadPoolExecutor(2) as pool,
    ):
        try:
            link = {"url": f"{links.address}/photo_on_release"}
            taken = []
            for _ in range(2):  # a request between them would take the second one's turn
                links.asked.clear()
                taken.append(pool.submit(requests.post, f"{address}/predict", json=link, timeout=60))
                assert links.asked.wait(20)
            yield address, process, links, taken
        finally:
            links.released.set()


@needs_two
@pytest.mark.slow
def test_connections_are_passed_round_robin_and_answered_when_processes_stop():
    with both_busy() as (address, process, links, taken):
        workers = workers_of(process)
        assert len(workers) == 2
        assert statuses(f"{address}/", 4) == [503] * 4
        assert statuses(f"{address}/health", 4) == [200] * 4
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert not any(each.done() for each in taken)
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{address}/health", timeout=5)
        links.released.set()
        assert [each.result().status_code for each in taken] == [200, 200]
        assert process.wait(timeout=20) == 0
        assert not any(map(is_running, workers))


@needs_two
@pytest.mark.slow
def test_death_of_one_process_ends_all_and_is_reported():
    with both_busy(log=subprocess.PIPE) as (_, process, links, taken):
        os.kill(workers_of(process)[0], signal.SIGKILL)
        wait_until(lambda: any(each.done() for each in taken))
        links.released.set()
        results = [each.exception() or each.result().status_code for each in taken]
        assert results.count(200) == 1  # the other one's request is answered
        assert process.wait(timeout=20) == 1
        assert process.stderr.read().splitlines()[-1] == (
            "lenslet serve: a process has died; the others have ended"
        )


@needs_two
@pytest.mark.slow
def test_processes_end_with_their_parent():
    with running("--workers", "2") as (_, process):
        workers = workers_of(process)
        assert len(workers) == 2
        process.kill()
        process.wait()
        wait_until(lambda: not any(map(is_running, workers)))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_to_all_processes_as_a_terminal_sends_it(number):
    process = subprocess.Popen(
        [sys.executable, "-m", "lenslet", "serve", "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        address = process.stdout.readline().split()[3]
        assert requests.get(f"{address}/health", timeout=30).status_code == 200
        os.killpg(process.pid, number)
        assert process.wait(timeout=20) == 0
        assert said(process.stderr.read()) == []
    finally:
        process.kill()
        process.wait()

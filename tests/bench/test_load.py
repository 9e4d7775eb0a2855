"""The load benchmark's arithmetic on numbers written by hand, and its clients against servers with wrong answers."""

import json
import os
import signal
import socketserver
import subprocess
import threading
import time
from collections import Counter
from contextlib import contextmanager
from itertools import islice, repeat

import pytest

from bench import load
from bench.clients import (
    Answer,
    Connection,
    Outcome,
    ask_all,
    descendants,
    judged,
    resident_mb,
    watched_memory,
)
from bench.goals import judge
from bench.load_pattern import SHARES, Request, load_pattern, photos_in_proportion

PREDICTION = {"predictions": [{"label": "sea", "probability": 1.0}]}
GOOD = Request("150 px", b"GET /good HTTP/1.1\r\n\r\n", 200, PREDICTION)
BROKEN = Request("broken", b"GET /broken HTTP/1.1\r\n\r\n", 422, "broken_image")


def error(code):
    return {"error": {"code": code, "message": "a sentence"}}


@pytest.mark.parametrize(
    ("request_sent", "answer", "is_right"),
    [
        (GOOD, Answer(200, {}, PREDICTION), True),
        (GOOD, Answer(200, {}, {"predictions": [{"label": "sea", "probability": 0.9}]}), False),
        (GOOD, Answer(500, {}, error("internal_error")), False),
        (GOOD, Answer(503, {"retry-after": "1"}, error("overloaded")), True),
        (GOOD, Answer(503, {}, error("overloaded")), False),
        (GOOD, Answer(200, {"retry-after": "1"}, error("overloaded")), False),
        (BROKEN, Answer(422, {}, error("broken_image")), True),
        (BROKEN, Answer(422, {}, error("link_refused")), False),
        (BROKEN, Answer(415, {}, error("broken_image")), False),
        (BROKEN, Answer(200, {}, PREDICTION), False),
    ],
)
def test_answer_is_compared_with_the_known_one(request_sent, answer, is_right):
    assert judged(request_sent, answer, 0.1).is_right == is_right


def http(status, content, *headers):
    body = json.dumps(content)
    lines = [f"HTTP/1.1 {status} Word", f"Content-Length: {len(body)}", *headers, "", body]
    return "\r\n".join(lines).encode()


@contextmanager
def server(*answers):
    """Answers one request after another with these bytes; an empty one breaks the connection off."""
    waiting = list(answers)

    class Script(socketserver.StreamRequestHandler):
        def handle(self):
            while line := self.rfile.readline():
                if line == b"\r\n":
                    answer = waiting.pop(0)
                    if not answer:
                        return
                    for start in range(0, len(answer), 7):  # in pieces, as networks do
                        self.wfile.write(answer[start : start + 7])

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Script) as listening:
        listening.daemon_threads = True
        threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()


def test_connection_reads_answers_that_come_in_pieces():
    with server(http(200, {"a": "é" * 50}, "X-Tea: green"), http(404, [1])) as address:
        connection = Connection(address)
        first = connection.ask(GOOD.data)
        assert (first.status, first.headers["x-tea"], first.content) == (200, "green", {"a": "é" * 50})
        assert connection.ask(GOOD.data).content == [1]
        connection.close()


def test_every_request_has_its_outcome():
    answers = [
        http(200, PREDICTION),
        http(200, {"predictions": []}),  # wrong
        b"",  # broken off; the client comes again on a new connection
        b"HTTP/1.1 200 OK\r\n\r\nno length",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{]",
        http(422, error("broken_image")),
    ]
    with server(*answers) as address:
        outcomes = ask_all(address, iter([GOOD] * 5 + [BROKEN]), clients=1)
    assert [(each.kind, each.status, each.code, each.is_right) for each in outcomes] == [
        ("150 px", 200, "", True),
        ("150 px", 200, "", False),
        ("150 px", 0, "no answer", False),
        ("150 px", 0, "no answer", False),
        ("150 px", 0, "no answer", False),
        ("broken", 422, "broken_image", True),
    ]


def test_refused_client_waits_as_long_as_it_is_told():
    answers = [http(503, error("overloaded"), "Retry-After: 1"), http(200, PREDICTION)]
    with server(*answers) as address:
        outcomes = ask_all(address, iter([GOOD] * 2), clients=1, seconds=0.2)
    assert [each.code for each in outcomes] == ["overloaded"]  # the time was over before the second


def test_pattern_has_its_shares():
    requests = {kind: [Request(kind, b"", 200, None)] for kind in SHARES}
    first = [request.kind for request in islice(load_pattern(requests, tuple(SHARES)), 40)]
    expected = {"150 px": 12, "12 MP": 2, "link": 3, "broken": 3}
    assert [Counter(first[:20]), Counter(first[20:])] == [expected, expected]
    assert first[:20] != first[20:]
    assert first == [request.kind for request in islice(load_pattern(requests, tuple(SHARES)), 40)]
    photos = Counter(request.kind for request in islice(load_pattern(requests, ("150 px", "12 MP")), 28))
    assert photos == {"150 px": 24, "12 MP": 4}


def test_course_of_photos_has_the_shares_of_the_pattern():
    course = photos_in_proportion({"150 px": [b"a", b"b", b"c"], "12 MP": [b"A", b"B"]})
    assert Counter(course) == {b"a": 12, b"b": 12, b"c": 12, b"A": 4, b"B": 2}


@pytest.mark.parametrize(("share", "expected_ms"), [(50, 20.0), (75, 30.0), (76, 40.0), (99, 40.0)])
def test_percentile_is_one_of_the_values(share, expected_ms):
    assert load.percentile_ms([0.04, 0.01, 0.03, 0.02], share) == expected_ms


def test_percentile_of_nothing():
    assert load.percentile_ms([], 50) is None


def test_growth_compares_the_last_quarter_with_the_second():
    assert load.growth([50, 50, 100, 100, 500, 500, 105, 105]) == pytest.approx(1.05)
    assert load.growth([1, 2, 3]) is None


def test_refusals_are_counted_apart():
    outcomes = [
        Outcome("150 px", 200, "", 0.010, True),
        Outcome("broken", 422, "broken_image", 0.030, True),
        Outcome("link", 0, "no answer", 0.020, False),
        *repeat(Outcome("150 px", 503, "overloaded", 0.001, True), 2),
    ]
    assert load.figures_of(outcomes, took_s=2.0, clients_cpu_s=0.0) == {
        "answers": 3,
        "answers_a_second": 1.5,
        "p50_ms": 20.0,
        "p95_ms": 30.0,
        "p99_ms": 30.0,
        "refused": 2,
        "refusals_p95_ms": 1.0,
        "wrong": 1,
        "errors": {"broken_image": 1, "no answer": 1, "overloaded": 2},
        "clients_share": 0.0,
    }


def report(**changes):
    crowd = {"refused": 7, "refusals_p95_ms": 20.0}
    found = {"wrong": 0, "memory": {"growth": 1.05}, "photos": {"ratio": 0.85}, "levels": {"64": crowd}}
    return found | changes


@pytest.mark.parametrize(
    ("changes", "verdicts"),
    [
        ({}, [True, True, True, True, True]),  # each limit itself is met
        ({"wrong": 1}, [False, True, True, True, True]),
        ({"memory": {"growth": 1.06}}, [True, False, True, True, True]),
        ({"memory": {"growth": None}}, [True, None, True, True, True]),
        ({"photos": {"ratio": 0.84}}, [True, True, False, True, True]),
        (
            {"levels": {"64": {"refused": 0, "refusals_p95_ms": None}}},
            [True, True, True, False, None],
        ),
        (
            {"levels": {"64": {"refused": 9, "refusals_p95_ms": 251.0}}},
            [True, True, True, True, False],
        ),
    ],
)
def test_goals(changes, verdicts):
    found = judge(load.GOALS, report(**changes))
    assert [None if each.value is None else each.is_kept for each in found] == verdicts


def test_report_is_a_page_for_people():
    figures = load.figures_of(
        [Outcome("broken", 415, "not_an_image", 0.0123, True)], took_s=1, clients_cpu_s=0
    )
    found = {
        "model": "m", "runtime": "r", "machine": "2 cores",
        "photos": {"alone": [100, 90, 110], "served": [90, 85, 95], "ratio": 0.9, "clients_share": 0.1},
        "levels": {"1": figures, "64": figures | {"refused": 7, "refusals_p95_ms": 20.0}},
        "long_run": figures, "kinds": {"broken": figures},
        "memory": {"growth": 1.0, "samples_mb": [150.0, 180.0, 160.0, 160.0]}, "wrong": 0,
    }  # fmt: skip
    text = load.text_of(found | {"goals": judge(load.GOALS, found)})
    for words in (
        "90 a second served, 100 by decoding and inference alone: 0.90; "
        "the clients took 0.10 of the processors, and of what they left it is 1.00",
        "errors of broken: not_an_image 1",
        "memory of the server: 150 MB first, 180 most, 160 last",
        "met          memory, last quarter of the long run: at most 1.05 × the second (found 1, limit 1.05)",
    ):
        assert words in text
    rows = load.table("clients", found["levels"]).splitlines()
    assert rows[1].split() == ["1", "1", "1.00", "12.30", "12.30", "12.30", "0", "—", "0", "0.00"]
    assert rows[2].split()[6:8] == ["7", "20.00"]
    assert len({len(row) for row in rows}) == 1


def test_memory_is_counted_of_children_and_theirs_too():
    with subprocess.Popen(["sh", "-c", "sleep 60 & wait"]) as child:
        try:
            end = time.monotonic() + 20
            while len(descendants(child.pid)) != 1:
                assert time.monotonic() < end
                time.sleep(0.02)
            assert {child.pid, *descendants(child.pid)} <= set(descendants(os.getpid()))
            with watched_memory(child.pid, every_s=0.01) as samples:
                time.sleep(0.3)
            assert samples[0] > resident_mb(child.pid)
        finally:
            for process_id in [*descendants(child.pid), child.pid]:
                os.kill(process_id, signal.SIGKILL)


def test_help_teaches(capsys):
    with pytest.raises(SystemExit, match="0"):
        load.main(["--help"])
    printed = capsys.readouterr().out
    for words in ("python -m bench.load", "--seconds", "--requests", "--json", "503", "known one"):
        assert words in printed


@pytest.mark.parametrize("option", ["--seconds", "--requests"])
def test_numbers_must_be_at_least_one(option, capsys):
    with pytest.raises(SystemExit, match="2"):
        load.main([option, "0"])
    assert "'0' is not a whole number of at least 1" in capsys.readouterr().err


def test_wrong_model_folder_is_one_sentence(tmp_path, capsys):
    assert load.main(["--model", str(tmp_path)]) == 2
    assert "`lenslet convert` writes it" in capsys.readouterr().err

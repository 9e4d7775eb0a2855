"""The stream that the server logs to."""

import os
import sys
import time

import pytest

from lenslet.serving.http import log_stream
from lenslet.serving.http.log_stream import LogOutput, LogStream


def test_lines_arrive_in_order(tmp_path):
    with (tmp_path / "log").open("w") as file:
        stream = LogStream(file)
        for number in range(1000):
            stream.write(f"{number}\n")
        stream.drain(10)
    assert (tmp_path / "log").read_text().split() == [str(number) for number in range(1000)]


def test_what_nobody_reads_is_dropped_and_counted(monkeypatch):
    monkeypatch.setattr(log_stream, "MAX_WAITING", 100_000)
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as file, os.fdopen(reader, "rb") as pipe:
        stream = LogStream(file)
        for number in range(100_000):  # 1 MB; a pipe holds 64 KB
            stream.write(f"{number:9}\n")
        kept = 0
        while b"dropped" not in (line := pipe.readline()):
            kept += 1
        assert b" pieces of the log were dropped, because nobody read it" in line
        assert 0 < kept < 30_000
        stream.write("the next one\n")
        assert pipe.readline() == b"the next one\n"
        assert kept + int(line.split(b'"message":"')[1].split()[0]) == 100_000


def test_failure_is_the_error_of_the_next_write():
    with open("/dev/full", "wb", buffering=0) as file:  # noqa: PTH123
        stream = LogStream(file)
        stream.write("one\n")
        stream.drain(10)
        with pytest.raises(OSError, match="No space left on device"):
            stream.write("two\n")


def test_write_is_quick_while_nobody_reads():
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as file, os.fdopen(reader, "rb"):
        stream = LogStream(file)
        started = time.process_time()
        for _ in range(20_000):
            stream.write("x" * 100)
        assert time.process_time() - started < 2
        stream.drain(0.1)  # does not wait for ever


def test_names_on_standard_error_steer_no_terminal(tmp_path, monkeypatch):
    with (tmp_path / "errors").open("w") as file:
        monkeypatch.setattr("sys.stderr", file)
        output = LogOutput()
        with output.used():
            print("folder \x1b[31mred\u202e\x9b", file=sys.stderr)
    assert (tmp_path / "errors").read_text() == "folder \\x1b[31mred\\u202e\\x9b\n"

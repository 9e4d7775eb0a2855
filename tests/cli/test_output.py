"""JSON alone on stdout, and command lines that a shell reads back as they were meant."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from lenslet.commands.output import command_line, json_output


def test_json_is_alone_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with json_output(True) as print_json:
        print("a table")
        print_json({"accuracy": np.float32(0.5), "counts": np.array([1, 2]), "path": Path("a b"), "ü": None})
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"accuracy": 0.5, "counts": [1, 2], "path": "a b", "ü": None}
    assert captured.err == "a table\n"


def test_without_json_everything_is_printed_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    with json_output(False) as print_json:
        print("a table")
        print_json({"accuracy": 0.5})
    assert capsys.readouterr() == ("a table\n", "")


def test_command_line_is_quoted_where_a_shell_needs_it() -> None:
    line = command_line("python", "convert.py", "--data", Path("my photos"), "--model", Path("out/it's"))
    assert shlex.split(line) == ["python", "convert.py", "--data", "my photos", "--model", "out/it's"]
    assert command_line("python", "convert.py", "--data", Path("-photos")).endswith(" --data ./-photos")
    assert (
        command_line("python", "convert.py", "--data", Path("photos")) == "  python convert.py --data photos"
    )

"""The fuzz targets themselves: that their seeds are pictures, and that they would notice what is wrong."""

import subprocess
import sys

import pytest

import lambda_func
from fuzz.handler import ask_many
from fuzz.seeds import pictures
from inference.decode import decode


def test_every_seed_is_a_picture() -> None:
    assert len(pictures()) > 80
    for picture in pictures():
        assert decode(picture, 8).shape == (8, 8, 3)


@pytest.mark.slow
def test_handler_answers_a_few_hundred_events() -> None:
    answered = ask_many(300, random_seed=0)
    assert answered.total() >= 300
    assert answered["200"] > 0


@pytest.mark.slow
def test_handler_that_fails_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(lambda_func.ROUTES["/predict"], "POST", lambda call: {"label": float("nan")})
    with pytest.raises(AssertionError, match="internal_error"):
        ask_many(500, random_seed=0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="atheris has wheels for Linux only")
def test_decode_stands_a_few_thousand_inputs(tmp_path) -> None:
    # Through a shell: the child of a large process inherits its peak of memory, and the fuzzer limits that.
    fuzzer = [sys.executable, "-m", "fuzz.decode", "--inputs", "3000", "--findings", str(tmp_path)]
    command = ["sh", "-c", '"$@"; exit $?', "sh", *fuzzer]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "number_of_executed_units: 3000" in done.stderr
    assert list(tmp_path.iterdir()) == []

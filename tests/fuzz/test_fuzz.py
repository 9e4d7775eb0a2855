"""The fuzz targets: their seeds are pictures, and they report wrong answers."""

import re
import subprocess
import sys

import pytest

from lenslet.inference.decode import decode
from lenslet.inference.errors import LensletError
from lenslet.serving.routes import ROUTES
from tests.support.endpoint import ROOT

CRASHES = ROOT / "tests" / "crashes"


# What is fuzzed is imported late: to draw the seeds takes a second, which every process that collects would spend.
def test_every_seed_is_a_picture() -> None:
    from fuzz.seeds import pictures

    assert len(pictures()) > 80
    for picture in pictures():
        assert decode(picture, 8).shape == (8, 8, 3)


def test_what_the_fuzzer_once_found_is_mended() -> None:
    for path in CRASHES.glob("*"):  # no folder until something is found
        try:
            assert decode(path.read_bytes(), 16).shape == (16, 16, 3), path.name
        except LensletError as error:
            assert error.status in (413, 415, 422), path.name


def test_number_of_inputs_is_at_least_one(capsys: pytest.CaptureFixture[str]) -> None:
    from fuzz import handler

    with pytest.raises(SystemExit, match="2"):
        handler.main(["--inputs", "0"])
    said = capsys.readouterr().err
    assert said.startswith("usage: python -m fuzz.handler ")
    assert "'0' is not a whole number of at least 1" in said


@pytest.mark.slow
def test_handler_answers_a_few_hundred_events() -> None:
    from fuzz.handler import ask_many

    answered = ask_many(300, random_seed=0)
    assert answered.total() >= 300
    assert answered["200"] > 0
    assert answered["corrections stored"] > 0


@pytest.mark.slow
def test_handler_that_fails_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from fuzz.handler import ask_many

    monkeypatch.setitem(ROUTES["/predict"], "POST", lambda request, models, keep: {"label": float("nan")})
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
    # libFuzzer ends what it has begun with a picture: mostly 3,000, at times some more.
    assert int(re.search(r"number_of_executed_units: +(\d+)", done.stderr)[1]) >= 3000
    assert list(tmp_path.iterdir()) == []

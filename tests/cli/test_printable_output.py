"""Names that steer terminals, in whatever a command prints, to standard output or to standard error."""

import json
import os
import subprocess
import sys

import pytest

from lenslet.cli import main
from lenslet.commands.output import json_text
from tests.support.endpoint import ROOT
from tests.support.photos import quadrants, saved

HOSTILE = "\x1b]0;owned\x07\x9b31m\u202eexe"
SHOWN = "\\x1b]0;owned\\x07\\x9b31m\\u202eexe"


def test_name_of_a_model(tmp_path, capsys):
    figures = {"model": HOSTILE, "version": "a", "accuracy": 0.9, "accuracy_low": 0.8}
    (tmp_path / "metrics.json").write_text(json.dumps(figures))
    assert main(["gate", "--metrics", str(tmp_path / "metrics.json")]) == 1
    assert capsys.readouterr().out.startswith(f"model: {SHOWN} a\n")


@pytest.mark.parametrize(
    "words", [["gate", "--metrics"], ["lint"], ["drift"], ["predict"], ["label", "next"]]
)
def test_sentence_about_a_file_is_one_line(words, capsys):
    try:
        code = main([*words, f"/none/{HOSTILE}\n\rlenslet: all is well"])
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    said = capsys.readouterr().err
    assert SHOWN in said
    assert "\\n\\rlenslet: all is well" in said
    assert said.count("\n") == 1


def test_mistyped_option(capsys):
    with pytest.raises(SystemExit):
        main(["train", f"--{HOSTILE}"])
    assert SHOWN in capsys.readouterr().err


def test_json_stays_the_same_and_is_shown_safely():
    answer = {"forêt 森林": [f"a{HOSTILE}\n", "\udcff", "\U000e0041"]}
    text = json_text(answer)
    assert json.loads(text) == answer
    assert "forêt 森林" in text
    assert text.replace("\n", "").isprintable()


@pytest.mark.slow
def test_file_names_that_are_not_utf_8(tmp_path):
    photo = os.fsencode(tmp_path) + b"/caf\xe9\x1b[2J.png"
    with open(photo, "wb") as file:  # noqa: PTH123  # a Path of bytes does not exist
        file.write(saved(quadrants("RGBY"), "PNG"))
    for option in ([], ["--json"], ["--csv", tmp_path / "answers.csv"]):
        done = subprocess.run(
            [sys.executable, "-m", "lenslet", "predict", photo, *option],
            cwd=ROOT,
            capture_output=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert b"\x1b" not in done.stdout + done.stderr
    assert b"caf\\xe9" in (tmp_path / "answers.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("option", [[], ["--json"]])
def test_output_that_cannot_be_written_stops_no_work(tmp_path, option):
    """A full disk: the file is written, the exit code says that something is missing."""
    table = tmp_path / "answers.csv"
    words = ["predict", "data/sample/test/sea", "--csv", table, *option]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "lenslet", *words],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert done.stderr.count("the output cannot be written (No space left on device)") == 1
    assert "Traceback" not in done.stderr and "ignored" not in done.stderr
    assert len(table.read_text().splitlines()) == 11

"""Numbers and files that no training can use end in one sentence."""

from contextlib import suppress
from itertools import pairwise

import pytest

from lenslet.commands.serve import make_parser
from lenslet.config import ParamsError
from lenslet.config.params import read_params
from lenslet.dataset.exports import is_label_studio
from lenslet.dataset.tables import read_table
from lenslet.evaluation.gate import read_figures
from lenslet.inference.artifact import read_artifact
from lenslet.inference.errors import InputError
from lenslet.monitoring.sources import read_window
from lenslet.training.record import read_record
from lenslet.training.run import Run, unfinished_run
from tests.support.endpoint import ROOT


@pytest.mark.parametrize("value", [2**32, 10**30])
def test_seed_that_no_generator_takes(value):
    with pytest.raises(ParamsError, match=r"train\.seed must be "):
        read_params(ROOT / "params.yaml", [f"train.seed={value}"])


BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in pairwise("abcdefghijklm")
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n" for before, name in pairwise("abcdefghi")
)


@pytest.mark.parametrize("text", [BOMB, MERGES, f"train: {{seed: 1}}\n{BOMB}"])
def test_aliases_that_make_a_small_file_huge(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(
        ParamsError, match=r"params\.yaml is not valid YAML: an alias \(\*name\) is not allowed"
    ):
        read_params(path)
    with pytest.raises(ParamsError, match="an alias"):
        read_params(ROOT / "params.yaml", ["train.seed=[&a [1], *a]"])


@pytest.mark.parametrize(
    "value", ["x" * 100_000, "[" * 50 + "]" * 50, f"[{'1, ' * 10_000}2]", "9" * 5000, "1e999"]
)
def test_sentence_is_short_however_long_the_value(value):
    with pytest.raises(ParamsError) as refused:
        read_params(ROOT / "params.yaml", [f"train.image_size={value}"])
    assert len(str(refused.value).replace(value, "…")) < 400


@pytest.mark.parametrize("digits", [19, 5000])
def test_option_with_thousands_of_digits(capsys, digits):
    with pytest.raises(SystemExit) as ended:
        make_parser().parse_args(["--port", "9" * digits])
    assert ended.value.code == 2
    sentence = capsys.readouterr().err
    assert "is not a whole number from 0 to 65535" in sentence
    assert len(sentence) < 200


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda path: read_table(path.with_suffix(".json")), id="list"),
        pytest.param(lambda path: read_table(path.with_suffix(".jsonl")), id="lines"),
        pytest.param(lambda path: read_record(path.parent), id="training.json"),
        pytest.param(lambda path: read_artifact(path.parent), id="model.json"),
        pytest.param(lambda path: read_figures(path.with_suffix(".json")), id="metrics.json"),
        pytest.param(lambda path: unfinished_run(path.parents[1], Run("x", {}, "", "")), id="run.json"),
        pytest.param(lambda path: is_label_studio(path.with_suffix(".json")), id="export"),
        pytest.param(
            lambda path: read_window(str(path.with_suffix(".log")), ["a", "b"], None, None), id="log"
        ),
    ],
)
def test_json_of_thousands_of_levels(tmp_path, read):
    """A sentence, or what is read of a file that is none of Lenslet's; no RecursionError."""
    for name in ("list.json", "list.jsonl", "list.log", "training.json", "model.json", "run.json"):
        (tmp_path / name).write_text(DEEP)
    with suppress(InputError):
        assert not getattr(read(tmp_path / "list"), "rows", ())


@pytest.mark.parametrize("text", ["train: {seed: " + "9" * 5000 + "}", "a: " + "[" * 1000, "[" * 600])
def test_file_that_cannot_be_read(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=r"params\.yaml"):
        read_params(path)

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


@pytest.mark.parametrize("text", ["train: {seed: " + "9" * 5000 + "}", "a: " + "[" * 1000, "[" * 600])
def test_file_that_cannot_be_read(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=r"params\.yaml"):
        read_params(path)

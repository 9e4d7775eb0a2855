"""Numbers and files that no training can use end in one sentence."""

import pytest

from lenslet.config import ParamsError
from lenslet.config.params import read_params
from tests.support.endpoint import ROOT


@pytest.mark.parametrize("value", [2**32, 10**30])
def test_seed_that_no_generator_takes(value):
    with pytest.raises(ParamsError, match=r"train\.seed must be "):
        read_params(ROOT / "params.yaml", [f"train.seed={value}"])


@pytest.mark.parametrize("text", ["train: {seed: " + "9" * 5000 + "}", "a: " + "[" * 100_000, "[" * 5000])
def test_file_that_cannot_be_read(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=r"params\.yaml"):
        read_params(path)

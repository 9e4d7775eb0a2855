"""Weight averaging: the weights in between, and the command that looks for the best share."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lenslet.config import BackboneParams, TrainParams, read_params
from tests.support.photos import BLUE, RED, write_class
from tests.training.test_resume import write_params

pytestmark = pytest.mark.slow


@pytest.fixture
def params() -> TrainParams:
    shipped = read_params(Path("params.yaml")).train
    return replace(shipped, image_size=32, backbone=BackboneParams("small_cnn", "none", "all"))


def build(params: TrainParams, seed: int, classes: int = 3):
    import keras

    from lenslet.network.assembly import build_network
    from lenslet.network.backbones import build_backbone

    keras.utils.set_random_seed(seed)
    return build_network(build_backbone(params.backbone), classes, params)


def test_weights_lie_between_the_two(params: TrainParams) -> None:
    from lenslet.network.weight_averaging import average_into

    first, second, target = build(params, 1), build(params, 2), build(params, 3)
    average_into(target, first, second, 0.25)
    for mixed, one, other in zip(
        target.get_weights(), first.get_weights(), second.get_weights(), strict=True
    ):
        np.testing.assert_allclose(mixed, 0.75 * one + 0.25 * other, atol=1e-6)


def test_shares_0_and_1_answer_as_the_networks_do(params: TrainParams) -> None:
    from lenslet.network.assembly import logits_of
    from lenslet.network.weight_averaging import answers_between

    first, second = build(params, 1), build(params, 2)
    pixels = np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3), np.uint8)
    start, middle, end = answers_between(first, second, (0.0, 0.5, 1.0), pixels)
    np.testing.assert_allclose(start.logits, logits_of(first).predict(pixels, verbose=0), atol=1e-5)
    np.testing.assert_allclose(end.logits, logits_of(second).predict(pixels, verbose=0), atol=1e-5)
    assert not np.allclose(middle.logits, start.logits, atol=1e-3)


def test_networks_of_different_architectures_are_not_averaged(params: TrainParams) -> None:
    from lenslet.network.weight_averaging import AveragingRefused, average_into

    with pytest.raises(AveragingRefused, match="differ in architecture"):
        average_into(build(params, 1), build(params, 1), build(params, 2, classes=4), 0.5)


def run(command: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "lenslet", command, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_command_keeps_the_average_of_the_lowest_log_loss(tmp_path: Path) -> None:
    write_class(tmp_path / "photos" / "red", 30, RED)
    write_class(tmp_path / "photos" / "blue", 30, BLUE, first_seed=100)
    write_params(tmp_path / "params.yaml", epochs=1)
    places = ("--data", tmp_path / "photos", "--cache", tmp_path / "cache")
    trained = run(
        "train", *places, "--out", tmp_path / "one", "--params", tmp_path / "params.yaml",
        "--runs", tmp_path / "runs", "--lint-csv", tmp_path / "lint.csv",
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    folders = ("--first", tmp_path / "one", "--second", tmp_path / "one", "--out", tmp_path / "mixed")
    mixed = run("average", *places, *folders, "--json")
    assert mixed.returncode == 0, mixed.stderr
    assert len(re.findall(r"^ +\d+%  ", mixed.stderr, re.MULTILINE)) == 11
    record = json.loads((tmp_path / "mixed" / "training.json").read_text(encoding="utf-8"))
    assert record["validation"]["log_loss"] == min(record["history"]["average"]["log_loss"])
    figures = json.loads(mixed.stdout)
    assert figures["validation"] == record["validation"]
    assert figures["validation"]["log_loss"] == min(each["log_loss"] for each in figures["tried"])
    missing = run("average", *places, "--first", tmp_path / "no", *folders[2:])
    assert missing.returncode == 2
    assert "does not exist: lenslet train writes it" in missing.stderr
    record["data_fingerprint"] = "of other splits"
    (tmp_path / "one" / "training.json").write_text(json.dumps(record), encoding="utf-8")
    other = run("average", *places, *folders[:3], tmp_path / "mixed", *folders[4:])
    assert other.returncode == 2
    assert "other splits of them" in other.stderr

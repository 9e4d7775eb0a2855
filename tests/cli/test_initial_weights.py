"""Initial weights of a training, and the backbone that they are of."""

import shutil
from pathlib import Path

import pytest
import yaml

from lenslet.commands.train import make_parser
from lenslet.commands.train_params import chosen_params

MODEL = Path("model")  # a mobilenet_v2


@pytest.fixture
def other(tmp_path: Path) -> list[str]:
    """A params file that names another backbone than the model has."""
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    params["train"]["backbone"]["name"] = "small_cnn"
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    return ["--params", str(tmp_path / "other.yaml")]


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A model folder whose weights nobody reads here."""
    folder = tmp_path / "mine"
    folder.mkdir()
    shutil.copyfile(MODEL / "training.json", folder / "training.json")
    (folder / "model.keras").write_bytes(b"weights")
    return folder


def backbone(weights: Path, *words: str) -> str:
    places = ["--data", "data/sample", "--out", "out/mine", "--weights", str(weights)]
    return chosen_params(make_parser().parse_args([*places, *words])).backbone.name


def test_weights_of_a_trained_model_name_their_backbone(
    other: list[str], trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert backbone(trained / "model.keras", *other) == "mobilenet_v2"
    said = f"{trained / 'model.keras'} is of this backbone: train.backbone.name=mobilenet_v2\n"
    assert capsys.readouterr().out == said


def test_a_backbone_that_is_given_stays(other: list[str], trained: Path) -> None:
    assert backbone(trained / "model.keras", *other, "--set", "train.backbone.name=resnet50") == "resnet50"


def test_other_weights_name_none(other: list[str], trained: Path) -> None:
    (trained / "model.keras").rename(trained / "other.keras")
    assert backbone(trained / "other.keras", *other) == "small_cnn"


def test_damaged_record_names_none(other: list[str], trained: Path) -> None:
    (trained / "training.json").write_text('{"params": {"backbone": "mobilenet_v2"}}')
    assert backbone(trained / "model.keras", *other) == "small_cnn"

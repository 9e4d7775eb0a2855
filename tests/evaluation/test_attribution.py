"""Integrated gradients: exact where the network is linear, and complete where it is not."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lenslet.config import BackboneParams, read_params
from lenslet.inference.decode import decode

pytestmark = pytest.mark.slow


def pictures() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (1, 32, 32, 3), np.uint8)


def test_linear_network_is_explained_exactly() -> None:
    """The logit is the mean of red minus twice blue, so each pixel adds (red − 2 blue) / 255 / pixels."""
    import keras

    from lenslet.evaluation.attribution import integrated_gradients

    image = keras.Input((32, 32, 3), dtype="uint8")
    scaled = keras.layers.Rescaling(1 / 255, name="scaling")(image)
    convolution = keras.layers.Conv2D(1, 1, use_bias=False, name="head")
    network = keras.Model(image, keras.layers.GlobalAveragePooling2D(name="logits")(convolution(scaled)))
    convolution.set_weights([np.array([1, 0, -2], np.float32).reshape(1, 1, 3, 1)])
    picture = pictures()[0]
    attribution = integrated_gradients(network, picture, class_index=0, steps=3)
    red, blue = picture[:, :, 0].astype(float), picture[:, :, 2].astype(float)
    np.testing.assert_allclose(attribution.pixels, (red - 2 * blue) / 255 / 1024, atol=1e-6)
    assert attribution.completeness_error < 1e-4


def test_attributions_add_up_to_the_change_of_the_score() -> None:
    from lenslet.evaluation.attribution import integrated_gradients
    from lenslet.network.assembly import build_network, logits_of
    from lenslet.network.backbones import build_backbone

    shipped = read_params(Path("params.yaml")).train
    params = replace(shipped, image_size=32, backbone=BackboneParams("small_cnn", "none", "all"))
    network = build_network(build_backbone(params.backbone), 4, params)
    picture = pictures()[0]
    attribution = integrated_gradients(network, picture, class_index=2)
    both = np.stack([np.zeros_like(picture), picture])
    before, after = logits_of(network).predict(both, verbose=0)[:, 2]
    assert float(attribution.pixels.sum()) == pytest.approx(after - before, rel=0.02)
    assert attribution.completeness_error < 0.02


def test_explain_writes_a_picture(tmp_path: Path) -> None:
    photo = sorted(Path("data/sample/test/sea").iterdir())[0]
    command = [
        sys.executable,
        "-m",
        "lenslet",
        "explain",
        photo,
        "--out",
        tmp_path / "sea.png",
        "--steps",
        "16",
        "--json",
    ]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    answer = json.loads(finished.stdout)
    assert answer["predictions"][0]["label"] == "sea"
    assert answer["completeness_error"] > 0
    assert "integrated gradients add up to the change of the logit within" in finished.stderr
    assert decode((tmp_path / "sea.png").read_bytes(), 64).std() > 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["README.md"], "the data are not an image we read"),
        (["none.jpg"], "none.jpg: No such file"),
        (["README.md", "--out", "README.md/x.png"], "nothing can be written into --out x.png"),
        (["README.md", "--model", "nowhere"], "model.json does not exist"),
    ],
)
def test_wrong_call_is_one_sentence_and_exit_code_2(arguments: list[str], message: str) -> None:
    command = [sys.executable, "-m", "lenslet", "explain", *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr


def test_damaged_network_is_one_sentence(tmp_path: Path) -> None:
    shutil.copytree("model", tmp_path / "model")
    (tmp_path / "model" / "model.keras").write_bytes(Path("model/model.keras").read_bytes()[:5000])
    photo = sorted(Path("data/sample/test/sea").iterdir())[0]
    command = [
        sys.executable,
        "-m",
        "lenslet",
        "explain",
        photo,
        "--model",
        tmp_path / "model",
        "--out",
        tmp_path / "sea.png",
    ]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert (
        f"lenslet explain: {tmp_path}/model/model.keras is damaged, or not a .keras file\n" in finished.stderr
    )
    assert "Traceback" not in finished.stderr

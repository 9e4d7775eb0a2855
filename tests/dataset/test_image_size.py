"""The size of the picture where the settings say auto."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lenslet.config import ParamsError, read_params
from lenslet.dataset.description import describe
from lenslet.dataset.image_size import auto_size, sized, usual_side
from lenslet.dataset.reading import read_dataset

AUTO = read_params(Path("params.yaml")).train
SCENES = 150  # of the shipped model's photos, pixels


@pytest.mark.parametrize(
    ("backbone", "side", "size"),
    [
        ("mobilenet_v2", 640, 224),
        ("mobilenet_v2", 180, 224),  # enlarged 1.25 times, 225
        ("mobilenet_v2", 179, 192),
        ("mobilenet_v2", SCENES, 160),
        ("mobilenet_v2", 28, 160),
        ("mobilenet_v2", None, 160),
        ("efficientnet_lite0", 640, 192),  # 5.2 ms × (192 / 160)² = 7.5; at 224 px 10.2
        ("efficientnet_lite1", 640, 160),
        ("resnet50", 640, 160),
    ],
)
def test_size(backbone: str, side: float | None, size: int) -> None:
    assert auto_size(backbone, side)[0] == size


def test_reason_names_what_a_larger_picture_would_cost() -> None:
    assert auto_size("efficientnet_lite0", 640)[1] == (
        "the shorter side of the photos is about 640 pixels, "
        "and efficientnet_lite0 would take more than 8 ms for 224"
    )
    assert auto_size("efficientnet_lite0", 150)[1] == "the shorter side of the photos is about 150 pixels"


def write_photos(folder: Path, width: int, height: int) -> None:
    random = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for number in range(6):
            pixels = random.integers(0, 256, (height, width, 3), np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")


def test_dataset_has_the_size_and_says_why(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", width=300, height=200)
    dataset = read_dataset(tmp_path / "photos", AUTO, tmp_path / "cache")
    assert (dataset.image_size, dataset.pixels.shape[1:]) == (192, (192, 192, 3))
    described = describe(dataset)
    sentence = (
        "note: pictures of 192 × 192 pixels, because the shorter side of the photos is about 200 pixels"
    )
    assert sentence in described
    assert "efficientnet_lite0 would take more than 8 ms for 224" in described
    assert sized(AUTO, dataset).input_size == 192


def test_size_of_the_settings_wins(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", width=300, height=200)
    dataset = read_dataset(tmp_path / "photos", replace(AUTO, image_size=48), tmp_path / "cache")
    assert (dataset.image_size, "pixels, because" in describe(dataset)) == (48, False)


def test_auto_is_no_size_of_a_network() -> None:
    with pytest.raises(ParamsError, match=r"train\.image_size is auto"):
        _ = AUTO.input_size


def test_usual_side_is_that_of_the_pictures(tmp_path: Path) -> None:
    write_photos(tmp_path, width=60, height=40)
    (tmp_path / "cat" / "0.png").write_text("no picture")
    assert usual_side(sorted(tmp_path.rglob("*.png"))) == 40
    assert usual_side([tmp_path / "cat" / "0.png"]) is None

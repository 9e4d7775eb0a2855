"""What a number of minutes allows: sizes and epochs worked out by hand."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from lenslet.commands.train_params import without_overrun
from lenslet.config import read_params
from lenslet.training.time_budget import plan

SHIPPED = read_params(Path("params.yaml")).train  # 12 epochs of at least 20 batches of 32
PARAMS = replace(SHIPPED, backbone=replace(SHIPPED.backbone, name="mobilenet_v2"))


@pytest.mark.parametrize(
    ("photos", "side", "minutes", "size", "epochs"),
    [
        # 640 photos an epoch; two processors do 3,000 a minute at 160 pixels: 0.21 minutes, at 224 px 0.42.
        (120, 256, 10, 224, 12),  # 12 × 0.42 + 1 = 6
        (120, 256, 5, 192, 12),  # at 192 px 12 × 0.31 + 1 = 4.7
        (120, 256, 4, 160, 12),  # 3.6
        (120, 150, 60, 160, 12),  # 150 pixels, enlarged 1.25 times, are 187
        (120, 256, 3, 160, 9),  # (3 − 1) / 0.213 = 9.4
        (120, 256, 1, 224, 0),  # the head alone sees each photo once: 0.02 minutes
        (120, 256, 1.5, 224, 0),  # two epochs would fit
        (20_000, 640, 1, 96, 0),
        # 20,000 photos, 15,300 to learn from: 5.1 minutes an epoch at 160 px, 1.7 for a pass forward.
        (20_000, 640, 600, 224, 12),
        (20_000, 640, 30, 160, 5),
        (20_000, 640, 5, 224, 0),  # 1.67 × 1.96 = 3.3
        (20_000, 640, 2.5, 128, 0),  # 1.67 × 0.64 = 1.07
        (20_000, None, 600, 160, 12),
    ],
)
def test_plan(photos: int, side: float | None, minutes: float, size: int, epochs: int) -> None:
    chosen = plan(PARAMS, photos, side, minutes, count=2)
    assert (chosen.params.image_size, chosen.params.fine_tune.epochs) == (size, epochs)
    assert f"{size} × {size} pixels" in chosen.sentence


@pytest.mark.parametrize(
    ("minutes", "size", "epochs"),
    [
        # Two processors do 2,400 a minute at 160 pixels: 0.27 minutes an epoch, at 192 px 0.38; 224 px are too slow.
        (10, 192, 12),
        (5, 160, 12),  # 12 × 0.27 + 1 = 4.2
        (4, 160, 11),
    ],
)
def test_larger_backbone_takes_longer(minutes: float, size: int, epochs: int) -> None:
    larger = replace(SHIPPED, backbone=replace(SHIPPED.backbone, name="efficientnet_lite0"))
    chosen = plan(larger, 120, 256, minutes, count=2)
    assert (chosen.params.image_size, chosen.params.fine_tune.epochs) == (size, epochs)


@pytest.mark.parametrize(("minutes", "epochs"), [(10, 12), (4, 7), (1, 0)])  # (4 − 1) / 0.418 = 7.2
def test_size_of_the_settings_is_kept(minutes: float, epochs: int) -> None:
    chosen = plan(replace(PARAMS, image_size=224), 120, 100, minutes, count=2)
    assert (chosen.params.image_size, chosen.params.fine_tune.epochs) == (224, epochs)


def test_fine_tuning_is_left_out_where_the_time_is_spent(capsys: pytest.CaptureFixture[str]) -> None:
    assert without_overrun(PARAMS, time.monotonic() + 60).fine_tune.epochs == 12
    assert without_overrun(PARAMS, time.monotonic() - 1).fine_tune.epochs == 0
    assert "it is spent, so that the head alone is trained" in capsys.readouterr().out

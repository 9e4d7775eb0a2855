"""What a number of minutes allows: sizes and epochs worked out by hand."""

from pathlib import Path

import pytest

from lenslet.config import read_params
from lenslet.inference.errors import InputError
from lenslet.training.time_budget import plan, usual_side
from tests.support.photos import plain

PARAMS = read_params(Path("params.yaml")).train  # 12 epochs of at least 20 batches of 32


@pytest.mark.parametrize(
    ("photos", "side", "minutes", "size", "epochs"),
    [
        # 640 photos an epoch; two processors do 3,000 a minute at 160 pixels: 0.21 minutes, at 224 px 0.42.
        (120, 256, 10, 224, 12),  # 12 × 0.42 + 1 = 6
        (120, 256, 5, 192, 12),  # at 192 px 12 × 0.31 + 1 = 4.7
        (120, 256, 4, 160, 12),  # 3.6
        (120, 150, 60, 160, 12),  # 150 pixels, enlarged 1.25 times, are 187
        (120, 256, 3, 160, 9),  # (3 − 1) / 0.213 = 9.4
        (120, 256, 1, 160, 0),
        # 20,000 photos, 15,300 to learn from: 5.1 minutes an epoch at 160 px.
        (20_000, 640, 600, 224, 12),
        (20_000, 640, 30, 160, 5),
    ],
)
def test_plan(photos: int, side: float, minutes: float, size: int, epochs: int) -> None:
    chosen = plan(PARAMS, photos, side, minutes, processors=2)
    assert (chosen.params.image_size, chosen.params.fine_tune.epochs) == (size, epochs)
    assert f"{size} × {size} pixels" in chosen.sentence


def test_usual_side_is_that_of_the_pictures(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths[:2]:
        path.write_bytes(plain((0, 0, 200)))
    paths[2].write_text("no picture")
    from PIL import Image

    with Image.open(paths[0]) as image:
        expected = min(image.size)
    assert usual_side(paths) == expected
    with pytest.raises(InputError, match="no picture was found"):
        usual_side(paths[2:])

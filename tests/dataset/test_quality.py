"""Photo quality: each check fails for what it is about, and for no other picture."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from lenslet.dataset.quality import CHECKS, blur, entropy, failed_check, grey_of, measured


def drawing(name: str = "sea") -> np.ndarray:
    return np.asarray(Image.open(sorted(Path("data/sample/train", name).iterdir())[0]).convert("RGB"))


def stripes(*levels: int) -> np.ndarray:
    return np.tile(np.array(levels, np.uint8).repeat(160 // len(levels))[:, None, None], (1, 160, 3))


@pytest.mark.parametrize(
    ("pixels", "kind"),
    [
        (np.full((160, 160, 3), 128, np.uint8), "blank"),
        (drawing() // 4, "dark"),
        (drawing() // 16, "dark"),
        (stripes(243, 255), "bright"),
        (stripes(40, 200, 40, 200), "low information"),
        (np.asarray(Image.fromarray(drawing()).filter(ImageFilter.GaussianBlur(4))), "blurred"),
        *((drawing(name), None) for name in ("buildings", "forest", "glacier", "mountain", "sea", "street")),
    ],
)
def test_first_failed_check_names_the_photo(pixels: np.ndarray, kind: str | None) -> None:
    found = failed_check(measured(pixels))
    assert (found and found[0]) == kind
    assert found is None or found[1].startswith(CHECKS[found[0]].unit)


def test_measures_by_hand() -> None:
    checks = dict(zip(CHECKS, measured(stripes(0, 255)), strict=True))
    assert checks["blank"] == pytest.approx(0.5)
    assert checks["dark"] == pytest.approx(1)
    assert checks["bright"] == 0
    assert entropy(grey_of(stripes(0, 85, 170, 255))) == pytest.approx(2)
    # A step is as sharp as can be: the sideways blur of 11 pixels takes 10/11 of its only change.
    edge = np.zeros((30, 30), np.float32)
    edge[15:] = 1
    assert blur(edge) == pytest.approx(1)  # across, nothing changes at all
    noise = np.random.default_rng(0).random((160, 160)).astype(np.float32)
    assert blur(noise) < 0.2

"""Copies are found, and pictures of one kind (digits, forms, pages) are not taken for copies of each other."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance
from sklearn.datasets import load_digits

from lenslet.dataset.confirmation import MAX_ERROR, confirmed, fit_of, picture_of
from lenslet.dataset.duplicates import near_duplicates
from lenslet.dataset.hash_pairs import similar_pairs
from lenslet.dataset.perceptual_hashes import perceptual_hashes

SIDE = 160


def squashed(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def digit(number: int) -> Image.Image:
    return Image.fromarray((255 - load_digits().images[number] / 16 * 255).astype(np.uint8))


def scan(seed: int) -> Image.Image:
    """A form with the same lines and print on every sheet, and a little handwriting that differs."""
    printed, written = np.random.default_rng(777), np.random.default_rng(seed)
    picture = Image.new("L", (480, 640), 245)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((20, 16, 460, 60), outline=40, width=2)
    for y in range(90, 620, 32):
        x = 30
        for width in printed.integers(20, 60, printed.integers(1, 5)):
            draw.rectangle((x, y, x + width, y + 6), fill=60)
            x += width + 6
        draw.line((x + 8, y + 8, 450, y + 8), fill=110)
    for _ in range(3):
        x, y = written.integers(220, 380), 90 + 32 * written.integers(0, 16)
        points = [(x + 7 * step, y - 6 + written.integers(0, 14)) for step in range(written.integers(5, 10))]
        draw.line([(int(across), int(down)) for across, down in points], fill=25, width=2)
    return picture


def page(seed: int) -> Image.Image:
    """Lines of words at the same heights on every page."""
    generator = np.random.default_rng(seed)
    picture = Image.new("L", (600, 800), 250)
    draw = ImageDraw.Draw(picture)
    for y in range(50, 750, 16):
        x = 50
        while x < 550:
            width = int(generator.integers(12, 60))
            draw.rectangle((x, y, min(x + width, 550), y + 7), fill=40)
            x += width + 8
    return picture


def pairs_among(pictures: list[np.ndarray]) -> np.ndarray:
    pixels, rows = np.stack(pictures), np.arange(len(pictures))
    return confirmed(pixels, rows, similar_pairs(*perceptual_hashes(pixels, rows)))


@pytest.mark.slow
@pytest.mark.parametrize(("draw", "count"), [(digit, 300), (scan, 80), (page, 60)])
def test_pictures_of_one_kind_are_no_copies(draw: Callable[[int], Image.Image], count: int) -> None:
    assert pairs_among([squashed(draw(number)) for number in range(count)]).tolist() == []


def encoded(picture: Image.Image, quality: int) -> Image.Image:
    file = BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file)


def cropped(picture: Image.Image) -> Image.Image:
    """Without 2 % at each side."""
    edge = round(0.02 * picture.width)
    return picture.crop((edge, edge, picture.width - edge, picture.height - edge))


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG 40": lambda picture: encoded(picture, 40),
    "half size": lambda picture: picture.resize((picture.width // 2, picture.height // 2)),
    "cropped": lambda picture: encoded(cropped(picture), 90),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.2),
    "grey": lambda picture: picture.convert("L"),
}


@pytest.mark.parametrize("kind", COPIES)
def test_planted_copies_are_found_fifteen_of_fifteen(kind: str) -> None:
    paths = sorted(Path("data/sample/train").rglob("*.jpg"))[::12]  # fifteen, of six classes
    pictures = [Image.open(path) for path in paths]
    found = pairs_among([squashed(each) for each in [*pictures, *map(COPIES[kind], pictures)]])
    assert found[:, :2].tolist() == [[number, number + 15] for number in range(15)]


def test_copies_of_forms_are_found_among_forms() -> None:
    forms = [scan(number) for number in range(12)]
    copies = [encoded(forms[3], 40), forms[7].resize((240, 320))]
    found = pairs_among([squashed(each) for each in [*forms, *copies]])
    assert sorted(found[:, :2].tolist()) == [[3, 12], [7, 13]]


def test_fit_of_a_picture_with_itself_and_of_a_flat_one() -> None:
    form = picture_of(squashed(scan(1)))
    same = fit_of(form, form)
    assert same.error == pytest.approx(0, abs=1e-6)
    assert same.is_close
    flat = picture_of(np.full((SIDE, SIDE, 3), 128, np.uint8))
    assert not fit_of(form, flat).is_close
    assert not fit_of(flat, form).is_close


def test_exact_copies_are_nominated_once(tmp_path: Path) -> None:
    """A copy of a copy: each later file beside the first one, and the similar photo beside the first alone."""
    original = Image.open(sorted(Path("data/sample/train").rglob("*.jpg"))[0])
    others = [squashed(Image.open(path)) for path in sorted(Path("data/sample/train").rglob("*.jpg"))[30:34]]
    pixels = np.stack([squashed(original)] * 3 + [squashed(encoded(original, 40)), *others])
    hashes = ["a", "a", "a", "b", "c", "d", "e", "f"]
    found = near_duplicates(pixels, np.arange(8), hashes, tmp_path)
    assert found[:, :2].tolist() == [[0, 1], [0, 2], [0, 3]]
    assert found[:, 2].tolist()[:2] == [0, 0]


def test_form_with_one_more_word_is_no_copy() -> None:
    """Nearly all of it is the same; what tells them apart is in one place."""
    form = scan(1)
    other = form.copy()
    ImageDraw.Draw(other).line([(250, 250), (265, 235), (280, 252), (290, 240)], fill=80, width=2)
    fit = fit_of(picture_of(squashed(form)), picture_of(squashed(other)))
    assert fit.error <= MAX_ERROR
    assert not fit.is_close

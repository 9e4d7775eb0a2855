"""Tiny pictures and folders of them, drawn for the tests."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def plain(colour: tuple[int, int, int], image_format: str = "PNG", side: int = 8) -> bytes:
    """A picture of one colour, encoded."""
    file = BytesIO()
    Image.new("RGB", (side, side), colour).save(file, image_format)
    return file.getvalue()


def noisy(seed: int, colour: tuple[int, int, int], side: int = 24) -> bytes:
    """A PNG of one colour under noise: every seed another photo, every colour another class."""
    noise = np.random.default_rng(seed).integers(-40, 41, (side, side, 3))
    file = BytesIO()
    Image.fromarray(np.clip(np.array(colour) * 0.6 + 50 + noise, 0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def write_class(folder: Path, count: int, colour: tuple[int, int, int], first_seed: int = 0) -> None:
    """`count` different pictures of one class."""
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number:02}.png").write_bytes(noisy(first_seed + number, colour))

"""Train, convert and evaluate a model of many classes: seconds and peak memory of each command.

    python -m bench.many_classes --classes 1000 --photos 20

The photos are drawn, 20 of each class by default: stripes of a colour, width and direction that only this class has,
under noise. A small network is trained for one epoch from random weights: what is measured is what classes cost,
not accuracy. Takes about ten minutes on two cores.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.console import at_least_one, bench_parser, progress

SIDE = 48  # pixels
SETTINGS = (
    "train.image_size=48", "train.backbone.name=small_cnn", "train.backbone.weights=none", "train.fine_tune.epochs=1",
)  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    arguments = read_arguments(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        progress(f"drawing {arguments.classes * arguments.photos:,} photos")
        draw_photos(folder / "photos", arguments.classes, arguments.photos)
        print(f"{arguments.classes:,} classes, {arguments.photos} photos each\n")
        print(f"{'command':<12}{'seconds':>9}{'peak MB':>9}")
        for command, options in steps(folder).items():
            seconds, peak_mb = measure([sys.executable, "-m", "lenslet", command, *options], folder)
            print(f"{command:<12}{seconds:>9.0f}{peak_mb:>9,.0f}", flush=True)
        page = folder / "report" / "report.html"
        print(f"\nreport.html: {page.stat().st_size / 1e6:.1f} MB")


def read_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = bench_parser("many_classes", __doc__)
    add = parser.add_argument
    add("--classes", type=at_least_one, default=1000, metavar="N", help="(%(default)s)")
    add("--photos", type=at_least_one, default=20, metavar="N", help="of each class (%(default)s)")
    return parser.parse_args(argv)


def steps(folder: Path) -> dict[str, list[str]]:
    """Command → its options, in order."""
    places = ["--data", str(folder / "photos"), "--cache", str(folder / "cache")]
    model = str(folder / "model")
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    training = ["--out", model, "--leaks", "keep", "--runs", str(folder / "runs"), *settings]
    return {
        "train": [*places, *training],
        "convert": [*places, "--model", model],
        "evaluate": [*places, "--model", model, "--report", str(folder / "report")],
    }


def measure(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds, and the largest resident set of the process and of each that it starts, in MB."""
    started = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with (folder / "output.txt").open("w+") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)}:\n{output.read()[-4000:]}")
    return time.perf_counter() - started, usage.ru_maxrss / 1000


def draw_photos(folder: Path, classes: int, photos: int) -> None:
    """Eight colours, five widths and 25 directions tell 1,000 classes apart."""
    random = np.random.default_rng(0)
    for number in range(classes):
        place = folder / f"class {number:04}"
        place.mkdir(parents=True)
        for photo in range(photos):
            Image.fromarray(stripes(number, random)).save(place / f"{photo:03}.jpg", quality=90)


def stripes(number: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """uint8 RGB, shape (SIDE, SIDE, 3)."""
    colour = np.array([number >> bit & 1 for bit in range(3)])
    width, direction = 3 + 2 * (number // 8 % 5), np.pi * (number // 40) / 25
    down, across = np.mgrid[:SIDE, :SIDE]
    phase = random.uniform(0, 2 * np.pi)
    waves = np.sin(2 * np.pi * (across * np.cos(direction) + down * np.sin(direction)) / width + phase)
    picture = 128 + 90 * waves[..., np.newaxis] * (2 * colour - 1) + random.normal(0, 12, (SIDE, SIDE, 3))
    pixels: NDArray[np.uint8] = np.clip(picture, 0, 255).astype(np.uint8)
    return pixels


if __name__ == "__main__":
    main()

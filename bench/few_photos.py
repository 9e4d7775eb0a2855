"""How accurate a model gets from few photos per class, and which settings make the most of them.

    python -m bench.few_photos --data photos/intel --photos 10 30 80 --draws 3 --settings head default "no mixup"

Draws so many training photos of each class, several times, and trains on each draw with each of the settings, from
their own validation split to the best epoch, as train.py would. Each model is judged on training photos that were
not drawn, to choose settings by; those of params.yaml, "default", and "head" also on the test photos, to report.
Expect about two minutes for each training, a line after each, and in the end two tables of mean accuracies with
their range over the draws. With --json a run that was stopped goes on where it was.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow loads: its notices drown the table

import numpy as np

from bench.console import at_least_none, at_least_one
from evaluation.metrics import accuracy
from inference.atomic import write_text
from training.acceleration import Acceleration
from training.backbones import WeightsUnavailable, build_backbone
from training.dataset import Dataset, DatasetError, Photo, find_photos, read_dataset
from training.fit import head_folds, train_network
from training.params import ParamsError, TrainParams, read_params
from training.pixels import CacheFull

LEFT_PHOTOS = 1500  # at most
# Beginning of a link's name in the test folder → whose photos these are.
JUDGES = {"left": "training photos that were not drawn", "test": "the test photos"}


def _with(section: str, **values: Any) -> Callable[[TrainParams], TrainParams]:
    return lambda params: replace(params, **{section: replace(getattr(params, section), **values)})


SETTINGS: dict[str, Callable[[TrainParams], TrainParams]] = {
    "default": lambda params: params,
    "head": _with("fine_tune", epochs=0),
    "one pass": _with("fine_tune", steps_at_least=1),  # an epoch shows each photo once
    "40 steps": _with("fine_tune", steps_at_least=40),
    "last 50 layers": _with("backbone", layers_unfrozen=50),
    "rate / 3": _with("fine_tune", learning_rate=1e-4),
    "weight decay × 5": _with("fine_tune", weight_decay=0.1),
    "mixup": _with("augmentation", mixup=0.2, mixup_from=0),
    "no mixup": _with("augmentation", mixup=0.0),
    "strong augmentation": _with("augmentation", shift=0.2, zoom=0.4, contrast=0.4),
}
REPORTED = ("default", "head")
Results = dict[str, dict[str, float]]  # "JUDGE: settings" → "photos/draw" → accuracy


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        compare(arguments, read_params(arguments.params).train)
    except (CacheFull, DatasetError, ParamsError, WeightsUnavailable) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def compare(arguments: argparse.Namespace, params: TrainParams) -> None:
    results: Results = {}
    if arguments.json and arguments.json.exists():
        results = json.loads(arguments.json.read_text(encoding="utf-8"))
    for photos, draw, dataset in draws(arguments, params):
        for name in arguments.settings:
            if any(f"{photos}/{draw}" in results.get(f"{judge}: {name}", {}) for judge in JUDGES):
                continue
            started = time.monotonic()
            chosen = SETTINGS[name](params)
            reached = train_and_judge(dataset(chosen), chosen, arguments.cache)
            if name not in REPORTED:
                reached.pop("test", None)
            for judge, value in reached.items():
                results.setdefault(f"{judge}: {name}", {})[f"{photos}/{draw}"] = value
            minutes = (time.monotonic() - started) / 60
            figures = ", ".join(f"{judge} {value:.4f}" for judge, value in reached.items())
            print(f"{photos} photos, draw {draw}, {name}: {figures} ({minutes:.1f} minutes)", flush=True)
            if arguments.json:
                write_text(arguments.json, json.dumps(results, indent=2) + "\n")
    for judge, sentence in JUDGES.items():
        print(f"\nAccuracy on {sentence}")
        print(table(results, f"{judge}: ", arguments.photos))


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add_draws(parser, photos=[10, 30, 80], draws=3)
    add("--settings", nargs="+", choices=SETTINGS, default=["head", "default"], metavar="NAME")
    add("--json", type=Path, help="also write the accuracies here, after each training, and go on from there")
    return parser.parse_args(argv)


def add_draws(parser: argparse.ArgumentParser, photos: list[int], draws: int) -> None:
    """What `draws` and `read_params` need, with these defaults."""
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of labelled photos with a test split")
    counts = " ".join(map(str, photos))
    add(
        "--photos",
        type=at_least_none,
        nargs="+",
        default=photos,
        help=f"per class ({counts}); 0: all there are",
    )
    add("--draws", type=at_least_one, default=draws, help="how often photos are drawn (%(default)s)")
    add("--params", type=Path, default=Path("params.yaml"), help="default: %(default)s")
    add("--cache", type=Path, default=Path(".cache"), help="decoded photos, features (%(default)s)")


def draws(
    arguments: argparse.Namespace, params: TrainParams
) -> Iterator[tuple[int, int, Callable[[TrainParams], Dataset]]]:
    """(photos per class, number of the draw, function that reads the drawn photos by given settings)."""
    found = find_photos(arguments.data)
    for photos in arguments.photos:
        for draw in range(arguments.draws if photos else 1):
            with tempfile.TemporaryDirectory() as name:
                lay_out(found, photos, np.random.default_rng([params.seed, draw]), Path(name))
                yield (
                    photos,
                    draw,
                    lambda chosen, folder=Path(name): read_dataset(  # type: ignore[misc]
                        folder, chosen, arguments.cache
                    ),
                )


def lay_out(found: list[Photo], photos: int, random: np.random.Generator, folder: Path) -> None:
    """A folder of links: train/ with so many photos of each class, test/ with the photos that judge."""
    left = []
    for label in sorted({photo.label for photo in found}):
        mine = [photo for photo in found if photo.label == label and photo.split in ("train", None)]
        order = random.permutation(len(mine))
        drawn = order[: photos or None]
        _link([mine[number] for number in drawn], folder / "train", "drawn")
        left += [mine[number] for number in order[len(drawn) :]]
    left = [left[number] for number in random.permutation(len(left))[:LEFT_PHOTOS]]
    _link(left, folder / "test", "left")
    _link([photo for photo in found if photo.split == "test"], folder / "test", "test")


def _link(photos: list[Photo], folder: Path, beginning: str) -> None:
    for number, photo in enumerate(photos):
        (folder / photo.label).mkdir(parents=True, exist_ok=True)
        (folder / photo.label / f"{beginning}-{number:05}").symlink_to(photo.path.resolve())


def train_and_judge(dataset: Dataset, params: TrainParams, cache: Path) -> dict[str, float]:
    """Judge → accuracy on its photos of a network that is trained as train.py does it."""
    folds = head_folds(build_backbone(params.backbone), dataset, params, cache)
    with tempfile.TemporaryDirectory() as run:
        network, _ = train_network(dataset, params, folds, Path(run), Acceleration())
    test = dataset.members("test")
    answers = network.predict(dataset.pixels[dataset.rows[test]], verbose=0)["probabilities"]
    judges = np.array([dataset.photos[number].path.name.partition("-")[0] for number in test])
    return {
        judge: accuracy(dataset.targets[test][judges == judge], answers[judges == judge])
        for judge in JUDGES
        if judge in judges
    }


def table(results: Results, prefix: str, photos: list[int]) -> str:
    """One row for each of the settings under `prefix`, one column for each number of photos."""
    lines = [f"{'settings':<24}" + "".join(f"{count or 'all':>24}" for count in photos)]
    for name, reached in results.items():
        if not name.startswith(prefix):
            continue
        cells = []
        for count in photos:
            values = [value for key, value in reached.items() if key.startswith(f"{count}/")]
            cells.append(f"{np.mean(values):.4f} ({min(values):.4f}–{max(values):.4f})" if values else "—")
        lines.append(f"{name.removeprefix(prefix):<24}" + "".join(f"{cell:>24}" for cell in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

"""Fine-tuning on few photos: whether it helps a network whose head is a logistic regression.

    nice python -m bench.fine_tuning --data photos/dishes --photos 10 30 75

For each number of photos a class, draws of so many, of which a training keeps its share for validation. Three models:
the head fitted to all that were drawn, the head fitted to the training photos among them, and the latter fine-tuned as
`lenslet train` does. Accuracy, and log loss after temperature scaling, on photos of the folder that were not drawn: the
scaling is fitted on these, too, alike for all models.
"""

import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from bench.console import at_least_one, bench_parser, progress
from bench.few_shot import drawn_photos
from lenslet.config import TrainParams, read_params
from lenslet.dataset.dataset import Dataset
from lenslet.dataset.image_size import sized
from lenslet.dataset.reading import read_dataset
from lenslet.dataset.splits import assign_splits
from lenslet.evaluation.metrics import accuracy
from lenslet.network.assembly import build_feature_extractor, initial_network, logits_of
from lenslet.network.devices import Acceleration
from lenslet.training.features import LabelledFeatures, cached_features
from lenslet.training.fine_tuning import fine_tune
from lenslet.training.head_fit import train_head
from lenslet.training.logistic_head import fit_logistic_head
from lenslet.training.validation import calibrated_figures

MODELS = ("head, all photos", "head", "fine-tuned")


@dataclass(frozen=True)
class Draw:
    """Part of a folder: the drawn photos in splits, and `test`, those that judge."""

    dataset: Dataset
    members: NDArray[np.int64]  # positions in the whole folder, in the order of `dataset`


def main(argv: list[str] | None = None) -> int:
    parser = bench_parser("fine_tuning", __doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="photos of which any may be drawn, whatever their split")
    add("--photos", nargs="+", type=at_least_one, default=[10, 30, 75], help="of each class (%(default)s)")
    add("--draws", type=at_least_one, default=1, help="of each number of photos (%(default)s)")
    add("--judging", type=at_least_one, default=100, help="photos of a class, at most (%(default)s)")
    add("--cache", type=Path, default=Path(".cache"), help="decoded photos, features (%(default)s)")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="as of lenslet train",
    )
    arguments = parser.parse_args(argv)
    params = read_params(None, arguments.overrides).train
    dataset = read_dataset(arguments.data, params, arguments.cache)
    params = sized(params, dataset)
    print(f"{len(dataset.photos):,} photos, {params.input_size} pixels; accuracy, log loss and seconds")
    print(f"{'photos a class':16}" + "".join(f"{model:>26}" for model in MODELS))
    for photos in arguments.photos:
        found = []
        for number in range(arguments.draws):
            progress(f"{photos} a class, draw {number + 1} of {arguments.draws}")
            found.append(
                measured(
                    draw_of(dataset, photos, number, arguments.judging, params),
                    dataset,
                    params,
                    arguments.cache,
                )
            )
        means = np.mean(found, axis=0)
        print(
            f"{photos:<16}" + "".join(f"{row[0]:>12.3f}{row[1]:>7.3f}{row[2]:>6.0f} s" for row in means),
            flush=True,
        )
    return 0


def draw_of(dataset: Dataset, photos: int, seed: int, judging: int, params: TrainParams) -> Draw:
    """So many photos of each class, and at most `judging` others of each as test photos."""
    drawn, targets = drawn_photos(dataset.targets, photos, seed), dataset.targets
    random = np.random.default_rng(1000 + seed)
    others = [np.flatnonzero(~drawn & (targets == label)) for label in np.unique(targets)]
    judges = np.concatenate([random.permutation(each)[:judging] for each in others])
    members = np.sort(np.concatenate([np.flatnonzero(drawn), judges]))
    chosen = [replace(dataset.photos[each], split=None if drawn[each] else "test") for each in members]
    hashes = tuple(dataset.hashes[each] for each in members)
    return Draw(
        replace(
            dataset,
            photos=tuple(assign_splits(chosen, list(hashes), params)),
            rows=dataset.rows[members],
            hashes=hashes,
        ),
        members,
    )


def measured(draw: Draw, dataset: Dataset, params: TrainParams, cache: Path) -> list[list[float]]:
    """Accuracy, log loss and seconds of each of MODELS; features of the whole folder are extracted once."""
    part, classes = draw.dataset, len(dataset.labels)
    backbone, network = initial_network(params, classes, Acceleration())
    extractor = build_feature_extractor(backbone, params)
    features = cached_features(extractor, dataset, np.arange(len(dataset.photos)), cache)[draw.members]
    splits = {name: part.members(name) for name in ("train", "validation", "test")}
    of = {name: LabelledFeatures(features[each], part.targets[each]) for name, each in splits.items()}
    both = np.concatenate([splits["train"], splits["validation"]])
    started = time.monotonic()
    (kernel, bias), _ = fit_logistic_head(LabelledFeatures(features[both], part.targets[both]), classes)
    found = [[*_figures(of["test"].features @ kernel + bias, of["test"].targets), time.monotonic() - started]]
    started = time.monotonic()
    train_head(network, (of["train"], of["validation"]), params)
    found.append([*_figures(_logits(network, part), of["test"].targets), time.monotonic() - started])
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        fine_tune(network, part, params, Path(folder))
    seconds = time.monotonic() - started
    found.append([*_figures(_logits(network, part), of["test"].targets), seconds])
    return found


def _logits(network: keras.Model, part: Dataset) -> NDArray[np.float32]:
    pixels = part.pixels[part.rows[part.members("test")]]
    logits: NDArray[np.float32] = logits_of(network).predict(pixels, verbose=0)
    return logits


def _figures(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> tuple[float, float]:
    return accuracy(targets, logits), calibrated_figures(logits, targets)["log_loss"]


if __name__ == "__main__":
    sys.exit(main())

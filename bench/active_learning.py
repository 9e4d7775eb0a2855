"""How many labels a choice of photos saves: accuracy by number of labels, against random and diversity.

    python -m bench.active_learning --data photos/intel --json report/active_learning.json

Simulates labelling: from 60 random labels on, each round adds 60 photos of the training split chosen by one strategy,
fits a logistic head on the features of a backbone with ImageNet weights, and measures it on the validation photos.
Five seeds. Prints a row for each number of labels, and the number that each strategy needs for what random sampling
has at the end.
"""

import argparse
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from bench.console import at_least_one, bench_parser
from lenslet.config.params import read_params
from lenslet.dataset.image_size import sized
from lenslet.dataset.reading import read_dataset
from lenslet.inference.atomic import write_text
from lenslet.labelling.selection import select

STEP = 60
STRENGTH = 0.02  # C of the logistic head, on features scaled to a standard deviation of 1

Features = NDArray[np.float32]
Random = np.random.Generator
# (probabilities of the unlabelled, their features, features of the labelled, random numbers) → positions, STEP of them
Strategy = Callable[[NDArray[np.float64], Features, Features, Random], NDArray[np.int64]]


def by_chance(
    probabilities: NDArray[np.float64], features: Features, labelled: Features, random: Random
) -> NDArray[np.int64]:
    return random.choice(len(features), STEP, replace=False)


def by_margin(
    probabilities: NDArray[np.float64], features: Features, labelled: Features, random: Random
) -> NDArray[np.int64]:
    return select(probabilities, STEP).chosen


def by_diversity(
    probabilities: NDArray[np.float64], features: Features, labelled: Features, random: Random, proposed: int
) -> NDArray[np.int64]:
    """Among `proposed` times as many of the most uncertain ones, those that are unlike each other and the labelled."""
    candidates = select(probabilities, proposed * STEP).chosen
    return candidates[k_centre(features[candidates], STEP, labelled)]


STRATEGIES: dict[str, Strategy] = {
    "random": by_chance,
    "margin": by_margin,  # what `lenslet label next` does
    "k-centre of 2": partial(by_diversity, proposed=2),
    "k-centre of 5": partial(by_diversity, proposed=5),
}


def k_centre(features: Features, count: int, labelled: Features) -> NDArray[np.int64]:
    """Greedy k-centre: each next photo is the one furthest from all that are chosen or labelled (Gonzalez 1985).

    Distances are Euclidean between features of length 1. Returns: positions in `features`, shape (count,).
    """
    points = of_length_one(features)
    nearest = distances(points, of_length_one(labelled))
    chosen: list[int] = []
    for _ in range(min(count, len(points))):
        number = int(nearest.argmax())
        chosen.append(number)
        nearest = np.minimum(nearest, distances(points, points[number : number + 1]))
        nearest[number] = -np.inf
    return np.array(chosen, np.int64)


def of_length_one(features: Features) -> Features:
    scaled: Features = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    return scaled


def distances(points: Features, others: Features) -> Features:
    """Distance of each point to the nearest of `others`, all of length 1."""
    closest: Features = np.sqrt(np.maximum(2 - 2 * (points @ others.T).max(axis=1), 0))
    return closest


def main(argv: list[str] | None = None) -> None:
    arguments = read_arguments(argv)
    pool, targets, judged, truth = read_features(arguments)
    curves = {
        name: np.array(
            [
                simulate(strategy, pool, targets, judged, truth, arguments.labels, seed)
                for seed in tqdm(range(arguments.seeds), name, leave=False)
            ]
        )
        for name, strategy in STRATEGIES.items()
    }
    print(table(curves))
    if arguments.json:
        found = {name: curve.tolist() for name, curve in curves.items()}
        write_text(arguments.json, json.dumps(found, indent=2) + "\n")


def read_features(
    arguments: argparse.Namespace,
) -> tuple[Features, NDArray[np.int64], Features, NDArray[np.int64]]:
    """Features and class indices of the training photos, which the simulation labels, and of the validation photos."""
    from lenslet.network.backbones import build_backbone
    from lenslet.training.features import features_by_split

    params = read_params(arguments.params).train
    params = replace(params, backbone=replace(params.backbone, weights=arguments.weights))
    dataset = read_dataset(arguments.data, params, arguments.cache)
    params = sized(params, dataset)
    found = features_by_split(
        build_backbone(params.backbone), dataset, params, ("train", "validation"), arguments.cache
    )
    scale = found["train"].std()
    pool, judged = found["train"] / scale, found["validation"] / scale
    return (
        pool,
        dataset.targets[dataset.members("train")],
        judged,
        dataset.targets[dataset.members("validation")],
    )


def simulate(
    strategy: Strategy,
    pool: Features,
    targets: NDArray[np.int64],
    judged: Features,
    truth: NDArray[np.int64],
    labels: int,
    seed: int,
) -> list[float]:
    """Accuracy on the validation photos with STEP, 2 × STEP, … `labels` labels."""
    random = np.random.default_rng(seed)
    labelled = random.choice(len(pool), STEP, replace=False)
    accuracies = []
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a fit that stops at its last iteration is good enough here
            head = LogisticRegression(C=STRENGTH, tol=1e-2, max_iter=60)
            head.fit(pool[labelled], targets[labelled])
        accuracies.append(float(np.mean(head.predict(judged) == truth)))
        if len(labelled) >= labels:
            return accuracies
        rest = np.setdiff1d(np.arange(len(pool)), labelled)
        chosen = strategy(head.predict_proba(pool[rest]), pool[rest], pool[labelled], random)
        labelled = np.concatenate([labelled, rest[chosen]])


def table(curves: dict[str, NDArray[np.float64]]) -> str:
    lines = [f"{'labels':>7}" + "".join(f"{name:>18}" for name in curves)]
    for number in range(len(next(iter(curves.values()))[0])):
        cells = [f"{curve[:, number].mean():.4f} ± {curve[:, number].std():.4f}" for curve in curves.values()]
        lines.append(f"{STEP * (number + 1):>7}" + "".join(f"{cell:>18}" for cell in cells))
    goal = curves["random"][:, -1].mean()
    lines.append(f"labels for the {goal:.4f} that random sampling has at the end:")
    for name, curve in curves.items():
        reached = np.flatnonzero(curve.mean(axis=0) >= goal)
        needed = f"{STEP * (reached[0] + 1):,}" if len(reached) else "not reached"
        lines.append(f"  {name:<10}{needed}")
    return "\n".join(lines)


def read_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = bench_parser("active_learning", __doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of labelled photos")
    add("--params", type=Path, default=Path("params.yaml"), help="default: %(default)s")
    add("--weights", default="imagenet", help="of the backbone in params.yaml (%(default)s)")
    add("--cache", type=Path, default=Path(".cache"), help="decoded photos, features (%(default)s)")
    add("--labels", type=at_least_one, default=1200, metavar="N", help="budget at the end (%(default)s)")
    add(
        "--seeds",
        type=at_least_one,
        default=5,
        metavar="N",
        help="simulations of each strategy (%(default)s)",
    )
    add("--json", type=Path, metavar="FILE", help="write the accuracies here too")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()

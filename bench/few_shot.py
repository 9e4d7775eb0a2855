"""Backbones compared as frozen feature extractors on few photos: which one is the best start for a new folder.

    python -m bench.few_shot --data photos/dishes/train --backbones efficientnet_lite0@192 mobilenet_v2@224

For each number of photos a class, several draws: a logistic regression on pooled features, its strength chosen by
five-fold cross-validation, judged by the photos of the folder that were not drawn. Prints a row a backbone.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.console import at_least_one, bench_parser
from lenslet.config import BackboneParams, read_params
from lenslet.dataset.reading import read_dataset
from lenslet.evaluation.metrics import accuracy
from lenslet.training.features import LabelledFeatures
from lenslet.training.logistic_head import fit_logistic_head


def main(argv: list[str] | None = None) -> int:
    parser = bench_parser("few_shot", __doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="a folder per class; every photo of it is used")
    add("--backbones", nargs="+", required=True, help="name@pixels, of lenslet/network/backbones.py")
    add("--photos", nargs="+", type=at_least_one, default=[10, 30], help="a class, to fit (%(default)s)")
    add("--draws", type=at_least_one, default=5, help="of each number of photos (%(default)s)")
    add("--cache", type=Path, default=Path(".cache"), help="decoded photos, features (%(default)s)")
    arguments = parser.parse_args(argv)
    print(
        f"{'accuracy, mean of ' + str(arguments.draws):28}"
        + "".join(f"{each:>8}" for each in arguments.photos)
    )
    for backbone in arguments.backbones:
        features, targets = features_of(arguments.data, backbone, arguments.cache)
        means = [mean_accuracy(features, targets, each, arguments.draws) for each in arguments.photos]
        print(f"{backbone:28}" + "".join(f"{mean:8.3f}" for mean in means), flush=True)
    return 0


def features_of(data: Path, backbone: str, cache: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Pooled features (photos, channels) and class indices of every photo of the folder."""
    from lenslet.network.assembly import build_feature_extractor
    from lenslet.network.backbones import build_backbone
    from lenslet.training.features import cached_features

    name, _, pixels = backbone.partition("@")
    shipped = read_params(Path("params.yaml")).train
    params = replace(shipped, image_size=int(pixels), backbone=BackboneParams(name, "imagenet", 0))
    dataset = read_dataset(data, params, cache)
    extractor = build_feature_extractor(build_backbone(params.backbone), params)
    members = np.arange(len(dataset.photos))
    return cached_features(extractor, dataset, members, cache), dataset.targets


def mean_accuracy(
    features: NDArray[np.float32], targets: NDArray[np.int64], photos: int, draws: int
) -> float:
    """Accuracy on the photos that are not drawn; the same draws for every backbone."""
    accuracies, classes = [], int(targets.max()) + 1
    for draw in range(draws):
        drawn = drawn_photos(targets, photos, seed=draw)
        (kernel, bias), _ = fit_logistic_head(LabelledFeatures(features[drawn], targets[drawn]), classes)
        accuracies.append(accuracy(targets[~drawn], features[~drawn] @ kernel + bias))
    return float(np.mean(accuracies))


def drawn_photos(targets: NDArray[np.int64], photos: int, seed: int) -> NDArray[np.bool_]:
    """Mask of `photos` photos of each class."""
    random, drawn = np.random.default_rng(seed), np.zeros(len(targets), bool)
    for label in np.unique(targets):
        members = np.flatnonzero(targets == label)
        if len(members) <= photos:
            sys.exit(f"bench.few_shot: a class of {len(members)} photos cannot give {photos} and be judged")
        drawn[random.choice(members, photos, replace=False)] = True
    return drawn


if __name__ == "__main__":
    sys.exit(main())

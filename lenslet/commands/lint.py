"""Find copies, leaks between splits, odd sizes, rare classes and doubtful labels in a folder of photos.

    lenslet lint my_photos

Prints the number of findings of each kind and the first of them; writes all of them to report/lint.csv. Labels are
checked with a linear model on the features of the backbone that params.yaml names, if its weights are at hand.
Exit code 2 if two splits share a photo, unless --allow-leaks is given. No photo is moved or deleted.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from lenslet.cli import parser_for
from lenslet.commands.options import add_options
from lenslet.config import BackboneParams, ParamsError, read_params
from lenslet.dataset.array_file import CacheFull
from lenslet.dataset.description import describe
from lenslet.dataset.lint import lint, report_findings
from lenslet.dataset.photos import SPLITS, DatasetError
from lenslet.dataset.reading import read_dataset
from lenslet.registry.mlflow_registry import RegistryError
from lenslet.registry.versions import weights_at_hand

SHOWN = 3  # findings of each kind


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        params = read_params(arguments.params).train
        dataset = read_dataset(arguments.folder, params, arguments.cache)
        print(describe(dataset))
        features = None
        if backbone := load_backbone(params.backbone, arguments.weights):
            from lenslet.training.features import features_by_split

            features = features_by_split(backbone, dataset, params, tuple(SPLITS), arguments.cache)
        findings = lint(dataset, arguments.cache, features)
        report_findings(findings, arguments.lint_csv, arguments.allow_leaks, SHOWN)
    except (CacheFull, DatasetError, ParamsError) as error:
        print(f"lenslet lint: {error}", file=sys.stderr)
        return 2
    return 0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = parser_for("lint", __doc__)
    parser.add_argument("folder", type=Path, help="folder of labelled photos")
    parser.add_argument(
        "--weights",
        help="instead of train.backbone.weights: imagenet, none, a .keras file, or registry:production",
    )
    add_options(parser, "--params", "--cache", "--allow-leaks", "--lint-csv")
    return parser.parse_args(argv)


def load_backbone(params: BackboneParams, wanted: str | None) -> Any:
    """The backbone of `params` with its weights, or with those `wanted`; None if there are none, with a sentence.

    Raises: DatasetError if the `wanted` weights cannot be loaded.
    """
    params = replace(params, weights=wanted or params.weights)
    if params.weights == "none":
        print("labels are not judged: that takes a backbone with weights")
        return None
    # Here, because it loads TensorFlow, which the other checks do without.
    from lenslet.network.backbones import WeightsUnavailable, build_backbone

    try:
        with weights_at_hand(params.weights) as weights:
            return build_backbone(replace(params, weights=weights))
    except (RegistryError, WeightsUnavailable) as error:
        if wanted:
            raise DatasetError(f"--weights {wanted} cannot be had: {error}") from error
        print(f"labels are not judged: {error}")
        return None


if __name__ == "__main__":
    sys.exit(main())

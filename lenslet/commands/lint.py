"""Find copies, leaks between splits, odd sizes, rare classes and doubtful labels in a folder of photos.

    lenslet lint my_photos

Prints the number of findings of each kind and the first of them; writes all of them to report/lint-my_photos/lint.csv,
and shows the pairs and doubtful photos as pictures in lint.html beside it. Labels are checked with a linear model on
the features of the backbone that params.yaml names, if its weights are at hand.
Exit code 2 if two splits share a photo and --leaks refuse is given. No photo is moved or deleted.
"""

from collections import Counter
from dataclasses import replace
from typing import Any

from lenslet.commands.options import DATA_OPTIONS, add_options, photo_place
from lenslet.commands.output import json_output
from lenslet.commands.parser import CommandParser, params_of, parser_for
from lenslet.commands.report_places import report_of_photos
from lenslet.commands.train_params import starting_from
from lenslet.config import BackboneParams

SHOWN = 3  # findings of each kind


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    params = params_of(arguments).train  # before the imports, which take seconds
    params = starting_from(arguments.weights or params.backbone.weights, params, arguments)

    from lenslet.dataset.description import describe
    from lenslet.dataset.image_size import sized
    from lenslet.dataset.lint import KINDS, lint, report_findings
    from lenslet.dataset.photos import SPLITS
    from lenslet.dataset.reading import read_dataset
    from lenslet.inference.atomic import probe_file, write_or_keep
    from lenslet.reporting.contact_sheet import write_contact_sheet

    lint_csv = arguments.lint_csv or report_of_photos(arguments.folder, "lint") / "lint.csv"
    probe_file(lint_csv, "--lint-csv")
    with json_output(arguments.json) as print_json:
        dataset = read_dataset(arguments.folder, params, arguments.cache)
        print(describe(dataset))
        params = sized(params, dataset)
        features = None
        if backbone := load_backbone(params.backbone, is_wanted=bool(arguments.weights)):
            from lenslet.training.features import features_by_split

            features = features_by_split(backbone, dataset, params, tuple(SPLITS), arguments.cache)
        findings = lint(dataset, arguments.cache, features)
        counts = Counter(finding.kind for finding in findings)
        splits = Counter(photo.split for photo in dataset.photos)
        print_json({"photos": splits, "findings": counts, "csv": lint_csv})
        sheet = lint_csv.with_suffix(".html")
        write_or_keep(
            lambda folder: write_contact_sheet(findings, KINDS, dataset.name_of, folder / sheet.name),
            sheet.parent,
        )
        print(f"pictures of them: {sheet}")
        report_findings(findings, lint_csv, params.leaks, SHOWN)
    return 0


def make_parser() -> CommandParser:
    parser = parser_for("lint", __doc__, sections=["train"])
    parser.add_argument("folder", type=photo_place, metavar="PLACE", help="folder, list or archive of photos")
    add_options(parser, "--weights", "--cache", *DATA_OPTIONS, "--lint-csv", "--json")
    return parser


def load_backbone(params: BackboneParams, is_wanted: bool) -> Any:
    """The backbone of `params` with its weights; None if there are none, with a sentence.

    Raises: DatasetError if weights that were wanted (--weights) cannot be loaded.
    """
    if params.weights == "none":
        print("labels are not checked: that takes a backbone with weights")
        return None
    # Here, because it loads TensorFlow, which the other checks do without.
    from lenslet.dataset.photos import DatasetError
    from lenslet.network.backbones import WeightsUnavailable, build_backbone
    from lenslet.registry.mlflow_registry import RegistryError
    from lenslet.registry.versions import weights_at_hand

    try:
        with weights_at_hand(params.weights) as weights:
            return build_backbone(replace(params, weights=weights))
    except (RegistryError, WeightsUnavailable) as error:
        if is_wanted:
            raise DatasetError(f"--weights {params.weights} cannot be had: {error}") from error
        print(f"labels are not checked: {error}")
        return None

"""Lint of the photos before a training: leaks between splits stop it, other findings are reported."""

from pathlib import Path

import keras

from lenslet.config import TrainParams
from lenslet.dataset.dataset import Dataset
from lenslet.dataset.lint import lint, mislabelled, out_of_fold_of, report_findings
from lenslet.training.cross_validation import cross_validated
from lenslet.training.features import features_by_split

LEARNED = ("train", "validation")  # there are no photos of the latter where cross-validation takes its place


def check_photos(
    dataset: Dataset,
    params: TrainParams,
    backbone: keras.Model | None,
    cache: Path,
    lint_csv: Path,
) -> dict[str, float]:
    """Print the findings and write them to `lint_csv`; labels are checked if there is a `backbone` with weights.

    Returns: `cross_validated` figures; empty without a backbone.
    Raises: DatasetError if splits share photos and train.leaks is refuse; CacheFull.
    """
    # Training does not look at the test photos, not even at their labels.
    findings = lint(dataset, cache, splits=LEARNED)
    is_refused = params.leaks == "refuse" and any(finding.kind == "leak" for finding in findings)
    found: dict[str, float] = {}
    learned = [split for split in LEARNED if len(dataset.members(split))]
    if backbone is None:
        print("labels are not checked: a training that starts from weights does that")
    elif not is_refused:  # else the refusal comes first, before the backbone has run for a minute
        features = features_by_split(backbone, dataset, params, learned, cache)
        findings += mislabelled(dataset, features, cache)
        found = cross_validated(dataset, features, out_of_fold_of(dataset, features, cache))
    report_findings(findings, lint_csv, params.leaks)
    return found

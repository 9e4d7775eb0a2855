"""Measurements for a report: a classifier on the test photos of a dataset."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lenslet.dataset.dataset import Dataset, Pictures
from lenslet.dataset.description import NOT_SHOWN
from lenslet.dataset.lint import KINDS, Finding, lint
from lenslet.dataset.sampling import evenly_spaced
from lenslet.evaluation.metrics import accuracy
from lenslet.evaluation.runtime_check import check_runtime, corruption_accuracy
from lenslet.inference.classifier import Classifier
from lenslet.reporting.gallery import galleries
from lenslet.reporting.learning_curves import TrainingCurves
from lenslet.reporting.page import Background
from lenslet.reporting.report import CorruptionResults, Evidence


def measure_model(
    classifier: Classifier, dataset: Dataset, corruption_photos: int, megabytes: float
) -> Evidence:
    """Classify the test photos, and `corruption_photos` of them again under every corruption."""
    test = dataset.members("test")
    targets = dataset.targets[test]
    [check] = check_runtime([classifier], Pictures(dataset, test))
    some = evenly_spaced(len(test), corruption_photos)
    results = None
    if len(some):
        accuracies = corruption_accuracy(classifier, dataset.pixels[dataset.rows[test[some]]], targets[some])
        clean = accuracy(targets[some], check.probabilities[some])
        results = CorruptionResults(accuracies, len(some), clean)
    return Evidence(classifier.artifact, targets, check, megabytes, results)


def collect_background(
    classifier: Classifier,
    dataset: Dataset,
    evidence: Evidence,
    facts: Mapping[str, str],
    cache: Path,
    curves: TrainingCurves,
) -> Background:
    """Photos to look at and findings about all photos, with paths relative to the dataset's. Raises: CacheFull."""
    test = dataset.members("test")
    paths = [Path(dataset.name_of(dataset.photos[number].path)) for number in test]
    predictions = (evidence.targets, evidence.check.probabilities)
    rows = dataset.rows[test]
    shown = galleries(classifier, *predictions, paths, lambda number: dataset.pixels[rows[number]])
    # Without features, so that labels are not checked: the most confident mistakes show wrong ones.
    findings: dict[str, list[Finding]] = {}
    for each in lint(dataset, cache):
        if each.kind in NOT_SHOWN:
            continue
        other = Path(dataset.name_of(each.other)) if each.other else None
        relative = replace(each, path=Path(dataset.name_of(each.path)), other=other)
        findings.setdefault(f"{each.kind}: {KINDS[each.kind]}", []).append(relative)
    learned = Counter(photo.label for photo in dataset.photos if photo.split == "train")
    return Background(shown, findings, facts, curves, learned)

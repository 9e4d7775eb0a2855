"""The report of one evaluation: metrics, plots, and the files in its folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lenslet.evaluation.calibration import error_by_chance, reliability, without_temperature
from lenslet.evaluation.corruptions import robustness
from lenslet.evaluation.few_photos import PHOTOS_OF, are_few, carried
from lenslet.evaluation.metrics import (
    accuracy,
    accuracy_gain,
    bootstrap_interval,
    confusion,
    min_recall,
    roc_auc,
    share_interval,
)
from lenslet.evaluation.runtime_check import RuntimeCheck, served_metrics
from lenslet.inference.artifact import Artifact
from lenslet.inference.atomic import replacing, write_text
from lenslet.inference.printable import printable, printable_lines
from lenslet.reporting.learning_curves import learning_figure
from lenslet.reporting.page import Background, report_page
from lenslet.reporting.plots import (
    CHART_INCHES,
    confusion_figure,
    corruption_figure,
    precision_recall_figure,
    reliability_figure,
    roc_figure,
)

# Key → metric. Each has a 95 % interval: `accuracy_low` and `accuracy_high`.
WITH_INTERVAL = {
    "accuracy": accuracy,
    "accuracy_gain": accuracy_gain,
    "roc_auc": roc_auc,
    "min_recall": min_recall,
}


@dataclass(frozen=True)
class CorruptionResults:
    """Accuracies under corruption (`lenslet.evaluation.corruptions`) of some of the photos."""

    accuracies: Mapping[str, Sequence[float]]  # corruption → accuracy at severity 1 to 5
    photos: int  # that were corrupted
    clean: float  # accuracy on them without corruption


@dataclass(frozen=True)
class Evidence:
    """Measurements of a model on photos that did not train it."""

    artifact: Artifact
    targets: NDArray[np.int64]  # class indices, shape (photos,)
    check: RuntimeCheck
    megabytes: float  # of the served file
    corruption: CorruptionResults | None = None
    ood_auroc: Mapping[str, float] = field(default_factory=dict)  # OOD set → area under the ROC curve


def measured_metrics(evidence: Evidence) -> dict[str, float]:
    """Flat figures by the keys of `metric_table`; dotted keys are of one class, or of one corruption.

    Without those that so few photos cannot carry.
    """
    artifact, targets, check = evidence.artifact, evidence.targets, evidence.check
    before = without_temperature(check.probabilities, artifact.temperature)
    figures = served_metrics(
        artifact.labels, targets, check, artifact.conformal_threshold, artifact.conformal_alpha
    )
    figures |= {
        "accuracy_gain": accuracy_gain(targets, check.probabilities),
        "min_recall": min_recall(targets, check.probabilities),
        "agreement_with_keras": artifact.metrics["validation"]["agreement_with_keras"],
        "megabytes": evidence.megabytes,
        "ood_true_positive_rate": float(np.mean(check.ood_score <= artifact.ood_threshold)),
        "calibration_error": reliability(check.probabilities, targets).expected_error,
        "calibration_error_before": reliability(before, targets).expected_error,
        "calibration_error_chance": error_by_chance(check.probabilities),
    }
    for name, metric in WITH_INTERVAL.items():
        low, high = bootstrap_interval(metric, targets, check.probabilities)
        figures |= {f"{name}_low": low, f"{name}_high": high}
    if figures["accuracy"] in (0, 1):  # a bootstrap of photos that are all right has no width
        low, high = share_interval(figures["accuracy"], len(targets))
        figures |= {"accuracy_low": low, "accuracy_high": high}
    counted = np.bincount(targets, minlength=len(artifact.labels))
    figures |= {
        f"{PHOTOS_OF}{label}": float(each) for label, each in zip(artifact.labels, counted, strict=True)
    }
    figures |= {f"ood_auroc_{name}": area for name, area in evidence.ood_auroc.items()}
    figures |= _robustness_metrics(evidence.corruption) if evidence.corruption else {}
    return carried(figures)


def _robustness_metrics(results: CorruptionResults) -> dict[str, float]:
    figures = {"robustness_photos": float(results.photos), "robustness_clean": results.clean}
    for kind, accuracies in results.accuracies.items():
        figures |= {
            f"robustness.{kind}.{severity}": value for severity, value in enumerate(accuracies, start=1)
        }
    return figures | robustness(results.accuracies, results.clean)


def plots(evidence: Evidence) -> dict[str, Figure]:
    """Name → figure."""
    labels, targets = tuple(map(printable, evidence.artifact.labels)), evidence.targets
    probabilities = evidence.check.probabilities
    before = without_temperature(probabilities, evidence.artifact.temperature)
    bins = reliability(probabilities, targets), reliability(before, targets)
    drawn = {"confusion_matrix": confusion_figure(labels, confusion(len(labels), targets, probabilities))}
    if are_few({"photos": len(targets)}):
        return drawn
    drawn |= {
        "roc": roc_figure(labels, targets, probabilities),
        "precision_recall": precision_recall_figure(labels, targets, probabilities),
        "reliability": reliability_figure(*bins),
    }
    if evidence.corruption:
        results = evidence.corruption
        drawn["robustness"] = corruption_figure(results.accuracies, results.clean)
    return drawn


def write_report(
    evidence: Evidence,
    figures: Mapping[str, float],
    photos: Mapping[str, str],
    background: Background,
    folder: Path,
) -> list[str]:
    """Write `figures` (from `measured_metrics`), the plots and the page. Returns the names of the files.

    `photos`: their fingerprints. metrics.json names them and the model, so that the gate can check both.
    """
    artifact = evidence.artifact
    drawn = plots(evidence)
    if background.curves.step:
        drawn["learning_curves"] = learning_figure(background.curves, CHART_INCHES)
    for name, drawing in drawn.items():
        with replacing(folder / f"{name}.png") as temporary:
            drawing.savefig(temporary, dpi=150)
    content = {"model": artifact.name, "version": artifact.version, **photos, **figures}
    write_text(folder / "metrics.json", json.dumps(content, indent=2) + "\n")
    counts = confusion(len(artifact.labels), evidence.targets, evidence.check.probabilities)
    write_text(
        folder / "report.html", printable_lines(report_page(artifact, figures, counts, drawn, background))
    )
    return ["metrics.json", "report.html", *(f"{name}.png" for name in drawn)]

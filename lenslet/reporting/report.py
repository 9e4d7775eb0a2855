"""All evidence of one evaluation, as flat figures, as plots, and as files in a folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lenslet.evaluation.calibration import error_by_chance, reliability, without_temperature
from lenslet.evaluation.metrics import accuracy, bootstrap_interval, confusion, min_recall, roc_auc
from lenslet.evaluation.runtime_check import RuntimeCheck, figures_of
from lenslet.inference.artifact import Artifact
from lenslet.inference.atomic import replacing, write_text
from lenslet.reporting.page import Background, page
from lenslet.reporting.plots import (
    confusion_figure,
    ladder_figure,
    precision_recall_figure,
    reliability_figure,
    roc_figure,
)

# Figure → its metric. Each has a 95 % interval beside it: `accuracy_low` and `accuracy_high`.
WITH_INTERVAL = {"accuracy": accuracy, "roc_auc": roc_auc, "min_recall": min_recall}


@dataclass(frozen=True)
class Evidence:
    """What a model answered on photos that did not train it."""

    artifact: Artifact
    targets: NDArray[np.int64]  # class indices, shape (photos,)
    trial: RuntimeCheck
    ladder: Mapping[
        str, Sequence[float]
    ]  # kind of damage → accuracy at severity 1 to 5; empty if not climbed
    ladder_photos: int  # how many of the photos were damaged
    ladder_clean: float  # accuracy on these without damage
    megabytes: float  # of the served file
    ood_auroc: Mapping[str, float] = field(
        default_factory=dict
    )  # kind of stranger → area under the ROC curve


def figures(evidence: Evidence) -> dict[str, float]:
    """Flat keys with stable names; those with a dot belong to one class, or to one cell of the ladder."""
    artifact, targets, trial = evidence.artifact, evidence.targets, evidence.trial
    before = without_temperature(trial.probabilities, artifact.temperature)
    found = figures_of(artifact.labels, targets, trial, artifact.conformal_threshold)
    found |= {
        "min_recall": min_recall(targets, trial.probabilities),
        "agreement_with_keras": artifact.metrics["validation"]["agreement_with_keras"],
        "megabytes": evidence.megabytes,
        "ood_true_positive_rate": float(np.mean(trial.ood_score <= artifact.ood_threshold)),
        "calibration_error": reliability(trial.probabilities, targets).expected_error,
        "calibration_error_before": reliability(before, targets).expected_error,
        "calibration_error_chance": error_by_chance(trial.probabilities),
    }
    for name, metric in WITH_INTERVAL.items():
        low, high = bootstrap_interval(metric, targets, trial.probabilities)
        found |= {f"{name}_low": low, f"{name}_high": high}
    found |= {f"ood_auroc_{kind}": area for kind, area in evidence.ood_auroc.items()}
    return found | (_robustness(evidence) if evidence.ladder else {})


def _robustness(evidence: Evidence) -> dict[str, float]:
    """The accuracy in each cell of the ladder; means and the worst cell as shares of that without damage, if any."""
    ladder, clean = evidence.ladder, evidence.ladder_clean
    found = {"robustness_photos": float(evidence.ladder_photos), "robustness_clean": clean}
    cells = [value for accuracies in ladder.values() for value in accuracies]
    if clean:
        found |= {"robustness_mean": float(np.mean(cells)) / clean, "robustness_worst": min(cells) / clean}
    for kind, accuracies in ladder.items():
        found |= {f"robustness.{kind}.{step}": value for step, value in enumerate(accuracies, start=1)}
        if clean:
            found[f"robustness.{kind}.mean"] = float(np.mean(accuracies)) / clean
    return found


def plots(evidence: Evidence) -> dict[str, Figure]:
    """Name → picture."""
    labels, targets = evidence.artifact.labels, evidence.targets
    probabilities = evidence.trial.probabilities
    before = without_temperature(probabilities, evidence.artifact.temperature)
    bins = reliability(probabilities, targets), reliability(before, targets)
    with matplotlib.rc_context({"text.parse_math": False}):  # a class may be called $5 or 10$
        drawn = {
            "confusion_matrix": confusion_figure(labels, confusion(len(labels), targets, probabilities)),
            "roc": roc_figure(labels, targets, probabilities),
            "precision_recall": precision_recall_figure(labels, targets, probabilities),
            "reliability": reliability_figure(*bins),
        }
        if evidence.ladder:
            drawn["robustness"] = ladder_figure(evidence.ladder, evidence.ladder_clean)
    return drawn


def table(found: Mapping[str, float], labels: Sequence[str]) -> str:
    """For the screen: overall figures, then precision, recall and F1 of each class."""
    lines = [f"{key:<26}{value:>10.4f}" for key, value in found.items() if "." not in key]
    width = max(len(label) for label in (*labels, "class"))
    lines += ["", f"{'class':<{width}}" + "".join(f"{name:>11}" for name in ("precision", "recall", "f1"))]
    for label in labels:
        values = (found[f"{name}.{label}"] for name in ("precision", "recall", "f1"))
        lines.append(f"{label:<{width}}" + "".join(f"{value:>11.4f}" for value in values))
    return "\n".join(lines)


def write_report(
    evidence: Evidence,
    found: Mapping[str, float],
    photos: Mapping[str, str],
    background: Background,
    folder: Path,
) -> list[str]:
    """Write `found` (from `figures`), the plots and the page. Returns the names of the files.

    `photos`: their fingerprints. metrics.json names them and the model, so that the gate knows what it judges.
    """
    artifact = evidence.artifact
    drawn = plots(evidence)
    for name, figure in drawn.items():
        with replacing(folder / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=150)
    content = {"model": artifact.name, "version": artifact.version, **photos, **found}
    write_text(folder / "metrics.json", json.dumps(content, indent=2) + "\n")
    counts = confusion(len(artifact.labels), evidence.targets, evidence.trial.probabilities)
    write_text(folder / "report.html", page(artifact, found, counts, drawn, background))
    return ["metrics.json", "report.html", *(f"{name}.png" for name in drawn)]

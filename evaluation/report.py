"""All evidence of one evaluation, as flat figures, as plots, and as files in a folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evaluation.calibration import reliability, without_temperature
from evaluation.metrics import accuracy, bootstrap_interval, confusion
from evaluation.plots import confusion_figure, ladder_figure, reliability_figure, roc_figure
from evaluation.trial import Trial, figures_of
from inference.artifact import Artifact
from inference.atomic import replacing, write_text


@dataclass(frozen=True)
class Evidence:
    """What a model answered on photos that did not train it."""

    artifact: Artifact
    targets: NDArray[np.int64]  # class indices, shape (photos,)
    trial: Trial
    ladder: Mapping[
        str, Sequence[float]
    ]  # kind of damage → accuracy at severity 1 to 5; empty if not climbed
    ladder_clean: float  # accuracy on the same photos without damage
    megabytes: float  # of the served file


def figures(evidence: Evidence) -> dict[str, float]:
    """Flat keys with stable names; those with a dot belong to one class, or to one cell of the ladder."""
    artifact, targets, trial = evidence.artifact, evidence.targets, evidence.trial
    low, high = bootstrap_interval(accuracy, targets, trial.probabilities)
    before = without_temperature(trial.probabilities, artifact.temperature)
    found = figures_of(artifact.labels, targets, trial, artifact.conformal_threshold)
    found |= {
        "worst_recall": min(found[f"recall.{label}"] for label in artifact.labels),
        "agreement_with_keras": artifact.metrics["validation"]["agreement_with_keras"],
        "megabytes": evidence.megabytes,
        "accuracy_low": low,
        "accuracy_high": high,
        "calibration_error": reliability(trial.probabilities, targets).expected_error,
        "calibration_error_before": reliability(before, targets).expected_error,
    }
    cells = {
        f"robustness.{kind}.{severity}": value
        for kind, values in evidence.ladder.items()
        for severity, value in enumerate(values, start=1)
    }
    if cells:
        found["robustness_mean"] = float(np.mean(list(cells.values()))) / evidence.ladder_clean
        found["robustness_worst"] = min(cells.values()) / evidence.ladder_clean
    return found | cells


def plots(evidence: Evidence) -> dict[str, Figure]:
    """File name → picture."""
    labels, targets = evidence.artifact.labels, evidence.targets
    probabilities = evidence.trial.probabilities
    drawn = {
        "confusion_matrix.png": confusion_figure(labels, confusion(len(labels), targets, probabilities)),
        "roc.png": roc_figure(labels, targets, probabilities),
        "reliability.png": reliability_figure(reliability(probabilities, targets)),
    }
    if evidence.ladder:
        drawn["robustness.png"] = ladder_figure(evidence.ladder, evidence.ladder_clean)
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


def write_report(evidence: Evidence, folder: Path) -> list[str]:
    """Write metrics.json and the plots. Returns the names of the files."""
    drawn = plots(evidence)
    for name, figure in drawn.items():
        with replacing(folder / name) as temporary:
            figure.savefig(temporary, dpi=150)
    write_text(folder / "metrics.json", json.dumps(figures(evidence), indent=2) + "\n")
    return ["metrics.json", *drawn]

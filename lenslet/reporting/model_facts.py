"""Facts of model.json in words, for the report and the model card."""

from lenslet.evaluation.calibration import guaranteed_coverage
from lenslet.inference.artifact import Artifact


def coverage_guarantee(artifact: Artifact) -> float:
    """The share of photos whose prediction set is guaranteed to contain the true label."""
    return guaranteed_coverage(artifact.conformal_alpha, artifact.metrics["validation"]["photos"])


def model_facts(artifact: Artifact) -> dict[str, str]:
    """Fact → value, one line each."""
    return {
        "name": artifact.name,
        "version": artifact.version,
        "labels": ", ".join(artifact.labels),
        "input": f"{artifact.image_size} × {artifact.image_size} pixels RGB, {artifact.resize}",
        "precision": f"{artifact.precision}, chosen on {artifact.runtime}",
        "temperature": f"{artifact.temperature:.3f}",
        "prediction sets": f"labels with a probability of at least {artifact.conformal_threshold:.3f}; "
        f"they contain the true label of {coverage_guarantee(artifact):.0%} of photos",
        "in distribution": f"photos with an OOD score (energy) of at most {artifact.ood_threshold:.2f}",
    }

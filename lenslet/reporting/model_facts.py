"""Facts of model.json in words, for the report and the model card."""

import math
from collections.abc import Mapping
from typing import Any

from lenslet.evaluation.calibration import guaranteed_coverage
from lenslet.evaluation.metrics import share_interval
from lenslet.inference.artifact import Artifact


def title_of(split: str, figures: Mapping[str, Any]) -> str:
    """What figures of `metrics` are called: without validation photos, cross-validation takes their place."""
    return "cross-validated" if split == "validation" and "folds" in figures else split.replace("_", " ")


def cross_validated_figures(artifact: Artifact) -> Mapping[str, float]:
    """Of the model's own kind, out of fold, or of a simpler model, with an interval; empty if there are none."""
    own: Mapping[str, float] = artifact.metrics.get("validation", {})
    if "folds" not in own:
        other: Mapping[str, float] = artifact.metrics.get("cross_validation", {})
        return other
    low, high = share_interval(own["accuracy"], own["photos"])
    return {**own, "accuracy_low": low, "accuracy_high": high}


def coverage_guarantee(artifact: Artifact) -> float:
    """The share of photos whose prediction set is guaranteed to contain the true label."""
    return guaranteed_coverage(artifact.conformal_alpha, artifact.metrics["validation"]["photos"])


def coverage_sentence(artifact: Artifact) -> str:
    """Coverage of the prediction sets in words, and why it is no higher than the validation photos allow.

    Of out-of-fold answers (cross-conformal prediction: Vovk 2015) it is what is to be expected, without a guarantee.
    """
    photos, wanted = artifact.metrics["validation"]["photos"], 1 - artifact.conformal_alpha
    least = coverage_guarantee(artifact)
    if "folds" in artifact.metrics["validation"]:
        words = f"they contain the true label of about {math.floor(100 * least + 1e-9)}% of photos"
        return f"{words}, cross-validated over {photos:,.0f} photos"
    if least >= wanted:
        return f"they contain the true label of at least {least:.0%} of photos"
    words = f"they contain the true label of at least {math.floor(100 * least)}% of photos"
    needed = math.ceil(1 / artifact.conformal_alpha) - 1
    return (
        f"{words}, the most that {photos:,.0f} validation photos can guarantee ({wanted:.0%} takes {needed})"
    )


def explanation_fact(judged: Mapping[str, Any]) -> str:
    """The kind that the model serves, and how it did beside a circle at the centre of the picture."""
    if "kind" not in judged:
        return "activation map, not judged"
    if judged["kind"] is None:
        return "none: no kind says more than a circle at the centre of the picture"
    deletion, circle = judged["deletion"], judged["circle_deletion"]
    return (
        f"{judged['kind'].replace('_', ' ')}: blurring what it names lowers the margin of the label by {deletion:.2f}, "
        f"a circle at the centre by {circle:.2f} ({judged['photos']} photos)"
    )


def model_facts(artifact: Artifact) -> dict[str, str]:
    """Fact → value, one line each."""
    return {
        "name": artifact.name,
        "version": artifact.version,
        "labels": ", ".join(artifact.labels),
        "input": f"{artifact.image_size} × {artifact.image_size} pixels RGB, {artifact.resize}",
        "precision": f"{artifact.precision}, chosen on {artifact.runtime}",
        "temperature": f"{artifact.temperature:.3f}",
        "prediction sets": f"labels with a probability of at least {artifact.conformal_threshold:.3f}, and at least so "
        f"many that they add up to {1 - artifact.conformal_alpha:.0%}; {coverage_sentence(artifact)}",
        "in distribution": f"photos with an OOD score ({artifact.ood_kind.replace('_', ' ')}) of at most "
        f"{artifact.ood_threshold:.2f}",
        "explanation": explanation_fact(artifact.explanation),
    }

"""report.html: the figures of an evaluation in sentences and tables, with plots and photos, in one HTML file."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import NamedTuple

import jinja2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lenslet.dataset.lint import Finding
from lenslet.evaluation.few_photos import (
    MIN_CLASS_PHOTOS,
    MIN_TEST_PHOTOS,
    PHOTOS_OF,
    are_few,
    untested_classes,
)
from lenslet.evaluation.metric_table import CLASS_METRICS, METRICS, interval_text
from lenslet.evaluation.metrics import share_interval
from lenslet.inference.artifact import Artifact
from lenslet.reporting.confusions import CLASSES_SHOWN, most_confused
from lenslet.reporting.gallery import Exhibit
from lenslet.reporting.learning_curves import TrainingCurves, training_sentences
from lenslet.reporting.model_facts import coverage_sentence, cross_validated_figures, model_facts
from lenslet.reporting.next_steps import confused_pairs, next_steps
from lenslet.reporting.plots import svg


@dataclass(frozen=True)
class Background:
    """Content of the page beside the figures; each part may be empty."""

    galleries: Mapping[str, Sequence[Exhibit]]  # heading → photos
    findings: Mapping[str, Sequence[Finding]]  # heading → findings about photos, the worst first
    facts: Mapping[str, str]  # how the model was trained, and on which photos it was evaluated
    curves: TrainingCurves = field(default_factory=TrainingCurves)
    learned: Mapping[str, int] = field(default_factory=dict)  # label → number of training photos


class Section(NamedTuple):
    """One section of the page, with the metrics of its topic; report.html adds more by `topic`."""

    topic: str  # of METRICS; also the HTML id
    title: str
    text: str
    plots: tuple[str, ...] = ()  # keys of `plots`


FINDINGS_SHOWN = 5  # of each kind; the rest is counted
HEADLINES = ("accuracy", "min_recall", "roc_auc", "calibration_error", "robustness_mean", "time_ms")
SECTIONS = (
    Section(
        "accuracy",
        "Accuracy",
        "Ranges are 95 % confidence intervals: the fewer photos, the wider.",
        ("roc", "precision_recall"),
    ),
    Section(
        "calibration",
        "Calibration",
        "Of the predictions with a probability of 80 %, 80 in 100 should be right. In the diagram, bars and dots "
        "should lie on the diagonal.",
        ("reliability",),
    ),
    Section(
        "prediction-sets",
        "Prediction sets",
        "Beside its top label, the model names every label that the photo may well have: these are prediction sets.",
    ),
    Section(
        "ood",
        "Out-of-distribution photos",
        "With each answer, is_in_distribution says whether the photo resembles the training photos. AUROC measures how "
        "well that separates them from pictures of none of the classes: 1 is perfect, 0.5 is chance. Pictures that "
        "resemble a class, such as a drawing of it, are not detected.",
    ),
    Section(
        "robustness",
        "Robustness",
        "Accuracy when the photos are corrupted, from severity 1 (slightly) to 5 (badly).",
    ),
    Section("training", "Training", "", ("learning_curves",)),
    Section("photos", "Photos to look at", "As the model sees them, squashed to a square."),
    Section(
        "data",
        "Findings about the photos",
        "Of the whole folder, training photos included: copies, leaks between splits, odd sizes, unreadable files. "
        "Labels that may be wrong are not searched for here; lenslet lint finds them.",
    ),
    Section("speed", "Speed and size", ""),
    Section("model", "The model", ""),
)
PLOT_ALTS = {
    "learning_curves": "Learning curves: loss and accuracy of training and validation photos by epoch",
    "roc": "ROC curves: true positive rate against false positive rate, one class against the rest",
    "precision_recall": "Precision–recall curves, one class against the rest",
    "reliability": "Reliability diagram: accuracy by the probability of the top label, "
    "before and after temperature scaling",
}


def few_sentences(figures: Mapping[str, float], cross_validated: Mapping[str, float]) -> list[str]:
    """Summary for fewer test photos than an accuracy needs."""
    photos = round(figures["photos"])
    right = round(figures["accuracy"] * photos)
    low, high = share_interval(figures["accuracy"], photos)
    sentences = [
        f"{photos} test photos are too few for an accuracy: {right} of them got the right label, so it may be anything "
        f"from {100 * low:.0f} to {100 * high:.0f} %."
    ]
    if cross_validated:
        low, high = cross_validated["accuracy_low"], cross_validated["accuracy_high"]
        sentences.append(
            f"Cross-validated on the {cross_validated['photos']:,.0f} other photos, a model of the same kind, or a "
            f"simpler one, is right for about {100 * cross_validated['accuracy']:.0f} of 100 "
            f"(95 % interval: {100 * low:.0f} to {100 * high:.0f})."
        )
    return [*sentences, f"With {MIN_TEST_PHOTOS} test photos or more, this page shows all figures."]


def summary_sentences(
    figures: Mapping[str, float], labels: Sequence[str], cross_validated: Mapping[str, float] | None = None
) -> list[str]:
    """The main figures in sentences that need no explanation.

    `cross_validated`: as `cross_validated_figures` gives them, for models with few test photos.
    """
    if are_few(figures):
        return few_sentences(figures, cross_validated or {})
    found = {label: figures[f"recall.{label}"] for label in labels if f"recall.{label}" in figures}
    weakest = min(found, key=lambda label: found[label], default="")
    sentences = [
        f"Of 100 new photos, {_of_hundred(figures['accuracy'])} get the right label ({_interval_words(figures)})."
    ]
    if found and found[weakest] < 1:
        tested = figures.get(f"{PHOTOS_OF}{weakest}")
        recall = f"{tested * found[weakest]:.0f} of {tested:.0f}" if tested else f"{found[weakest]:.0%}"
        sentences.append(f"Photos of {weakest} are found least often: {recall}.")
    if "robustness_mean" in figures:
        kept, photos = f"{100 * figures['robustness_mean']:.0f}", f"{figures['robustness_photos']:,.0f}"
        sentences.append(
            f"Under noise, blur and other corruptions, applied to {photos} of the photos, the model keeps {kept} % of "
            "its accuracy on them."
        )
    return sentences


def _interval_words(figures: Mapping[str, float]) -> str:
    """The uncertainty of the accuracy that comes from the number of photos."""
    low, high = (f"{100 * figures[f'accuracy_{end}']:.0f}" for end in ("low", "high"))
    # Without mistakes a bootstrap has no width; the exact binomial bound has ("rule of three").
    if figures["accuracy"] == 1:
        at_most = f"{100 * (1 - 0.05 ** (1 / figures['photos'])):.0f}"
        return f"none of {figures['photos']:,.0f} was wrong, so at most {at_most} in 100 are, with 95 % confidence"
    return f"95 % interval: {low if low == high else f'{low} to {high}'}"


def _of_hundred(share: float) -> str:
    if 0.995 <= share < 1:
        return "more than 99"  # "100" would mean that there are no mistakes
    return f"about {100 * share:.0f}"


def confusions(labels: Sequence[str], counts: NDArray[np.int64], most: int = 3) -> list[str]:
    """The most frequent confusions in words; `counts` as returned by `metrics.confusion`."""
    mistakes = np.where(np.eye(len(labels), dtype=bool), 0, counts)
    worst = np.argsort(-mistakes, axis=None, kind="stable")[:most]
    places = (np.unravel_index(place, counts.shape) for place in worst if mistakes.flat[place])
    return [
        f"{labels[true]} classified as {labels[predicted]} ({counts[true, predicted]:,} of {counts[true].sum():,})"
        for true, predicted in places
    ]


def corruption_rows(figures: Mapping[str, float]) -> dict[str, list[float]]:
    """Corruption → accuracy without it, then at each severity; empty if corruptions were not evaluated."""
    rows: dict[str, list[float]] = {}
    for key, value in figures.items():
        if key.startswith("robustness.") and not key.endswith(".mean"):
            _, kind, _ = key.split(".")
            rows.setdefault(kind, [figures["robustness_clean"]]).append(value)
    return rows


def report_page(
    artifact: Artifact,
    figures: Mapping[str, float],
    counts: NDArray[np.int64],
    drawn: Mapping[str, Figure],
    background: Background,
) -> str:
    """A self-contained HTML page.

    Args: the metrics and plots of `lenslet.reporting.report`; `counts` as returned by `metrics.confusion`.
    """
    shown = {name for section in SECTIONS for name in section.plots if name in drawn}
    few = are_few(figures)
    left_out = {"calibration", "ood", "robustness"} if few else set()
    left_out |= set() if background.curves.step else {"training"}
    return _template().render(
        artifact=artifact,
        figures=figures,
        interval=lambda key: interval_text(figures, key),
        summary=summary_sentences(figures, artifact.labels, cross_validated_figures(artifact)),
        headlines=[key for key in HEADLINES if key in figures and not few],
        few=few,
        sections=[each for each in SECTIONS if each.topic not in left_out],
        steps=next_steps(figures, artifact.labels, counts, background.learned),
        training=training_sentences(background.curves),
        pairs=confused_pairs(artifact.labels, counts) if len(artifact.labels) > CLASSES_SHOWN else [],
        rows={section.topic: _metrics_of(section.topic, figures) for section in SECTIONS},
        counts=counts.tolist(),
        photos=counts.sum(axis=1).tolist(),
        small=untested_classes(figures),
        confused=most_confused(counts).tolist(),
        confusions=confusions(artifact.labels, counts),
        corruptions=corruption_rows(figures),
        coverage_sentence=coverage_sentence(artifact),
        pictures={name: _data_uri("svg+xml", svg(drawn[name]).encode()) for name in shown},
        background=background,
        has_maps=any(each.has_map for shown in background.galleries.values() for each in shown),
        facts=model_facts(artifact) | dict(background.facts),
        today=date.today().isoformat(),
    )


def _template() -> jinja2.Template:
    """report.html, with all that is the same on every page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"metrics": METRICS, "class_metrics": CLASS_METRICS, "plot_alts": PLOT_ALTS}
    environment.globals |= {
        "least": MIN_TEST_PHOTOS,
        "least_of_class": MIN_CLASS_PHOTOS,
        "findings_shown": FINDINGS_SHOWN,
    }
    environment.globals["jpeg"] = lambda data: _data_uri("jpeg", data)
    return environment.get_template("report.html")


def _metrics_of(topic: str, figures: Mapping[str, float]) -> list[str]:
    """Keys of the measured metrics that a section shows; the photos are counted at the top of the page."""
    hidden = ("photos", "accuracy") if are_few(figures) else ("photos",)
    return [
        key
        for key, metric in METRICS.items()
        if metric.topic == topic and key in figures and key not in hidden
    ]


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"

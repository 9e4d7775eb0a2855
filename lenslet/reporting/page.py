"""The page that people read: figures in sentences and tables, plots and photos, in one HTML file."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

import jinja2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lenslet.evaluation.calibration import promised_coverage
from lenslet.inference.artifact import Artifact
from lenslet.reporting.gallery import Exhibit
from lenslet.reporting.plots import svg


class Finding(NamedTuple):
    """Something odd about a photo itself."""

    detail: str
    photo: str
    other: str = ""  # the photo that it is odd beside


@dataclass(frozen=True)
class Background:
    """What the page shows beside the figures; each part may be empty."""

    galleries: Mapping[str, Sequence[Exhibit]]  # heading → photos
    findings: Mapping[str, Sequence[Finding]]  # what is odd → the photos, the worst first
    facts: Mapping[str, str]  # how the model came to be, and what it was judged on


class Row(NamedTuple):
    """One line of a table of the page; left out where the evaluation did not find the figure."""

    figure: str
    name: str
    form: str
    meaning: str = ""


class Section(NamedTuple):
    """One heading of the page. What cannot be said in rows and plots stands in report.html under the same id."""

    id: str
    title: str
    words: str
    rows: tuple[Row, ...] = ()
    plots: tuple[str, ...] = ()  # keys of `plots`


FINDINGS_SHOWN = 5  # of each kind; the rest is counted
PERCENT, NUMBER = "{:.1%}", "{:.4f}"
STRANGERS_ARE = {
    "noise": "independent pixels",
    "plain": "one colour",
    "drawings": "charts and doodles",
    "text": "pages of words",
    "photos": "those of the folder given with --ood",
}
HEADLINES = (
    Row("accuracy", "get the right label", PERCENT),
    Row("min_recall", "of the worst class are found", PERCENT),
    Row("roc_auc", "area under the ROC curve", NUMBER),
    Row("calibration_error", "calibration error", NUMBER),
    Row("robustness_mean", "of its accuracy kept under damage", PERCENT),
    Row("time_ms", "per photo, one thread", "{:.1f} ms"),
)
SECTIONS = (
    Section(
        "right",
        "How often it is right",
        "The intervals hold the figure of all such photos in 95 of 100 evaluations: the fewer photos, the wider.",
        (
            Row("accuracy", "accuracy", NUMBER, "share of photos with the right label on top"),
            Row("min_recall", "worst recall", NUMBER, "of the class that is found least often"),
            Row("macro_f1", "macro F1", NUMBER, "precision and recall together, every class counting alike"),
            Row("roc_auc", "ROC AUC", NUMBER, "0.5 is guessing; mean of each class against the rest"),
            Row("agreement_with_keras", "agreement with Keras", NUMBER, "same top label; of the validation photos"),
        ),
        ("roc", "precision_recall"),
    ),
    Section(
        "believed",
        "Can its probabilities be believed?",
        "Of the answers given with 80 %, 80 in 100 should be right: bars and dots should lie on the diagonal.",
        (
            Row("calibration_error", "calibration error", NUMBER, "mean distance from the diagonal, as served"),
            Row("calibration_error_chance", "by chance", NUMBER, "exact ones show less in 95 of 100 evaluations"),
            Row("calibration_error_before", "before temperature", NUMBER, "the same without temperature scaling"),
            Row("log_loss", "log loss", NUMBER, "0 is always right and certain of it"),
        ),
        ("reliability",),
    ),
    Section(
        "sets",
        "Prediction sets",
        "Beside its top label, the model names every label that the photo may well have.",
        (
            Row("coverage", "coverage", PERCENT, "share of sets that hold the true label"),
            Row("mean_set_size", "labels per set", "{:.3f}", "1 is a single answer"),
        ),
    ),
    Section(
        "strangers",
        "Pictures of something else",
        "Answers say is_in_distribution: whether the picture resembles the training photos. How well that tells "
        "them from pictures of none of the classes, as the area under the ROC curve: 1 is perfect, 0.5 is guessing. It "
        "is a hint: what looks like a class, a drawing of it for instance, passes for it.",
        (
            Row("ood_true_positive_rate", "test photos", PERCENT, "share that counts as familiar, as it should"),
            *(Row(f"ood_auroc_{kind}", f"from {kind}", "{:.3f}", what) for kind, what in STRANGERS_ARE.items()),
        ),
    ),
    Section(
        "damage",
        "Under damage",
        "Accuracy when the photos are damaged more and more, from 1 (slightly) to 5 (badly).",
        (
            Row("robustness_clean", "without damage", PERCENT, "accuracy on the photos that were damaged then"),
            Row("robustness_mean", "mean", PERCENT, "accuracy under damage, of that without"),
            Row("robustness_worst", "worst", PERCENT, "the same, in the worst cell of the table"),
        ),
    ),
    Section(
        "photos",
        "Photos worth a look",
        "As the model sees them, squashed to a square.",
    ),
    Section(
        "data",
        "Odd about the photos themselves",
        "In the whole folder, training photos too: copies, leaks between splits, odd sizes, unreadable files. Which "
        "labels of the training photos may be wrong was not asked here; lenslet lint says it.",
    ),
    Section(
        "speed",
        "Speed and size",
        "",
        (
            Row("time_ms", "time per photo", "{:.1f} ms", "median, one thread, this machine, without decoding"),
            Row("megabytes", "model file", "{:.1f} MB", "what the function loads"),
        ),
    ),
    Section("model", "The model", ""),
)  # fmt: skip
PLOTS_SAY = {
    "roc": "ROC curves: true positive rate against false positive rate, one class against the rest",
    "precision_recall": "Precision–recall curves, one class against the rest",
    "reliability": "Reliability diagram: share of right answers by the probability of the top label, "
    "before and after temperature scaling",
}


def summary(found: Mapping[str, float], labels: Sequence[str]) -> list[str]:
    """The figures in sentences that need no other word of this report."""
    weakest = min(labels, key=lambda label: found[f"recall.{label}"])
    sentences = [
        f"Of 100 new photos, {_of_hundred(found['accuracy'])} get the right label ({_doubt(found)})."
    ]
    if found[f"recall.{weakest}"] < 1:
        recall = _of_hundred(found[f"recall.{weakest}"])
        sentences.append(f"Photos of {weakest} are found least often: {recall} of 100.")
    if "robustness_mean" in found:
        kept, photos = f"{100 * found['robustness_mean']:.0f}", f"{found['robustness_photos']:,.0f}"
        sentences.append(
            f"Under noise, blur and other damage, tried on {photos} of the photos, the model keeps {kept} % of the "
            "accuracy that it has on these."
        )
    return sentences


def _doubt(found: Mapping[str, float]) -> str:
    """How far the accuracy may be off, because only so many photos were judged."""
    low, high = (f"{100 * found[f'accuracy_{end}']:.0f}" for end in ("low", "high"))
    if (
        found["accuracy"] == 1
    ):  # the bootstrap knows no mistakes but those it has seen: the rule of three does
        at_most = f"{100 * (1 - 0.05 ** (1 / found['photos'])):.0f}"
        return (
            f"none of {found['photos']:,.0f} was wrong, so at most {at_most} in 100 are, with 95 % confidence"
        )
    return f"95 % interval: {low if low == high else f'{low} to {high}'}"


def _of_hundred(share: float) -> str:
    if 0.995 <= share < 1:
        return "more than 99"  # 100 would say that there are no mistakes
    return f"about {100 * share:.0f}"


def confusions(labels: Sequence[str], counts: NDArray[np.int64], most: int = 3) -> list[str]:
    """The most frequent mistakes in words; `counts` as from `metrics.confusion`."""
    mistakes = np.where(np.eye(len(labels), dtype=bool), 0, counts)
    worst = np.argsort(-mistakes, axis=None, kind="stable")[:most]
    places = (np.unravel_index(place, counts.shape) for place in worst if mistakes.flat[place])
    return [
        f"{labels[true]} taken for {labels[predicted]} ({counts[true, predicted]:,} of {counts[true].sum():,})"
        for true, predicted in places
    ]


def facts(artifact: Artifact) -> dict[str, str]:
    """What model.json says of the model, in words."""
    return {
        "name": artifact.name,
        "version": artifact.version,
        "classes": ", ".join(artifact.labels),
        "input": f"{artifact.image_size} × {artifact.image_size} pixels RGB, {artifact.resize}",
        "precision": f"{artifact.precision}, chosen on {artifact.runtime}",
        "temperature": f"{artifact.temperature:.3f}",
    }


def ladder_rows(found: Mapping[str, float]) -> dict[str, list[float]]:
    """Kind of damage → accuracy without it, then at each severity; empty if the ladder was not climbed."""
    rows: dict[str, list[float]] = {}
    for key, value in found.items():
        if key.startswith("robustness.") and not key.endswith(".mean"):
            _, kind, _ = key.split(".")
            rows.setdefault(kind, [found["robustness_clean"]]).append(value)
    return rows


def page(
    artifact: Artifact,
    found: Mapping[str, float],
    counts: NDArray[np.int64],
    drawn: Mapping[str, Figure],
    background: Background,
) -> str:
    """One HTML page that needs nothing else: the pictures are in it.

    Args: the figures and plots of `lenslet.reporting.report`; `counts` as from `metrics.confusion`.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = {name for section in SECTIONS for name in section.plots}
    return environment.get_template("report.html").render(
        artifact=artifact,
        found=found,
        summary=summary(found, artifact.labels),
        headlines=HEADLINES,
        sections=SECTIONS,
        counts=counts.tolist(),
        confusions=confusions(artifact.labels, counts),
        ladder=ladder_rows(found),
        promised=promised_coverage(artifact.conformal_alpha, artifact.metrics["validation"]["photos"]),
        pictures={name: _data_uri("svg+xml", svg(drawn[name]).encode()) for name in shown},
        plots_say=PLOTS_SAY,
        background=background,
        has_maps=any(each.has_map for shown in background.galleries.values() for each in shown),
        findings_shown=FINDINGS_SHOWN,
        facts=facts(artifact) | dict(background.facts),
        jpeg=lambda data: _data_uri("jpeg", data),
        today=date.today().isoformat(),
    )


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"

"""The table of metrics: title, format, direction and meaning of each figure in metrics.json and model.json.

Report, model card, gate and terminal read it; `frontend/metrics.py` is a copy, held equal by a test. A new metric is a
row here and a function in the module that computes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lenslet.evaluation.few_photos import are_few
from lenslet.inference.printable import printable


@dataclass(frozen=True)
class Metric:
    title: str
    topic: str  # section of the report that shows it
    form: str  # of str.format
    better: Literal["higher", "lower", ""]  # "": neither
    meaning: str  # one line

    def text(self, value: float) -> str:
        return self.form.format(value)


PERCENT, SHARE = "{:.1%}", "{:.4f}"

METRICS = {
    "photos": Metric("photos", "accuracy", "{:,.0f}", "", "number of photos that the figures were measured on"),
    "accuracy": Metric("accuracy", "accuracy", PERCENT, "higher", "share of photos whose top label is right"),
    "accuracy_gain": Metric(
        "above the commonest class", "accuracy", PERCENT, "higher", "accuracy less that of always naming that class"
    ),
    "min_recall": Metric(
        "lowest class recall", "accuracy", PERCENT, "higher", "recall of the class that is found least often"
    ),
    "macro_f1": Metric(
        "macro F1", "accuracy", SHARE, "higher", "harmonic mean of precision and recall, averaged over the classes"
    ),
    "roc_auc": Metric(
        "ROC AUC", "accuracy", SHARE, "higher", "one class against the rest, averaged over the classes; 0.5 is chance"
    ),
    "agreement_with_keras": Metric(
        "agreement with Keras", "accuracy", PERCENT, "higher", "same top label as before conversion, measured then"
    ),
    "calibration_error": Metric(
        "calibration error (ECE)", "calibration", SHARE, "lower", "mean gap between confidence and accuracy, as served"
    ),
    "calibration_error_before": Metric(
        "ECE before scaling", "calibration", SHARE, "lower", "the same without temperature scaling"
    ),
    "calibration_error_chance": Metric(
        "ECE by chance", "calibration", SHARE, "", "95th percentile of the ECE of a perfectly calibrated model"
    ),
    "log_loss": Metric(
        "log loss", "calibration", SHARE, "lower", "mean negative log probability of the true label; 0 is perfect"
    ),
    "coverage": Metric(
        "coverage", "prediction-sets", PERCENT, "higher", "share of prediction sets that contain the true label"
    ),
    "mean_set_size": Metric(
        "labels per set", "prediction-sets", "{:.2f}", "lower", "mean size of the prediction sets; 1 is a single label"
    ),
    "ood_true_positive_rate": Metric(
        "in-distribution recall", "ood", PERCENT, "higher", "share of these photos that pass the OOD threshold"
    ),
    "ood_auroc_noise": Metric("OOD AUROC: noise", "ood", "{:.3f}", "higher", "separation from random pixels"),
    "ood_auroc_plain": Metric("OOD AUROC: plain", "ood", "{:.3f}", "higher", "separation from pictures of one colour"),
    "ood_auroc_drawings": Metric("OOD AUROC: drawings", "ood", "{:.3f}", "higher", "separation from drawn charts"),
    "ood_auroc_text": Metric("OOD AUROC: text", "ood", "{:.3f}", "higher", "separation from pages of text"),
    "ood_auroc_photos": Metric(
        "OOD AUROC: photos", "ood", "{:.3f}", "higher", "separation from photos of something else (--ood)"
    ),
    "robustness_photos": Metric(
        "corrupted photos", "robustness", "{:,.0f}", "", "number of photos that were corrupted, evenly spread"
    ),
    "robustness_clean": Metric(
        "accuracy uncorrupted", "robustness", PERCENT, "higher", "accuracy on the same photos without corruption"
    ),
    "robustness_mean": Metric(
        "relative robustness", "robustness", PERCENT, "higher", "accuracy under corruption, divided by that without"
    ),
    "robustness_worst": Metric(
        "worst corruption", "robustness", PERCENT, "higher", "the same for the worst corruption and severity"
    ),
    "time_ms": Metric(
        "time per photo", "speed", "{:.1f} ms", "lower", "median on one thread of this machine, without decoding"
    ),
    "megabytes": Metric("model file", "speed", "{:.1f} MB", "lower", "size of model.tflite"),
    "errors": Metric("failed requests", "endpoint", PERCENT, "lower", "share of requests without a prediction"),
    "agreement": Metric(
        "agreement with the model", "endpoint", PERCENT, "higher", "share of answers that equal the local model's"
    ),
    "p95_ms": Metric("95th percentile latency", "endpoint", "{:,.0f} ms", "lower", "of a request, as clients see it"),
}  # fmt: skip

# Of one class; keys are as "recall.forest".
CLASS_METRICS = {
    "precision": Metric("precision", "accuracy", PERCENT, "higher", "share of its predictions that are right"),
    "recall": Metric("recall", "accuracy", PERCENT, "higher", "share of its photos that are found"),
    "f1": Metric("F1", "accuracy", SHARE, "higher", "harmonic mean of precision and recall"),
}  # fmt: skip


# Ten of them, for the terminal.
FIRST_TEN = (
    "photos", "accuracy", "min_recall", "macro_f1", "roc_auc", "calibration_error", "coverage", "robustness_mean",
    "time_ms", "megabytes",
)  # fmt: skip


def value_text(key: str, value: float) -> str:
    """The value in the metric's format; four decimals for a key without a row."""
    return METRICS[key].text(value) if key in METRICS else f"{value:.4f}"


def interval_text(figures: Mapping[str, Any], key: str) -> str:
    """The 95 % interval of a metric, as "93.6% to 95.7%"; empty if there is none, or it has no width.

    The bootstrap of a metric without any mistake has no width, which says nothing.
    """
    low, high = figures.get(f"{key}_low"), figures.get(f"{key}_high")
    if low is None or high is None or low == high:
        return ""
    return f"{value_text(key, low)} to {value_text(key, high)}"


def headline_table(figures: Mapping[str, float]) -> str:
    """For the terminal: at most ten figures by the names that people know, the others being in the report."""
    lines = []
    for key in FIRST_TEN:
        if key in figures and not (key == "accuracy" and are_few(figures)):
            lines.append(_line(METRICS[key].title, key, figures))
    return "\n".join(lines)


def _line(name: str, key: str, figures: Mapping[str, float]) -> str:
    """Name, value with its interval, and meaning of a metric."""
    interval = interval_text(figures, key)
    value = METRICS[key].text(figures[key]) + (f" ({interval})" if interval else "")
    return f"{name:<26}{value:<27}{METRICS[key].meaning}"


def metrics_table(figures: Mapping[str, float], labels: tuple[str, ...]) -> str:
    """For the terminal: the overall figures, then precision, recall and F1 of each class that has them."""
    lines = [_line(key, key, figures) for key in METRICS if key in figures]
    names = {label: printable(label) for label in labels if f"recall.{label}" in figures}
    width = max(len(name) for name in (*names.values(), "class"))
    lines += ["", f"{'class':<{width}}" + "".join(f"{metric.title:>11}" for metric in CLASS_METRICS.values())]
    for label, shown in names.items():
        values = (metric.text(figures[f"{name}.{label}"]) for name, metric in CLASS_METRICS.items())
        lines.append(f"{shown:<{width}}" + "".join(f"{value:>11}" for value in values))
    return "\n".join(lines)

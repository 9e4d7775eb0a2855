"""The model card, made of what GET / says: labels, figures with their intervals, data, limits."""

from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

import streamlit as st

import markup
from answers import in_words

Figures = Mapping[str, Any]


def share(value: float) -> str:
    return f"{value:.1%}".replace("%", " %")


def decimals(value: float) -> str:
    return f"{value:.3f}"


def decimal(value: float) -> str:
    return f"{value:.1f}"


def count(value: float) -> str:
    return f"{value:,.0f}"


# Name in GET / → words, and how its numbers are written. A figure with `_low` and `_high` beside it has an interval.
FIGURES: dict[str, tuple[str, Callable[[float], str]]] = {
    "photos": ("photos", count),
    "accuracy": ("accuracy", share),
    "macro_f1": ("F1, mean over the labels", share),
    "min_recall": ("recall of the worst label", share),
    "roc_auc": ("area under the ROC curve (AUROC)", decimals),
    "log_loss": ("log loss", decimals),
    "calibration_error": ("expected calibration error", decimals),
    "coverage": ("photos whose possible labels hold the right one", share),
    "mean_set_size": ("possible labels for a photo", decimals),
    "ood_true_positive_rate": ("photos that count as familiar", share),
    "ood_auroc_noise": ("told from noise (AUROC)", decimals),
    "ood_auroc_plain": ("told from plain colours (AUROC)", decimals),
    "ood_auroc_drawings": ("told from charts and doodles (AUROC)", decimals),
    "ood_auroc_text": ("told from pages of text (AUROC)", decimals),
    "ood_auroc_photos": ("told from photos of something else (AUROC)", decimals),
    "robustness_mean": ("accuracy under damage, of that without", share),
    "time_ms": ("milliseconds for a photo, one thread", decimal),
}
SPLITS = ("test", "validation")  # the more honest one first
OF_LABEL = {"precision": "precision", "recall": "recall", "f1": "F1"}


def show(description: Mapping[str, Any]) -> None:
    """All of the card. `description` is schema `Description` of openapi.yaml; its metrics may be of any kind."""
    st.header(markup.plain(str(description.get("name", "Model"))), anchor=False)
    st.caption(f"Version {markup.plain(str(description.get('version', 'unknown')))}")
    labels = [str(label) for label in description["labels"]]
    st.subheader("Labels", anchor=False)
    st.html(markup.chips(labels))
    metrics = description.get("metrics")
    splits = order_of(metrics) if isinstance(metrics, Mapping) else {}
    st.subheader("Figures", anchor=False)
    if splits:
        show_headline(next(iter(splits.values())))
        st.markdown("In brackets, 95 % intervals.")
        st.table(figures_table(splits), border="horizontal", hide_index=True)
        show_labels(labels, next(iter(splits.values())))
    else:
        st.markdown("The endpoint gives no figures: `lenslet evaluate` measures them.")
    st.subheader("Data", anchor=False)
    st.markdown(data_words(splits))
    st.subheader("Limits", anchor=False)
    st.markdown("\n".join(f"- {limit}" for limit in limits(description, len(labels))))


def order_of(metrics: Mapping[str, Any]) -> dict[str, Figures]:
    """The splits that have figures, test before validation, others as they come."""
    names = [name for name in SPLITS if name in metrics] + [name for name in metrics if name not in SPLITS]
    return {name: metrics[name] for name in names if isinstance(metrics[name], Mapping)}


def show_headline(figures: Figures) -> None:
    with st.container(horizontal=True):
        for name in ("accuracy", "min_recall", "calibration_error", "photos"):
            words, write = FIGURES[name]
            if is_number(figures.get(name)):
                interval = written(figures, name, write).partition(" (")[2].rstrip(")")
                st.metric(
                    words,
                    write(figures[name]),
                    interval or None,
                    "off",
                    delta_arrow="off",
                    border=True,
                    width=220,
                    height="stretch",
                )


def figures_table(splits: Mapping[str, Figures]) -> list[dict[str, str]]:
    """A row for each known figure that any split has, a column for each split; 95 % intervals in brackets."""
    return [
        {"figure": words}
        | {markup.plain(name): written(each, figure, write) for name, each in splits.items()}
        for figure, (words, write) in FIGURES.items()
        if any(is_number(each.get(figure)) for each in splits.values())
    ]


def written(figures: Figures, name: str, write: Callable[[float], str]) -> str:
    value, low, high = (figures.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if not is_number(value):
        return "–"
    return write(value) + (f" ({write(low)} to {write(high)})" if is_number(low) and is_number(high) else "")


def show_labels(labels: list[str], figures: Figures) -> None:
    """Precision, recall and F1 of each label, where there are any."""
    rows = [
        {"label": markup.plain(in_words(label))}
        | {words: written(figures, f"{name}.{label}", share) for name, words in OF_LABEL.items()}
        for label in labels
        if any(is_number(figures.get(f"{name}.{label}")) for name in OF_LABEL)
    ]
    if rows:
        st.table(rows, border="horizontal", hide_index=True)


def is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def data_words(splits: Mapping[str, Figures]) -> str:
    """What the figures were measured on, as far as the endpoint knows."""
    measured = {name: figures for name, figures in splits.items() if is_number(figures.get("photos"))}
    if not measured:
        return "The endpoint does not say which photos the model was measured on."
    found = [
        f"- **{markup.plain(name)}**: {count(figures['photos'])} photos" for name, figures in measured.items()
    ]
    # Of a data set with all its splits, so that several splits may have the same.
    prints = {str(figures.get("data_fingerprint", ""))[:12] for figures in measured.values()} - {""}
    fingerprint = f" (fingerprint {markup.plain(', '.join(sorted(prints)))})" if prints else ""
    return "\n".join(
        [
            *found,
            "",
            f"The place that describes the data set{fingerprint} is MODEL\\_CARD.md in the model's folder.",
        ]
    )


def limits(description: Mapping[str, Any], labels: int) -> list[str]:
    """What holds for every model that the endpoint may serve, with this one's numbers."""
    side = markup.plain(str(description.get("image_size", "?")))
    formats = ", ".join(markup.plain(str(each)) for each in description.get("formats", []))
    return [
        f"One label for a photo, out of {labels}. A photo of anything else gets one of them too; “none of these, "
        "probably” is a hint, not a proof.",
        f"The whole photo is squashed to {side} × {side} pixels: small details of large photos are lost.",
        "Its probabilities are calibrated on photos like those above; on others they may be too high.",
        "Do not let its answer alone decide about people.",
        f"The endpoint reads {formats}, up to 50 megapixels (fewer in formats that take more memory) and 4.4 MB; from "
        "a link up to 20 MB. This page scales a larger photo down before it sends it.",
    ]

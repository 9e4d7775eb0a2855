"""The model card from the answer to GET /: labels, metrics with their intervals, data, limits."""

from collections.abc import Mapping
from typing import Any, TypeGuard

import streamlit as st

import markup
from answers import in_words
from metrics import CLASS_METRICS, METRICS, Metric

Figures = Mapping[str, Any]


MIN_PHOTOS = 30  # with fewer, figures say more about the photos than about the model
SPLITS = ("test", "cross_validation", "validation")  # the less biased one first
MIN_CLASS_PHOTOS = 10  # of a class, in the mean; with fewer, its recall is a matter of one photo


def show(description: Mapping[str, Any]) -> None:
    """The whole card. `description` is schema `Description` of openapi.yaml; its metrics may be of any kind."""
    st.header(markup.plain(str(description.get("name", "Model"))), anchor=False)
    st.caption(f"Version {markup.plain(str(description.get('version', 'unknown')))}")
    labels = [str(label) for label in description["labels"]]
    st.subheader("Labels", anchor=False)
    st.html(markup.chips(labels))
    metrics = description.get("metrics")
    splits = order_of(metrics) if isinstance(metrics, Mapping) else {}
    st.subheader("Metrics", anchor=False)
    if splits:
        show_headline(splits)
        st.markdown("In brackets, 95 % confidence intervals.")
        st.table(figures_table(splits), border="horizontal", hide_index=True)
        least = max(MIN_PHOTOS, MIN_CLASS_PHOTOS * len(labels))
        show_labels(labels, next((each for each in splits.values() if not has_few(each, least)), {}))
        with st.expander("Meaning of the metrics"):
            st.markdown(meanings(splits))
    else:
        st.markdown("The endpoint reports no metrics: `lenslet evaluate` adds them to the model.")
    st.subheader("Data", anchor=False)
    st.markdown(data_words(splits))
    st.subheader("Limits", anchor=False)
    st.markdown("\n".join(f"- {limit}" for limit in limits(description, len(labels))))


def order_of(metrics: Mapping[str, Any]) -> dict[str, Figures]:
    """The splits that have metrics, test before validation, others in their order."""
    names = [name for name in SPLITS if name in metrics] + [name for name in metrics if name not in SPLITS]
    return {
        title_of(name, metrics[name]): metrics[name] for name in names if isinstance(metrics[name], Mapping)
    }


def title_of(split: str, figures: Figures) -> str:
    """As `lenslet.reporting.model_facts`: without validation photos, cross-validation takes their place."""
    return "cross-validated" if split == "validation" and "folds" in figures else split


def show_headline(splits: Mapping[str, Figures]) -> None:
    """The main figures of the first split with enough photos to carry them; a sentence where that is not the first."""
    enough = {name: figures for name, figures in splits.items() if not has_few(figures)}
    first = next(iter(splits))
    name = next(iter(enough), first)
    figures = splits[name]
    if name != first or not enough:
        count = spaced(METRICS["photos"].text(splits[first].get("photos", 0)))
        st.markdown(f"{count} photos ({markup.plain(first)}) are too few to measure an accuracy.")
    if not enough:
        return
    if name != first:
        st.markdown(f"These figures are from: {markup.plain(name.replace('_', ' '))}.")
    with st.container(horizontal=True):
        for name in ("accuracy", "min_recall", "calibration_error", "photos"):
            metric = METRICS[name]
            if is_number(figures.get(name)):
                interval = written(figures, name, metric).partition(" (")[2].rstrip(")")
                st.metric(
                    metric.title,
                    spaced(metric.text(figures[name])),
                    interval or None,
                    "off",
                    delta_arrow="off",
                    border=True,
                    width=220,
                    height="stretch",
                )


def has_few(figures: Figures, least: int = MIN_PHOTOS) -> bool:
    """As `lenslet.evaluation.few_photos`: figures that do not say their number are taken as enough."""
    return is_number(figures.get("photos")) and figures["photos"] < least


def figures_table(splits: Mapping[str, Figures]) -> list[dict[str, str]]:
    """A row for each known metric that any split has, a column for each split; 95 % intervals in brackets."""
    return [
        {"metric": metric.title}
        | {heading(name, each): written(each, key, metric) for name, each in splits.items()}
        for key, metric in METRICS.items()
        if any(is_number(each.get(key)) for each in splits.values())
    ]


def heading(name: str, figures: Figures) -> str:
    """A split with its number of photos, without which no figure says anything."""
    photos = figures.get("photos")
    count = f" ({METRICS['photos'].text(photos)} photos)" if is_number(photos) else ""
    return markup.plain(name.replace("_", " ")) + count


def meanings(splits: Mapping[str, Figures]) -> str:
    """A list of the shown metrics with one line about each; in a column of the table it would not fit on a phone."""
    shown = [
        metric for key, metric in METRICS.items() if any(is_number(each.get(key)) for each in splits.values())
    ]
    return "\n".join(f"- **{metric.title}**: {metric.meaning}" for metric in shown)


def written(figures: Figures, name: str, metric: Metric) -> str:
    """The value with its 95 % interval in brackets, if it has one of any width; a dash without a value."""
    value, low, high = (figures.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if not is_number(value):
        return "–"
    if name == "accuracy" and has_few(figures):
        return f"{figures['photos'] * value:.0f} of {figures['photos']:.0f}"
    text = metric.text(value)
    if is_number(low) and is_number(high) and low != high:
        text += f" ({metric.text(low)} to {metric.text(high)})"
    return spaced(text)


def spaced(text: str) -> str:
    """With a space before the percent sign, as everywhere on the page."""
    return text.replace("%", " %")


def show_labels(labels: list[str], figures: Figures) -> None:
    """Precision, recall and F1 of each label, where there are any."""
    rows = [
        {"label": markup.plain(in_words(label))}
        | {
            metric.title: written(figures, f"{name}.{label}", metric)
            for name, metric in CLASS_METRICS.items()
        }
        for label in labels
        if any(is_number(figures.get(f"{name}.{label}")) for name in CLASS_METRICS)
    ]
    if rows:
        st.table(rows, border="horizontal", hide_index=True)


def is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def data_words(splits: Mapping[str, Figures]) -> str:
    """The photos that the metrics were measured on, as far as the endpoint knows."""
    measured = {name: figures for name, figures in splits.items() if is_number(figures.get("photos"))}
    if not measured:
        return "The endpoint does not say which photos the model was measured on."
    found = [
        f"- **{markup.plain(name.replace('_', ' '))}**: {figures['photos']:,.0f} photos"
        for name, figures in measured.items()
    ]
    # A fingerprint covers all splits of a data set, so that several splits may have the same.
    prints = {str(figures.get("data_fingerprint", ""))[:12] for figures in measured.values()} - {""}
    fingerprint = f" (fingerprint {markup.plain(', '.join(sorted(prints)))})" if prints else ""
    return "\n".join(
        [
            *found,
            "",
            f"MODEL\\_CARD.md in the model's folder describes the data set{fingerprint}.",
        ]
    )


def limits(description: Mapping[str, Any], labels: int) -> list[str]:
    """Limits of every model that the endpoint may serve, with the numbers of this one."""
    side = markup.plain(str(description.get("image_size", "?")))
    formats = ", ".join(markup.plain(str(each)) for each in description.get("formats", []))
    return [
        f"One label for a photo, out of {labels}. A photo of anything else gets one of them too; “probably none "
        "of these labels” is a hint, not a proof.",
        f"The whole photo is scaled to {side} × {side} pixels: small details of large photos are lost.",
        "The probabilities are calibrated on photos like those above; on others they may be too high.",
        "Do not base decisions about people on its answer alone.",
        f"The endpoint reads {formats}, up to 50 megapixels (fewer in formats that take more memory) and 4.4 MB; from "
        "a link up to 20 MB. This page scales a larger photo down before it sends it.",
    ]

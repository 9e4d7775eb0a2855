"""MODEL_CARD.md: a model's facts, kept up to date by program, between words that people write."""

from pathlib import Path

from lenslet.evaluation.calibration import promised_coverage
from lenslet.inference.artifact import Artifact
from lenslet.inference.atomic import write_text

CARD_NAME = "MODEL_CARD.md"
BEGIN, END = "<!-- facts: written by convert.py and lenslet evaluate -->", "<!-- end of facts -->"

# Metric → how the card calls it, and how it prints. Others stay in model.json.
SHOWN = {
    "photos": ("photos", "{:,.0f}"),
    "accuracy": ("accuracy", "{:.4f}"),
    "accuracy_low": ("95 % interval of accuracy, from", "{:.4f}"),
    "accuracy_high": ("95 % interval of accuracy, to", "{:.4f}"),
    "macro_f1": ("macro F1", "{:.4f}"),
    "roc_auc": ("area under the ROC curve", "{:.4f}"),
    "log_loss": ("log loss", "{:.4f}"),
    "calibration_error": ("expected calibration error", "{:.4f}"),
    "robustness_mean": ("accuracy under damage, of that without", "{:.1%}"),
    "ood_true_positive_rate": ("photos that count as familiar", "{:.1%}"),
    "ood_auroc_noise": ("told from noise (AUROC)", "{:.3f}"),
    "ood_auroc_drawings": ("told from charts and doodles (AUROC)", "{:.3f}"),
    "ood_auroc_text": ("told from pages of text (AUROC)", "{:.3f}"),
    "ood_auroc_photos": ("told from photos of something else (AUROC)", "{:.3f}"),
    "coverage": ("prediction sets that hold the truth", "{:.1%}"),
    "mean_set_size": ("labels per prediction set", "{:.2f}"),
    "time_ms": ("time per photo, one thread (ms)", "{:.1f}"),
}

NEW_CARD = f"""# {{name}}

Say here what the model is for, and what it must not be used for.

## Facts

{BEGIN}
{END}

## Data

Say here where the photos come from, who may use them, and which cases they do not show.

## Limits

The model knows only its labels: a photo of anything else still gets one of them.
"""


def write_model_card(artifact: Artifact, folder: Path) -> None:
    """Write the facts of `artifact` into the card of `folder`; a card that people wrote keeps their words."""
    path = folder / CARD_NAME
    card = path.read_text(encoding="utf-8") if path.exists() else NEW_CARD.format(name=artifact.name)
    write_text(path, with_facts(card, facts(artifact)))


def with_facts(card: str, text: str) -> str:
    """The card with `text` between its two markers; a card without markers gets both at its end."""
    if BEGIN not in card or END not in card:
        card = f"{card.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, after = card.split(BEGIN)[0], card.split(END, 1)[1]
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def facts(artifact: Artifact) -> str:
    """Markdown tables of what the model is and how it was measured."""
    promised = promised_coverage(artifact.conformal_alpha, artifact.metrics["validation"]["photos"])
    rows = {
        "version": artifact.version,
        "labels": ", ".join(artifact.labels),
        "input": f"{artifact.image_size} × {artifact.image_size} pixels RGB, {artifact.resize}",
        "precision": f"{artifact.precision}, chosen on {artifact.runtime}",
        "temperature": f"{artifact.temperature:.3f}",
        "prediction sets": f"labels of at least {artifact.conformal_threshold:.3f}, "
        f"to hold the truth in {promised:.0%} of cases",
        "in distribution": f"pictures with an OOD score (free energy) of at most {artifact.ood_threshold:.2f}",
    }
    about = ["| fact | value |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows.items())]
    splits = list(artifact.metrics)
    measured = ["", f"| figure | {' | '.join(splits)} |", "| --- |" + " ---: |" * len(splits)]
    for key, (name, form) in SHOWN.items():
        values = [artifact.metrics[split].get(key) for split in splits]
        if any(value is not None for value in values):
            cells = " | ".join("" if value is None else form.format(value) for value in values)
            measured.append(f"| {name} | {cells} |")
    return "\n".join([*about, *measured])

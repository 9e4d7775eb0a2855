"""MODEL_CARD.md: a model's facts and metrics, generated between markers; the text around them is written by people."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lenslet.evaluation.few_photos import are_few
from lenslet.evaluation.metric_table import METRICS, interval_text
from lenslet.inference.artifact import Artifact, read_artifact, write_artifact
from lenslet.inference.atomic import write_text
from lenslet.inference.errors import ArtifactError
from lenslet.inference.folder_lock import folder_lock
from lenslet.reporting.model_facts import model_facts, title_of

CARD_NAME = "MODEL_CARD.md"
BEGIN, END = "<!-- facts: written by lenslet convert and lenslet evaluate -->", "<!-- end of facts -->"
OLD_BEGIN = "<!-- facts: written by convert.py and evaluate.py -->"  # of version 0.1.0

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
    """Write the facts of `artifact` into the card of `folder`; the text around them stays as it is."""
    path = folder / CARD_NAME
    card = path.read_text(encoding="utf-8") if path.exists() else NEW_CARD.format(name=artifact.name)
    write_text(path, with_facts(card, facts_markdown(artifact)))


def record_figures(
    artifact: Artifact, figures: dict[str, float], photos: dict[str, str], folder: Path
) -> None:
    """Add the test figures to model.json and MODEL_CARD.md of the model folder. Raises: ArtifactError."""
    overall = {key: value for key, value in figures.items() if not key.startswith("robustness.")}
    with folder_lock(folder, "lenslet evaluate"):
        current = read_artifact(folder)
        if current.sha256 != artifact.sha256:
            raise ArtifactError(f"{folder} holds another model than when the evaluation began: run it again")
        recorded = replace(current, metrics={**current.metrics, "test": {**photos, **overall}})
        write_model_card(recorded, folder)
        write_artifact(recorded, folder)


def with_facts(card: str, text: str) -> str:
    """The card with `text` between the markers; a card without markers gets both at its end."""
    begin = next((each for each in (BEGIN, OLD_BEGIN) if each in card), None)
    if begin is None or END not in card:
        begin, card = BEGIN, f"{card.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, after = card.split(begin)[0], card.split(END, 1)[1]
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def facts_markdown(artifact: Artifact) -> str:
    """Markdown tables of the model's facts and of its metrics, a column for each split."""
    facts = [f"| {name} | {value} |" for name, value in model_facts(artifact).items()]
    splits = artifact.metrics
    measured = [
        f"| metric | {' | '.join(title_of(*each) for each in splits.items())} |",
        "| --- |" + " ---: |" * len(splits),
    ]
    for key, metric in METRICS.items():
        if any(key in figures for figures in splits.values()):
            cells = (_cell(figures, key) for figures in splits.values())
            measured.append(f"| {metric.title} | {' | '.join(cells)} |")
    return "\n".join(["| fact | value |", "| --- | --- |", *facts, "", *measured])


def _cell(figures: Mapping[str, Any], key: str) -> str:
    """A metric of one split with its 95 % interval; empty if it was not measured."""
    if key not in figures:
        return ""
    if key == "accuracy" and are_few(figures):
        return f"{figures['photos'] * figures[key]:.0f} of {figures['photos']:.0f}"
    interval = interval_text(figures, key)
    return METRICS[key].text(figures[key]) + (f" ({interval})" if interval else "")

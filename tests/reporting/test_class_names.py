"""Class names in every figure, as people write them: no formula, no box, no name left out; and many classes."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from lenslet.inference.classifier import Prediction
from lenslet.reporting import plots
from lenslet.reporting.confusions import most_confused
from lenslet.reporting.exploration_plots import balance_figure, grid_figure, map_figure, statistics_figure
from lenslet.reporting.figure_text import fonts_for
from lenslet.reporting.plots import (
    confusion_figure,
    explanation_figure,
    precision_recall_figure,
    roc_figure,
    svg,
)

NAMES = ("$5", r"$\frac{1$", "_other", "a_b^2", "x|y,z", "猫", "<b>&", "50 %")
TARGETS = np.arange(40) % len(NAMES)
PROBABILITIES = np.random.default_rng(0).dirichlet(np.ones(len(NAMES)), 40).astype(np.float32)
PIXELS = np.zeros((8, 8, 3), np.uint8)


def explained(name: str) -> Figure:
    prediction = Prediction((name, "sea"), np.array([0.75, 0.25]), None, 0.5, np.array([1.0, 0.0]), 0.0, 0.05)
    return explanation_figure(PIXELS, prediction, None, np.ones((8, 8), np.float32))


FIGURES: dict[str, Callable[[], Figure]] = {
    "confusion": lambda: confusion_figure(NAMES, np.eye(len(NAMES), dtype=np.int64)),
    "ROC": lambda: roc_figure(NAMES, TARGETS, PROBABILITIES),
    "precision and recall": lambda: precision_recall_figure(NAMES, TARGETS, PROBABILITIES),
    "balance": lambda: balance_figure(NAMES, {"train": [3] * len(NAMES)}),
    "statistics": lambda: statistics_figure(NAMES, TARGETS, {"size": PROBABILITIES[:, 0].astype(float)}),
    "map": lambda: map_figure(NAMES, TARGETS, PROBABILITIES[:, :2]),
    "grid": lambda: grid_figure([PIXELS] * len(NAMES), NAMES, 4),
}


def drawn(figure: Figure) -> list[Text]:
    """Its texts; drawn first, outside of the function that made it, as the report does."""
    figure.savefig(BytesIO(), format="png")
    return [text for text in figure.findobj(Text) if text.get_visible()]


@pytest.mark.filterwarnings("error", "ignore:Glyph .* missing from font")  # where no font has 猫
@pytest.mark.parametrize("name", FIGURES)
def test_names_are_drawn_as_they_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "CURVES_NAMED", len(NAMES))
    texts = [text for text in drawn(FIGURES[name]()) if text.get_text().startswith(NAMES)]
    assert {label for label in NAMES for text in texts if text.get_text().startswith(label)} == set(NAMES)
    assert not any(text.get_parse_math() for text in texts)


@pytest.mark.filterwarnings("error", "ignore:Glyph .* missing from font")  # where no font has 猫
@pytest.mark.parametrize("name", NAMES)
def test_title_of_an_explanation(name: str) -> None:
    [title] = [text for text in drawn(explained(name)) if text.get_text().startswith(name)]
    assert title.get_text() == f"{name}, 75.0%" and not title.get_parse_math()


def test_font_that_has_the_characters_is_found() -> None:
    assert fonts_for(frozenset("forêt")) == ()
    [font] = fonts_for(frozenset("\N{COMBINING ENCLOSING CIRCLE}"))  # in a font that comes with matplotlib
    assert font != "DejaVu Sans"
    assert fonts_for(frozenset("\U000f0000")) == ()  # private: in none


def test_names_in_svg_are_text() -> None:
    picture = svg(roc_figure(("$5", "猫"), TARGETS % 2, PROBABILITIES[:, :2]))
    assert "猫 (" in picture


def test_most_confused_classes_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.diag(np.full(6, 9))
    counts[1, 4] = 5
    counts[3, 1] = 2
    monkeypatch.setattr("lenslet.reporting.confusions.CLASSES_SHOWN", 3)
    assert most_confused(counts).tolist() == [1, 3, 4]
    texts = [text.get_text() for text in drawn(confusion_figure(list("abcdef"), counts))]
    assert "Confusion matrix: the 3 of 6 classes with the most mistakes" in texts
    assert {"b", "d", "e"} <= set(texts) and "a" not in texts


@pytest.mark.slow
def test_figures_of_a_thousand_classes_stay_small() -> None:
    names = [f"class {number}" for number in range(1000)]
    figure = confusion_figure(names, np.ones((1000, 1000), np.int64))
    assert max(figure.get_size_inches()) < 25
    targets = np.arange(1000).repeat(5)
    probabilities = np.random.default_rng(0).random((5000, 1000)).astype(np.float32)
    curves = roc_figure(names, targets, probabilities)
    assert len(curves.axes[0].get_lines()) == 55  # three named, fifty grey, their name, chance

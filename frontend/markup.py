"""Pieces of HTML and Markdown; what others have written stands in them as text and does nothing."""

import re
from collections.abc import Sequence
from html import escape

from answers import Answer, in_words, percent, region, verdict
from photos import HEAT, data_url, heat_map

# Where the weight of a map lies → how the page says so.
PLACES = {"centre": "in the middle", "left": "on the left", "right": "on the right"}
EMPTY = (
    '<div class="lens-empty"><h2>Nothing here yet</h2><p>Choose a photo above, or take one of the samples. '
    "What the model sees in it, how sure it is and where it looked will appear here.</p></div>"
)


def plain(text: str) -> str:
    """Text as Markdown that shows it letter by letter: no pictures, no colours, no link but an address to itself."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def picture(source: str, alt: str) -> str:
    return stack(f'<img src="{escape(source)}" alt="{escape(alt)}">')


def stack(pictures: str) -> str:
    return f'<figure class="lens-photo"><div class="lens-stack">{pictures}</div></figure>'


def photo(source: str, name: str, answer: Answer) -> str:
    """A photo with the activation map, if there is one, as a second picture over it."""
    label = in_words(answer.label)
    pictures = f'<img src="{escape(source)}" alt="{escape(f"{name}, which the model takes for {label}")}">'
    if answer.grid:
        alt = f"Activation map: what speaks for {label} lies mostly {place(answer.grid)}"
        map_source = data_url(heat_map(answer.grid), "png")
        pictures += f'<img class="lens-map" src="{map_source}" alt="{escape(alt)}">'
    return stack(pictures)


def place(grid: Sequence[Sequence[float]]) -> str:
    found = region(grid)
    return PLACES.get(found, f"in the {found} part")


def words(name: str, answer: Answer, facts: Sequence[str]) -> str:
    """The label with its probability as a heading, whether to believe it, then facts in small letters."""
    kind = "stranger" if not answer.is_in_distribution else "sure" if answer.is_certain else "unsure"
    small = "".join(f'<p class="lens-small">{escape(fact)}</p>' for fact in [*facts, name])
    return (
        f'<div class="lens-answer"><h3>{escape(in_words(answer.label))} <span>{percent(answer.probability)}</span></h3>'
        f'<p class="lens-verdict lens-{kind}">{escape(verdict(answer))}</p>{small}</div>'
    )


def map_style(is_shown: bool, opacity: float) -> str:
    """The pictures stay as they are while the slider moves: only this line is sent anew."""
    hidden = "" if is_shown else " .lens-map { visibility: hidden; }"
    return f"<style>:root {{ --map-opacity: {opacity:.2f}; }}{hidden}</style>"


def scale() -> str:
    """What the map's colours mean."""
    stops = ", ".join(f"rgb({red:.0f}, {green:.0f}, {blue:.0f})" for red, green, blue in HEAT)
    return (
        '<p class="lens-scale"><span>less</span><span class="lens-ramp" '
        f'style="background: linear-gradient(to right, {stops})"></span><span>more for the label</span></p>'
    )


def chips(labels: Sequence[str]) -> str:
    return (
        f'<ul class="lens-labels">{"".join(f"<li>{escape(in_words(label))}</li>" for label in labels)}</ul>'
    )

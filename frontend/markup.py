"""HTML and Markdown of the page. Text from others is escaped, so that it is shown and has no effect."""

import re
from collections.abc import Sequence
from html import escape

from answers import Answer, in_words, percent, region, verdict
from photos import HEAT, data_url, heat_map

# Kind of explanation → what its map says.
EVIDENCE = {
    "occlusion": "Hiding what lies {place} would change the answer most",
    "occlusion_and_map": "Hiding what lies {place} would change the answer most",
    "activation_map": "The evidence for {label} lies mostly {place}",
    "normalised_map": "The evidence for {label} lies mostly {place}",
}

# `region` of a map → words.
PLACES = {"centre": "in the middle", "left": "on the left", "right": "on the right"}
EMPTY = (
    '<div class="lens-empty"><h2>Nothing here yet</h2><p>Choose a photo above. '
    "Its label, and how certain the model is, will appear here.</p></div>"
)


def plain(text: str) -> str:
    """Text escaped for Markdown: no pictures, no colours, and no links but plain addresses."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def picture(source: str, alt: str) -> str:
    return stack(f'<img src="{escape(source)}" alt="{escape(alt)}">')


def stack(pictures: str) -> str:
    return f'<figure class="lens-photo"><div class="lens-stack">{pictures}</div></figure>'


def photo(source: str, name: str, answer: Answer) -> str:
    """A photo with the map of its explanation, if there is one, as a second picture over it."""
    label = in_words(answer.label)
    pictures = f'<img src="{escape(source)}" alt="{escape(f"{name}, which the model takes for {label}")}">'
    if answer.grid:
        alt = evidence(answer)
        map_source = data_url(heat_map(answer.grid), "png")
        pictures += f'<img class="lens-map" src="{map_source}" alt="{escape(alt)}">'
    return stack(pictures)


def evidence(answer: Answer) -> str:
    """Description of the explanation's map, in one sentence without its full stop."""
    assert answer.grid is not None
    words = EVIDENCE.get(answer.grid_kind, EVIDENCE["activation_map"])
    return words.format(label=in_words(answer.label), place=place(answer.grid))


def place(grid: Sequence[Sequence[float]]) -> str:
    found = region(grid)
    return PLACES.get(found, f"in the {found} part")


def words(answer: Answer) -> str:
    """The label with its probability as a heading, and the verdict."""
    kind = "ood" if not answer.is_in_distribution else "certain" if answer.is_certain else "uncertain"
    return (
        f'<div class="lens-answer"><h3>{escape(in_words(answer.label))} <span>{percent(answer.probability)}</span></h3>'
        f'<p class="lens-verdict lens-{kind}">{escape(verdict(answer))}</p></div>'
    )


def small_print(facts: Sequence[str]) -> str:
    return "".join(f'<p class="lens-small">{escape(fact)}</p>' for fact in facts)


def map_style(is_shown: bool, opacity: float) -> str:
    """Style for the maps, apart from the pictures, so that moving the slider does not send these again."""
    hidden = "" if is_shown else " .lens-map { visibility: hidden; }"
    return f"<style>:root {{ --map-opacity: {opacity:.2f}; }}{hidden}</style>"


def scale() -> str:
    """Legend of the map's colours."""
    stops = ", ".join(f"rgb({red:.0f}, {green:.0f}, {blue:.0f})" for red, green, blue in HEAT)
    return (
        '<p class="lens-scale"><span>less</span><span class="lens-ramp" '
        f'style="background: linear-gradient(to right, {stops})"></span><span>more for the label</span></p>'
    )


def chips(labels: Sequence[str]) -> str:
    return (
        f'<ul class="lens-labels">{"".join(f"<li>{escape(in_words(label))}</li>" for label in labels)}</ul>'
    )

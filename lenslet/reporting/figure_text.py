"""Class names in figures: as they are written, without mathematics, in installed fonts that have their characters."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache, wraps
from typing import Any, Concatenate, ParamSpec

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

Parameters = ParamSpec("Parameters")
DrawLabels = Callable[Concatenate[Sequence[str], Parameters], Figure]
FIRST_FONT = "DejaVu Sans"  # comes with matplotlib
NO_GLYPHS = "Last Resort"  # a font of boxes for every character


def with_class_names(draw: DrawLabels[Parameters]) -> DrawLabels[Parameters]:
    """For functions that draw class names, their first argument: `$5` is no formula, and `猫` no box.

    Characters that no installed font has stay boxes in PNG; SVG keeps them as text, in the reader's fonts.
    """

    @wraps(draw)
    def drawn(labels: Sequence[str], /, *args: Parameters.args, **options: Parameters.kwargs) -> Figure:
        style = text_style(labels)
        settings = {"text.parse_math": style["parse_math"], "font.family": style["fontfamily"]}
        with matplotlib.rc_context(settings):
            return draw(labels, *args, **options)

    return drawn


def text_style(names: Sequence[str]) -> dict[str, Any]:
    """The same for a single text: options of matplotlib's `Text`."""
    return {"parse_math": False, "fontfamily": [FIRST_FONT, *fonts_for(frozenset("".join(names)))]}


@cache
def fonts_for(characters: frozenset[str]) -> tuple[str, ...]:
    """Installed fonts that together have the characters which the first one lacks, as far as there are any."""
    missing = {ord(each) for each in characters if each.isprintable()}
    missing -= _characters(font_manager.findfont(FIRST_FONT))
    chosen = []
    for font in _installed() if missing else ():
        found = missing & _characters(font.fname)
        if found:
            chosen.append(font.name)
            missing -= found
        if not missing:
            break
    return tuple(chosen)


def _installed() -> Iterable[font_manager.FontEntry]:
    """Upright fonts of normal weight, those without serifs first."""
    fonts = [
        font
        for font in font_manager.fontManager.ttflist
        if font.style == "normal" and font.weight in (400, "normal", "regular") and NO_GLYPHS not in font.name
    ]
    return sorted(fonts, key=lambda font: ("Sans" not in font.name, "Mono" in font.name, font.name))


@cache
def _characters(path: str) -> frozenset[int]:
    return frozenset(FT2Font(path).get_charmap())

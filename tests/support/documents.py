"""Sections, tables and code blocks of the Markdown documents, read by the tests that compare them with the code."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def section(document: str, heading: str) -> str:
    """The text below a heading of level 2, up to the next one. `document` is a path from the root of the repository."""
    text = (ROOT / document).read_text(encoding="utf-8")
    parts = text.split(f"\n## {heading}\n")
    if len(parts) != 2:
        raise ValueError(f"{document} has {len(parts) - 1} headings {heading!r}, not one")
    return parts[1].split("\n## ")[0]


def settings(*headings: str) -> set[str]:
    """Names in the first column of the tables below these headings of docs/settings.md."""
    return {
        name
        for heading in headings
        for row in re.findall(r"^\| (`[^|]+) \|", section("docs/settings.md", heading), re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }

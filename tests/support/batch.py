"""Photos for batches: links to few samples, and the answers of a run."""

import json
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from tests.support.endpoint import ROOT

SAMPLES = sorted((ROOT / "data/sample/test").glob("*/*.jpg"))


def links(folder: Path, count: int) -> Path:
    """`count` links to sample photos in a new folder."""
    folder.mkdir(parents=True)
    for number, photo in enumerate(islice(cycle(SAMPLES), count)):
        (folder / f"{number:07}.jpg").symlink_to(photo)
    return folder


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Rows of all JSON Lines parts, in the order of their names."""
    lines = [line for path in sorted(folder.glob("part-*.jsonl")) for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines]

"""Sample pictures of the model's classes: photos that come with its model folder, or drawings made by a program."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DRAWINGS = Path(__file__).parent.parent / "data" / "sample" / "test"
VARIABLE = (
    "LENSLET_SAMPLES"  # a folder per class; `make serve` names MODEL/samples if the model folder has it
)
ENDINGS = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True)
class Sample:
    """A picture, and the class that it shows."""

    path: Path
    scene: str

    @property
    def name(self) -> str:
        return f"{'drawing' if are_drawings() else 'photo'} of {self.scene}"


def are_drawings() -> bool:
    return not os.environ.get(VARIABLE)


def samples(labels: Sequence[str]) -> list[Sample]:
    """The first picture of each class of the model; none where there are no samples of its classes.

    Drawings only of a model whose classes they all are: on another one they would pass for its photos.
    """
    folder = Path(os.environ.get(VARIABLE) or DRAWINGS)
    found = []
    for label in sorted(labels):
        if label.startswith(".") or "/" in label or not (folder / label).is_dir():
            continue
        pictures = sorted(path for path in (folder / label).iterdir() if path.suffix.lower() in ENDINGS)
        found += [Sample(picture, label) for picture in pictures[:1]]
    return found if len(found) == len(labels) or not are_drawings() else []

"""Sample pictures: drawings made by a program, one of each class."""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "data" / "sample" / "test"


@dataclass(frozen=True)
class Sample:
    """A drawing, and the class that it shows."""

    path: Path
    scene: str

    @property
    def name(self) -> str:
        return f"drawing of {self.scene}"


def samples(folder: Path = FOLDER) -> list[Sample]:
    """The first drawing of each class; none where the page was installed without them."""
    scenes = sorted(path for path in folder.glob("*") if path.is_dir())
    return [Sample(drawing, scene.name) for scene in scenes for drawing in sorted(scene.glob("*.jpg"))[:1]]

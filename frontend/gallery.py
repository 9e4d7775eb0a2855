"""Pictures to try the page with: drawings of the project's own, one of each kind of scene."""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "data" / "sample" / "test"


@dataclass(frozen=True)
class Sample:
    """A drawing, and what it was drawn to show."""

    path: Path
    scene: str

    @property
    def name(self) -> str:
        return f"drawing of {self.scene}"


def samples(folder: Path = FOLDER) -> list[Sample]:
    """The first drawing of each scene; none where the page was installed without them."""
    scenes = sorted(path for path in folder.glob("*") if path.is_dir())
    return [Sample(drawing, scene.name) for scene in scenes for drawing in sorted(scene.glob("*.jpg"))[:1]]

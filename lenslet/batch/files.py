"""Files to classify: as given, and all that are below the given folders."""

from collections.abc import Iterable
from pathlib import Path


def find_files(places: Iterable[Path]) -> list[Path]:
    """Files as given, and every visible file below each folder, in no hidden one. Raises FileNotFoundError."""
    places = list(places)
    paths: list[Path] = []
    for place in places:
        if place.is_dir():
            files = (path.relative_to(place) for path in place.rglob("*") if path.is_file())
            visible = (file for file in files if not any(part.startswith(".") for part in file.parts))
            paths += sorted(place / file for file in visible)
        elif place.is_file():
            paths.append(place)
        else:
            raise FileNotFoundError(f"{place} does not exist")
    if not paths:
        raise FileNotFoundError(f"there is no file in {', '.join(map(str, places))}")
    return paths

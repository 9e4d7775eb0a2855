"""Files to classify: as given, and all that are below the given folders."""

from collections.abc import Iterable
from pathlib import Path

from lenslet.dataset.walk import walk


def find_files(places: Iterable[Path]) -> list[Path]:
    """Files as given, and every file below each folder but hidden and system ones, links followed.

    Raises: FileNotFoundError.
    """
    places = list(places)
    paths: list[Path] = []
    for place in places:
        if place.is_dir():
            paths += [place / file for file in walk(place).files]
        elif place.is_file():
            paths.append(place)
        else:
            raise FileNotFoundError(f"{place} does not exist")
    if not paths:
        raise FileNotFoundError(f"there is no file in {', '.join(map(str, places))}")
    return paths

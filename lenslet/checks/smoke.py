"""Smoke check: contract checks and photos, one after the other, with what was found and how long it took."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lenslet.checks.contract import CHECKS, check_closed, check_link
from lenslet.checks.endpoint import CheckError, Endpoint, encoded, look_up
from lenslet.dataset.walk import walk


class Step(NamedTuple):
    """One check and its outcome."""

    name: str
    is_passed: bool
    found: str
    ms: float


class PhotoAnswer(NamedTuple):
    """One photo and what the endpoint answered."""

    path: Path
    label: str
    probability: float | None  # None if there is no answer
    error: str
    ms: float


def contract_steps(endpoint: Endpoint, has_key: bool, image_url: str | None) -> Iterator[Step]:
    """Run the contract checks; with a key, also that nothing is answered without it; with a link, that it is read."""
    checks: dict[str, Callable[[Endpoint], str]] = dict(CHECKS)
    if has_key:
        checks["without a key"] = check_closed
    if image_url:
        checks["a link"] = lambda endpoint: check_link(endpoint, image_url)
    for name, check in checks.items():
        started = time.perf_counter()
        try:
            is_passed, found = True, check(endpoint)
        except CheckError as failure:
            is_passed, found = False, str(failure)
        yield Step(name, is_passed, found, (time.perf_counter() - started) * 1000)


def classify_photos(endpoint: Endpoint, photos: Sequence[Path]) -> Iterator[PhotoAnswer]:
    """Ask for the top label of each photo."""
    for photo in photos:
        started = time.perf_counter()
        label, probability, error = "", None, ""
        try:
            content = {"image": encoded(photo.read_bytes()), "top": 1}
            best = look_up(endpoint.ask("POST", "/predict", 200, json=content), "predictions")[0]
            label, probability = best["label"], best["probability"]
        except (CheckError, OSError) as failure:
            error = str(failure)
        yield PhotoAnswer(photo, label, probability, error, (time.perf_counter() - started) * 1000)


def photo_files(places: Sequence[Path]) -> list[Path]:
    """The files in `places` and in the folders among them, relative to the current folder where they are below it."""
    files: list[Path] = []
    for place in places:
        files += [place / file for file in walk(place).files] if place.is_dir() else [place]
    return [file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file for file in files]

"""Tasks for Label Studio: photos with pre-labels, each photo once however often it is pushed."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lenslet.labelling.candidates import Candidate
from lenslet.labelling.corrections import Corrected
from lenslet.labelling.label_studio import LabelStudio, prediction
from lenslet.labelling.photos import Photos

BATCH = 50  # tasks in one request: what a kill in between loses is sent again by the next push
CORRECTION = "a caller's correction"  # instead of a model's version


def pushed_hashes(studio: LabelStudio, project: str) -> frozenset[str]:
    """Checksums of the photos that the project has tasks for."""
    found = studio.project(project)
    tasks = studio.tasks(int(found["id"])) if found else []
    return frozenset(str(task["data"].get("sha256")) for task in tasks)


def push(
    studio: LabelStudio,
    title: str,
    labels: Sequence[str],
    tasks: Sequence[dict[str, Any]],
    photos: Photos,
    paths: Iterable[Path],
) -> int:
    """Create or update the project and import the tasks of the photos at `paths`. Returns the project's number.

    Raises: LabelStudioError.
    """
    project, _ = studio.create_or_update_project(title, labels)
    photos.connect(studio, project, paths)
    for batch in _batches(tasks):
        studio.import_tasks(project, batch)
    return project


def candidate_task(candidate: Candidate, photos: Photos, model_version: str) -> dict[str, Any]:
    """A photo with the model's answer. Raises: LabelStudioError."""
    label, probability = candidate.prediction.ranked()[0]
    return {
        "data": {
            **photos.data(candidate.path),
            "sha256": candidate.sha256,
            "note": "" if candidate.is_in_distribution else "out of distribution: perhaps none of the labels",
        },
        "predictions": [prediction(label, probability, model_version)],
    }


def correction_task(corrected: Corrected, photos: Photos) -> dict[str, Any]:
    """A photo with each label that callers gave it, and what the model had said. Raises: LabelStudioError.

    The text names labels of the model only: nothing that a caller wrote reaches a reviewer's browser.
    """
    said = " / ".join("none of the labels" if label is None else label for label in corrected.labels)
    proposals = [prediction(label, 1.0, CORRECTION) for label in corrected.labels if label is not None]
    return {
        "data": {
            **photos.data(corrected.path),
            "sha256": corrected.sha256,
            "note": f"a caller says: {said}; {corrected.model} had said: {corrected.given} "
            f"{corrected.probability:.0%}. Skip the task if it is none of the labels",
        },
        "predictions": [
            *proposals,
            prediction(corrected.given, corrected.probability, corrected.model),
        ],
    }


def _batches(tasks: Sequence[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    for start in range(0, len(tasks), BATCH):
        yield tasks[start : start + BATCH]

"""Tasks for Label Studio: photos with pre-labels, each photo once however often it is pushed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lenslet.labelling.candidates import Candidate
from lenslet.labelling.label_studio import LabelStudio, LabelStudioError, prediction

BATCH = 50  # tasks in one request: what a kill in between loses is sent again by the next push


def pushed_hashes(studio: LabelStudio, project: str) -> frozenset[str]:
    """Checksums of the photos that the project has tasks for."""
    found = studio.project(project)
    tasks = studio.tasks(int(found["id"])) if found else []
    return frozenset(str(task["data"].get("sha256")) for task in tasks)


def push(
    studio: LabelStudio,
    title: str,
    labels: Sequence[str],
    candidates: Sequence[Candidate],
    document_root: Path,
    model_version: str,
) -> int:
    """Create or update the project and import the candidates. Returns the project's number.

    `document_root`: the folder that Label Studio serves local files from.
    Raises: LabelStudioError, also for a photo outside `document_root`.
    """
    tasks = [_task(each, document_root, model_version) for each in candidates]
    project, _ = studio.create_or_update_project(title, labels)
    folders = {each.path.resolve().parent for each in candidates}
    for folder in sorted(folders):
        studio.add_local_storage(project, str(folder))
    for batch in _batches(tasks):
        studio.import_tasks(project, batch)
    return project


def _task(candidate: Candidate, document_root: Path, model_version: str) -> dict[str, Any]:
    path = candidate.path.resolve()
    try:
        relative = path.relative_to(document_root.resolve())
    except ValueError:
        raise LabelStudioError(
            f"{path} is not below {document_root}, the folder that Label Studio serves: give it as --document-root "
            "here and as LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT there"
        ) from None
    label, probability = candidate.prediction.ranked()[0]
    return {
        "data": {
            "image": f"/data/local-files/?d={quote(str(relative))}",
            "path": str(path),
            "sha256": candidate.sha256,
            "note": "" if candidate.is_in_distribution else "out of distribution: perhaps none of the labels",
        },
        "predictions": [prediction(label, probability, model_version)],
    }


def _batches(tasks: Sequence[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    for start in range(0, len(tasks), BATCH):
        yield tasks[start : start + BATCH]

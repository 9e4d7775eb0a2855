"""The annotations of a project into a list, from Label Studio itself or from its S3 export storage."""

from pathlib import Path

from lenslet.dataset.remote import fetch_prefix, is_s3
from lenslet.inference.errors import InputError
from lenslet.labelling.annotations import Pulled, merge_into, read_export_storage, read_tasks
from lenslet.labelling.label_studio import LabelStudio, LabelStudioError


def pull_into(path: Path, project: str, export: str | None, cache: Path) -> tuple[Pulled, int]:
    """Merge the project's annotations into the list. `export`: an S3 export storage to read instead.

    Returns: what the tasks say, and the number of rows in the list. Raises: LabelStudioError, InputError.
    """
    if export is None:
        studio = LabelStudio.from_environment()
        found = studio.project(project)
        if not found:
            raise LabelStudioError(f"{studio.url} has no project {project!r}")
        pulled = read_tasks(studio.tasks(int(found["id"])), project)
    else:
        pulled = read_tasks(read_export_storage(_exported(export, cache)), project)
    return pulled, merge_into(path, pulled, project)


def _exported(place: str, cache: Path) -> list[bytes]:
    """The contents of the objects `annotations/1` and so on below a prefix."""
    if not is_s3(place):
        raise InputError(f"--export takes s3://bucket/prefix, not {place}")
    folder, _ = fetch_prefix(place, cache)
    files = [folder] if folder.is_file() else sorted(each for each in folder.rglob("*") if each.is_file())
    return [file.read_bytes() for file in files]

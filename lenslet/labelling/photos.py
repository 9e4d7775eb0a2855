"""Where the photos of tasks lie: files that Label Studio serves, or objects of S3 whose links it signs."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from lenslet.inference.object_keys import bucket_and_key
from lenslet.labelling.label_studio import LabelStudio, LabelStudioError


@dataclass(frozen=True)
class LocalPhotos:
    """Files below `document_root`, the folder that Label Studio serves local files from."""

    document_root: Path

    def data(self, path: Path) -> dict[str, str]:
        """The fields of a task that say where its photo is. Raises: LabelStudioError outside `document_root`."""
        whole = path.resolve()
        try:
            relative = whole.relative_to(self.document_root.resolve())
        except ValueError:
            raise LabelStudioError(
                f"{whole} is not below {self.document_root}, the folder that Label Studio serves: give it as "
                "--document-root here and as LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT there"
            ) from None
        return {"image": f"/data/local-files/?d={quote(str(relative))}", "path": str(whole)}

    def connect(self, studio: LabelStudio, project: int, paths: Iterable[Path]) -> None:
        """Let the project show the photos."""
        for folder in sorted({path.resolve().parent for path in paths}):
            studio.add_local_storage(project, str(folder))


@dataclass(frozen=True)
class S3Photos:
    """Objects below `s3://bucket/prefix`, of which `mirror` is a copy: the folder, or the file of a single object."""

    address: str
    mirror: Path

    def data(self, path: Path) -> dict[str, str]:
        address = self.address.rstrip("/")
        if path != self.mirror:
            address += f"/{path.relative_to(self.mirror).as_posix()}"
        return {"image": address, "path": address}

    def connect(self, studio: LabelStudio, project: int, paths: Iterable[Path]) -> None:
        studio.add_s3_storage(project, *bucket_and_key(self.address))


Photos = LocalPhotos | S3Photos

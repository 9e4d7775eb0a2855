"""The register of models: whole model folders as numbered versions, and which of them is in staging or production.

It lies on the MLflow server that MLFLOW_TRACKING_URI names, or else in a folder: every function works alike on both.
A reference says which version is meant: `production`, `staging` or a version's number; `name@production`, where
models of several names are registered.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from inference.artifact import read_artifact, read_model, sha256_of
from inference.errors import ArtifactError
from training.record import read_record
from training.stores import FILES, FolderStore, RegistryError, ServerStore, Store, Version
from training.tracking import NOTE_NAME, TrackingUnavailable, open_client

ALIASES = ("staging", "production")
PREFIX = "registry:"  # begins a reference where a path could stand, too
FOLDER_VARIABLE = "LENSLET_REGISTRY"  # the folder, if it is not ./registry


def open_store() -> Store:
    """Nothing is asked or written yet. Raises: RegistryError if MLFLOW_TRACKING_URI is no server's address."""
    try:
        client = open_client()
    except TrackingUnavailable as error:
        raise RegistryError(str(error)) from error
    return ServerStore(client) if client else FolderStore(Path(os.environ.get(FOLDER_VARIABLE, "registry")))


def register(store: Store, folder: Path, alias: str | None = None) -> tuple[Version, bool]:
    """Register the whole model in `folder` under its name, or find it again. Returns: the version, and if it is new.

    Raises: RegistryError if a file is missing; ArtifactError and RecordError if one is damaged.
    """
    _check_alias(alias)
    artifact = read_artifact(folder)
    read_model(folder, artifact)
    read_record(folder)
    _check_name(artifact.name)
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise RegistryError(f"{folder} is no whole model folder: {', '.join(missing)} missing")
    files = {name: sha256_of((folder / name).read_bytes()) for name in FILES}
    same = [each for each in store.versions() if (each.name, each.model) == (artifact.name, artifact.sha256)]
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    version = same[0] if same else Version(artifact.name, artifact.sha256, now, files)
    # Also the files of one that is there: they may have been damaged, or its figures measured since.
    version = store.add(replace(version, files=files), folder)
    return _pointed(store, alias, version) if alias else version, not same


def promote(store: Store, reference: str, alias: str) -> Version:
    """Let `alias` mean the version of `reference`, too. Raises: RegistryError."""
    _check_alias(alias)
    return _pointed(store, alias, find(store, reference))


def find(store: Store, reference: str) -> Version:
    """The version that is meant. Raises: RegistryError if there is none, or more than one."""
    found = matching(store, reference)
    if not found:
        raise RegistryError(
            f"no model is registered as {reference}: `python register.py list` shows those that are"
        )
    if len(found) > 1:
        one = f"{found[0].name}@{reference.removeprefix(PREFIX)}"
        raise RegistryError(f"{reference} may be {' or '.join(map(str, found))}: write which, as {one}")
    return found[0]


def matching(store: Store, reference: str) -> list[Version]:
    """The versions that may be meant: none, one, or one of each name."""
    name, _, word = reference.removeprefix(PREFIX).rpartition("@")
    return [
        version
        for version in store.versions()
        if name in ("", version.name) and word in (*version.aliases, str(version.number))
    ]


def fetch(store: Store, reference: str, folder: Path) -> Version:
    """Write the whole model folder of a version: `folder` holds all of it, checked, or stays as it was.

    Raises: RegistryError if the version is unknown or damaged, or `folder` holds something else than a model.
    """
    if folder.exists() and not _is_model_folder(folder):
        raise RegistryError(f"{folder} holds something else than a model: give another folder")
    version = find(store, reference)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.partial.", dir=folder.parent) as name:
        new = Path(name) / "new"
        _download(store, version, FILES, new)
        try:
            read_model(new, read_artifact(new))
        except ArtifactError as error:
            raise RegistryError(f"{version} is damaged in the registry: {error}") from error
        if folder.exists():
            folder.rename(Path(name) / "old")
        new.rename(folder)
    return version


@contextmanager
def fetched(reference: str, *names: str) -> Iterator[Path]:
    """A folder with some checked files of a version, for as long as the block lasts. Raises: RegistryError."""
    store = open_store()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        _download(store, find(store, reference), names, folder)
        yield folder


def table(versions: Sequence[Version]) -> str:
    """One line per version, the newest of each name first."""
    width = max((len(version.name) for version in versions), default=0) + 2
    lines = [f"{'name':<{width}}{'version':>7}  {'model':<14}{'registered':<22}aliases"]
    for version in sorted(versions, key=lambda each: (each.name, -each.number)):
        facts = (
            f"{version.name:<{width}}{version.number:>7}  {version.model[:12]:<14}{version.registered:<22}"
        )
        lines.append(f"{facts}{', '.join(version.aliases)}".rstrip())
    return "\n".join(lines)


def _check_name(name: str) -> None:
    # MLflow takes neither the first two nor nothing; the third separates name and version.
    if not name.strip() or set(name) & {"/", ":", "@"}:
        raise RegistryError(
            f"a model called {name!r} cannot be registered: train it with a --name without / : @"
        )


def _check_alias(alias: str | None) -> None:
    if alias not in (None, *ALIASES):
        raise RegistryError(f"an alias is {' or '.join(ALIASES)}, not {alias!r}")


def _pointed(store: Store, alias: str, version: Version) -> Version:
    store.point(alias, version)
    return replace(version, aliases=tuple(sorted({*version.aliases, alias})))


def _is_model_folder(folder: Path) -> bool:
    return folder.is_dir() and {path.name for path in folder.iterdir()} <= {*FILES, NOTE_NAME}


def _download(store: Store, version: Version, names: Sequence[str], folder: Path) -> None:
    folder.mkdir()
    store.download(version, names, folder)
    for name in names:
        if sha256_of((folder / name).read_bytes()) != version.files.get(name):
            raise RegistryError(f"{name} of {version} is damaged in the registry: register the model again")

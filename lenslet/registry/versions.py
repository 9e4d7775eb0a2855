"""Model versions: register whole model folders, promote them to staging or production, and fetch them.

They are stored in MLflow: on the server at MLFLOW_TRACKING_URI, or else in the folder .mlflow/. A reference names a
version: `production`, `staging` or its number; `name@production`, where models of several names are registered.
"""

import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from lenslet.inference.artifact import Artifact, read_artifact, read_model, sha256_of
from lenslet.inference.atomic import probe_folder, replacing
from lenslet.inference.errors import ArtifactError
from lenslet.inference.folder_lock import LOCK_NAME, folder_lock
from lenslet.inference.printable import printable
from lenslet.registry.mlflow_client import is_new, is_off, nothing_here, registering
from lenslet.registry.mlflow_registry import FILES, ModelVersion, Registry, RegistryError
from lenslet.registry.run_note import NOTE_NAME
from lenslet.training.record import KERAS_NAME, RECORD_NAME, TrainingRecord, read_record

ALIASES = ("candidate", "staging", "production")
PREFIX = "registry:"  # begins a reference where a path is allowed too
REPORT_NAME = "report.html"


def require_registry() -> None:
    """Raises: RegistryError where no model was ever registered, so that nobody takes that for an empty registry."""
    if is_new() and not is_off():
        raise RegistryError(nothing_here())


def open_registry() -> Registry:
    """The registry; no connection is made yet."""
    return Registry()


def register(
    registry: Registry, folder: Path, report: Path, gate_table: str, alias: str | None = None
) -> tuple[ModelVersion, bool]:
    """Register the model in `folder` under its name, or update its version. Returns: the version, and if it is new.

    `report`: the folder that lenslet evaluate wrote; `gate_table`: the verdicts of the gate, which must come first.
    Raises: RegistryError if a file is missing, or the report is of another model; ArtifactError and RecordError
    if a file is damaged.
    """
    _check_alias(alias)
    artifact = read_artifact(folder)
    read_model(folder, artifact)
    record = read_record(folder)
    _check_name(artifact.name)
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise RegistryError(f"{folder} is not a complete model folder: {', '.join(missing)} missing")
    _check_report(report, artifact, folder)
    paths = [*(folder / name for name in FILES), report / REPORT_NAME]
    files = {path.name: sha256_of(path.read_bytes()) for path in paths}
    with registering():  # two at once would make two versions of one model
        same = [
            each
            for each in registry.versions()
            if (each.name, each.model) == (artifact.name, artifact.sha256)
        ]
        version = (
            same[0] if same else ModelVersion(artifact.name, artifact.sha256, record.data_fingerprint, files)
        )
        # Files of an existing version are stored again: they may be damaged, or its figures newer.
        version = registry.add(replace(version, files=files), paths, gate_table, folder)
    return _with_alias(registry, alias, version) if alias else version, not same


def promote(registry: Registry, reference: str, alias: str) -> ModelVersion:
    """Point `alias` to the version of `reference`. Raises: RegistryError."""
    _check_alias(alias)
    return _with_alias(registry, alias, find_version(registry, reference))


def find_version(registry: Registry, reference: str) -> ModelVersion:
    """The version of a reference. Raises: RegistryError if there is none, or more than one, or no registry."""
    require_registry()
    found = matching_versions(registry, reference)
    if not found and not registry.versions():
        raise RegistryError(
            f"no model is registered as {reference}, nor as anything else: `lenslet register register` does that"
        )
    if not found:
        raise RegistryError(
            f"no model is registered as {reference}: `lenslet register list` shows those that are"
        )
    if len(found) > 1:
        one = f"{found[0].name}@{reference.removeprefix(PREFIX)}"
        raise RegistryError(f"{reference} may be {' or '.join(map(str, found))}: write which, as {one}")
    return found[0]


def matching_versions(registry: Registry, reference: str) -> list[ModelVersion]:
    """The versions that match a reference: none, one, or one of each name."""
    name, _, word = reference.removeprefix(PREFIX).rpartition("@")
    return [
        version
        for version in registry.versions()
        if name in ("", version.name) and word in (*version.aliases, str(version.number))
    ]


def fetch_version(
    registry: Registry, reference: str, folder: Path, report: Path | None = None
) -> ModelVersion:
    """Write the whole model folder of a version; `folder` is replaced after verification, or stays as it was.

    With `report`, its report.html is put into that folder.
    Raises: RegistryError if the version is unknown or damaged, or `folder` holds other files than a model.
    """
    if folder.exists() and not _is_model_folder(folder):
        raise RegistryError(f"{folder} holds other files than a model: give another folder")
    probe_folder(folder, "--out")
    version = find_version(registry, reference)
    with folder_lock(folder, "lenslet register fetch"):
        _replace_folder(registry, version, folder, report)
    return version


def _replace_folder(registry: Registry, version: ModelVersion, folder: Path, report: Path | None) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.partial.", dir=folder.parent) as name:
        new = Path(name) / "new"
        _download(registry, version, FILES, new)
        if report:
            _download(registry, version, (REPORT_NAME,), Path(name) / "report")
        try:
            read_model(new, read_artifact(new))
        except ArtifactError as error:
            raise RegistryError(f"{version} is damaged in the registry: {error}") from error
        if folder.exists():
            folder.rename(Path(name) / "old")
        new.rename(folder)
        if report:
            with replacing(report / REPORT_NAME) as temporary:
                shutil.copyfile(Path(name) / "report" / REPORT_NAME, temporary)


@contextmanager
def fetched(reference: str, *names: str) -> Iterator[Path]:
    """Context with a folder of some verified files of a version. Raises: RegistryError."""
    registry = open_registry()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        _download(registry, find_version(registry, reference), names, folder)
        yield folder


def pinned(weights: str) -> str:
    """`registry:production` → `registry:name@3`, so that a record says which weights; other values stay as they are.

    Raises: RegistryError if no such model is registered.
    """
    return f"{PREFIX}{find_version(open_registry(), weights)}" if weights.startswith(PREFIX) else weights


@contextmanager
def weights_at_hand(weights: str) -> Iterator[str]:
    """`registry:name@3` → the path of its Keras network while the block lasts; other values stay as they are.

    Raises: RegistryError.
    """
    if not weights.startswith(PREFIX):
        yield weights
        return
    with fetched(weights, KERAS_NAME) as folder:
        yield str(folder / KERAS_NAME)


def record_at_hand(weights: str) -> TrainingRecord | None:
    """How the network whose weights these are was trained; None if they are no trained model's.

    `weights`: `registry:name@3`, or the path of a .keras file. Raises: RecordError; RegistryError.
    """
    if weights.startswith(PREFIX):
        with fetched(weights, RECORD_NAME) as folder:
            return read_record(folder)
    path = Path(weights)
    is_trained = path.name == KERAS_NAME and (path.parent / RECORD_NAME).is_file()
    return read_record(path.parent) if is_trained else None


def versions_table(versions: Sequence[ModelVersion]) -> str:
    """One line per version, the newest of each name first."""
    width = max((len(printable(version.name)) for version in versions), default=0) + 2
    lines = [
        f"{'name':<{width}}{'version':>7}  {'model':<14}{'photos':<14}{'commit':<20}{'registered':<22}aliases"
    ]
    for version in sorted(versions, key=lambda each: (each.name, -each.number)):
        commit, _, dirty = (version.commit or "unknown").partition("-")
        commit = commit[:12] + (f"-{dirty}" if dirty else "")
        facts = f"{printable(version.name):<{width}}{version.number:>7}  {version.model[:12]:<14}"
        facts += f"{version.data_fingerprint[:12]:<14}{commit:<20}{version.registered:<22}"
        lines.append(f"{facts}{', '.join(version.aliases)}".rstrip())
    return "\n".join(lines)


def _check_report(report: Path, artifact: Artifact, folder: Path) -> None:
    """Check that the report is of this model, and of the photos of the figures in model.json."""
    place, remedy = (
        report / REPORT_NAME,
        (
            f"run lenslet evaluate --data … --model {shlex.quote(str(folder))} --report {shlex.quote(str(report))}"
        ),
    )
    if not place.is_file():
        raise RegistryError(f"a version carries its report, but {place} does not exist: {remedy}")
    page = place.read_text(encoding="utf-8", errors="replace")
    fingerprint = str(artifact.metrics.get("test", {}).get("data_fingerprint", ""))
    if artifact.version not in page or fingerprint[:12] not in page:
        raise RegistryError(f"{place} is not of the model and the figures in {folder}: {remedy}")


def _check_name(name: str) -> None:
    # MLflow refuses empty names, / and :; @ separates name and version.
    if not name.strip() or set(name) & {"/", ":", "@"}:
        raise RegistryError(
            f"a model called {name!r} cannot be registered: train it with a --name without / : @"
        )


def _check_alias(alias: str | None) -> None:
    if alias not in (None, *ALIASES):
        raise RegistryError(f"an alias is {' or '.join(ALIASES)}, not {alias!r}")


def _with_alias(registry: Registry, alias: str, version: ModelVersion) -> ModelVersion:
    registry.set_alias(alias, version)
    return replace(version, aliases=tuple(sorted({*version.aliases, alias})))


def _is_model_folder(folder: Path) -> bool:
    return folder.is_dir() and {path.name for path in folder.iterdir()} <= {
        *FILES,
        NOTE_NAME,
        LOCK_NAME,
        "report",
    }


def _download(registry: Registry, version: ModelVersion, names: Sequence[str], folder: Path) -> None:
    folder.mkdir()
    registry.download(version, names, folder)
    for name in names:
        if sha256_of((folder / name).read_bytes()) != version.files.get(name):
            raise RegistryError(f"{name} of {version} is damaged in the registry: register the model again")

"""MLflow's model registry: facts of a model version as its tags, files as artifacts of its run."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from lenslet.inference.artifact import JSON_NAME, TFLITE_NAME, sha256_of
from lenslet.inference.errors import InputError
from lenslet.inference.json_text import parse_json
from lenslet.registry.mlflow_client import (
    FOLDER,
    OFF,
    SERVER,
    MlflowUnavailable,
    errors,
    get_file,
    is_new,
    is_off,
    open_client,
    put_file,
    unavailable,
)
from lenslet.registry.tracking import COMMIT_TAG, run_of
from lenslet.training.record import KERAS_NAME, RECORD_NAME

FILES = (TFLITE_NAME, JSON_NAME, KERAS_NAME, RECORD_NAME, "MODEL_CARD.md")  # of a model folder
# Tags of a model version; models of other programs in the same MLflow lack them.
MODEL_TAG, FILES_TAG = "model_sha256", "files_sha256"
DATA_TAG, SOURCE_TAG = "data_fingerprint", "git_commit"


class RegistryError(InputError):
    """Unknown or damaged version, or a registry that fails; the message is one sentence with the remedy."""


@dataclass(frozen=True)
class ModelVersion:
    """One registered model. Its weights never change; figures, card and report may be updated."""

    name: str
    model: str  # sha256 of model.tflite, which identifies the version
    data_fingerprint: str  # of the training data
    files: dict[str, str]  # of FILES and the report: name → sha256
    number: int = 0  # from 1, for each name; 0 before it is registered
    registered: str = ""  # UTC, ISO 8601
    run: str = ""  # MLflow run that stores the files
    commit: str = ""  # git commit of the training; empty if it was not tracked, or without git
    aliases: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Artifact folder of the run: twelve hexadecimal digits that change with any of the files."""
        return f"registered/{sha256_of(json.dumps(self.files, sort_keys=True).encode())[:12]}"

    def __str__(self) -> str:
        return f"{self.name}@{self.number}"


class Registry:
    """The registry; connects at the first call. Every method raises RegistryError if MLflow fails, or is off."""

    @cached_property
    def _client(self) -> Any:
        if is_off():
            raise RegistryError(
                f"{SERVER} is {OFF}, and so is the registry: unset it to use the one in {FOLDER}"
            )
        return open_client()

    def versions(self) -> list[ModelVersion]:
        """All registered versions."""
        if is_new():
            return []
        with _asking():
            found = [
                each for each in _all_pages(self._client.search_model_versions) if FILES_TAG in each.tags
            ]
            # Search results lack the aliases.
            models = _all_pages(self._client.search_registered_models) if found else ()
            aliases = {each.name: each.aliases for each in models}
        return [_version(each, aliases.get(each.name, {})) for each in found]

    def add(
        self, version: ModelVersion, files: Sequence[Path], gate_table: str, folder: Path
    ) -> ModelVersion:
        """Store the files, then create the version, or update it, in one step.

        `gate_table`: the gate's verdicts, as the description; `folder`: the model folder, which knows its run.
        """
        with _asking():
            version = replace(version, run=version.run or run_of(folder))
            for path in files:
                put_file(self._client, version.run, path, version.place)
            listed = json.dumps(version.files)
            if version.number:
                number = str(version.number)
                self._client.set_model_version_tag(version.name, number, FILES_TAG, listed)
                self._client.update_model_version(version.name, number, gate_table)
                return version
            run = self._client.get_run(version.run)
            commit = run.data.tags.get(COMMIT_TAG)
            tags = {MODEL_TAG: version.model, DATA_TAG: version.data_fingerprint}
            tags |= {SOURCE_TAG: commit} if commit else {}
            self._create_name(version.name)
            created = self._client.create_model_version(
                version.name,
                f"{run.info.artifact_uri}/{version.place}",
                version.run,
                tags={**tags, FILES_TAG: listed},
                description=gate_table,
                await_creation_for=0,
            )
        return _version(created, {})

    def set_alias(self, alias: str, version: ModelVersion) -> None:
        """Point the alias of this model name to this version."""
        with _asking():
            self._client.set_registered_model_alias(version.name, alias, str(version.number))

    def download(self, version: ModelVersion, names: Sequence[str], folder: Path) -> None:
        """Write files of the version into `folder`, unverified."""
        with _asking():
            for name in names:
                get_file(self._client, version.run, f"{version.place}/{name}", folder)

    def _create_name(self, name: str) -> None:
        try:
            self._client.create_registered_model(name)
        except errors() as error:
            if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
                raise


def _version(found: Any, aliases: dict[str, Any]) -> ModelVersion:
    registered = datetime.fromtimestamp(found.creation_timestamp / 1000, UTC)
    try:
        files = {str(name): str(digest) for name, digest in parse_json(found.tags[FILES_TAG]).items()}
        model, data = found.tags[MODEL_TAG], found.tags[DATA_TAG]
    except (ValueError, KeyError, AttributeError) as error:
        place = f"{found.name}@{found.version}"
        raise RegistryError(
            f"{place} is damaged in the registry: delete it there, and register again"
        ) from error
    return ModelVersion(
        name=found.name,
        model=model,
        data_fingerprint=data,
        files=files,
        number=int(found.version),
        registered=f"{registered:%Y-%m-%dT%H:%M:%SZ}",
        run=found.run_id,
        commit=found.tags.get(SOURCE_TAG, ""),
        aliases=tuple(sorted(key for key, number in aliases.items() if str(number) == str(found.version))),
    )


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except (RegistryError, MlflowUnavailable) as error:
        raise RegistryError(str(error)) from error
    except errors() as error:
        raise RegistryError(str(unavailable(error))) from error


def _all_pages(search: Any) -> Iterator[Any]:
    page = search()
    yield from page
    while page.token:
        page = search(page_token=page.token)
        yield from page

"""Where registered models lie: on an MLflow server, or in a folder with an index."""

import fcntl
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from inference.artifact import JSON_NAME, TFLITE_NAME, sha256_of
from inference.atomic import write_text
from training.record import KERAS_NAME, RECORD_NAME
from training.tracking import TrackingUnavailable, run_of, server_errors, unavailable

FILES = (TFLITE_NAME, JSON_NAME, KERAS_NAME, RECORD_NAME, "MODEL_CARD.md")
INDEX_NAME = "index.json"
TAG = "lenslet.version"  # what a version on a server says of itself; other models there lack it


class RegistryError(Exception):
    """No such version, a damaged one, or a registry that fails; the message is one sentence."""


@dataclass(frozen=True)
class Version:
    """One registered model. Its weights never change; figures and card may be brought up to date."""

    name: str
    model: str  # sha256 of model.tflite: the same weights are the same version
    registered: str  # UTC, ISO 8601
    files: dict[str, str]  # of FILES: name → sha256
    number: int = 0  # from 1, for each name; 0 as long as no store holds it
    run: str = ""  # on a server: whose artifacts the files are
    aliases: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Twelve hexadecimal digits that change with any file: the folder of the store that holds them."""
        return sha256_of(json.dumps(self.files, sort_keys=True).encode())[:12]

    def __str__(self) -> str:
        return f"{self.name}@{self.number}"


class Store(Protocol):
    """Everything raises RegistryError if the store cannot be read or written."""

    def versions(self) -> list[Version]:
        """All that are registered."""

    def add(self, version: Version, folder: Path) -> Version:
        """Keep the files of `folder`, then enter the version, or bring it up to date, in one step."""

    def point(self, alias: str, version: Version) -> None:
        """Let the alias, of those with this name, mean this version only."""

    def download(self, version: Version, names: Sequence[str], folder: Path) -> None:
        """Put files of the version into `folder`, unchecked."""


class FolderStore:
    """`index.json`, and beside it a folder for the files of each version."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def versions(self) -> list[Version]:
        path = self._root / INDEX_NAME
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))["versions"]
            return [Version(**{**entry, "aliases": tuple(entry["aliases"])}) for entry in entries]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RegistryError(
                f"{path} is damaged ({error}): restore it, or register anew elsewhere"
            ) from error

    def add(self, version: Version, folder: Path) -> Version:
        with self._alone():
            entries = self.versions()
            others = [each for each in entries if each.name == version.name]
            before = [each for each in others if each.model == version.model]
            number = before[0].number if before else 1 + max((each.number for each in others), default=0)
            aliases = before[0].aliases if before else ()
            version = replace(version, number=number, aliases=aliases)
            self._copy(folder, self._root / version.place)
            self._write([*(each for each in entries if each not in before), version])
            for each in before:
                if each.place != version.place:
                    shutil.rmtree(self._root / each.place, ignore_errors=True)
        return version

    def point(self, alias: str, version: Version) -> None:
        def pointed(each: Version) -> Version:
            rest = {*each.aliases} - {alias}
            return replace(
                each, aliases=tuple(sorted(rest | ({alias} if each.number == version.number else set())))
            )

        with self._alone():
            self._write([pointed(each) if each.name == version.name else each for each in self.versions()])

    def download(self, version: Version, names: Sequence[str], folder: Path) -> None:
        try:
            for name in names:
                shutil.copyfile(self._root / version.place / name, folder / name)
        except OSError as error:
            raise RegistryError(f"{name} of {version} cannot be read: {error}") from error

    def _copy(self, folder: Path, place: Path) -> None:
        with tempfile.TemporaryDirectory(prefix=".partial.", dir=self._root) as name:
            new = Path(name) / "new"
            new.mkdir()
            for file in FILES:
                shutil.copyfile(folder / file, new / file)
            if place.exists():  # as in `add` before, or damaged since
                place.rename(Path(name) / "old")
            new.rename(place)

    def _write(self, versions: Sequence[Version]) -> None:
        content = {"versions": [asdict(version) for version in versions]}
        text = json.dumps(content, indent=2, ensure_ascii=False)
        write_text(self._root / INDEX_NAME, text + "\n")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two processes that change the index at once would lose one of the changes."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with (self._root / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise RegistryError(f"{self._root} cannot be written: {error}") from error


class ServerStore:
    """MLflow's model registry; the files are artifacts of the run that trained the model."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def versions(self) -> list[Version]:
        with _asking():
            found = [each for each in _all_pages(self._client.search_model_versions) if TAG in each.tags]
            if not found:
                return []
            # The versions of a search do not name their aliases.
            aliases = {each.name: each.aliases for each in _all_pages(self._client.search_registered_models)}
        return [
            Version(
                **json.loads(each.tags[TAG]),
                name=each.name,
                number=int(each.version),
                aliases=tuple(
                    sorted(
                        key for key, number in aliases[each.name].items() if str(number) == str(each.version)
                    )
                ),
            )
            for each in found
        ]

    def add(self, version: Version, folder: Path) -> Version:
        with _asking():
            run = run_of(folder).run_id
            version = replace(version, run=run)
            for name in FILES:
                self._client.log_artifact(run, str(folder / name), _artifact_path(version))
            facts = json.dumps(
                {key: getattr(version, key) for key in ("model", "registered", "files", "run")}
            )
            if version.number:
                self._client.set_model_version_tag(version.name, str(version.number), TAG, facts)
                return version
            self._create_name(version.name)
            source = f"{self._client.get_run(run).info.artifact_uri}/{_artifact_path(version)}"
            created = self._client.create_model_version(
                version.name, source, run, tags={TAG: facts}, await_creation_for=0
            )
        return replace(version, number=int(created.version))

    def point(self, alias: str, version: Version) -> None:
        with _asking():
            self._client.set_registered_model_alias(version.name, alias, str(version.number))

    def download(self, version: Version, names: Sequence[str], folder: Path) -> None:
        with _asking():
            for name in names:
                self._client.download_artifacts(version.run, f"{_artifact_path(version)}/{name}", str(folder))

    def _create_name(self, name: str) -> None:
        try:
            self._client.create_registered_model(name)
        except server_errors() as error:
            if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
                raise


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except TrackingUnavailable as error:
        raise RegistryError(str(error)) from error
    except server_errors() as error:
        raise RegistryError(str(unavailable(error))) from error


def _all_pages(search: Any) -> Iterator[Any]:
    page = search()
    yield from page
    while page.token:
        page = search(page_token=page.token)
        yield from page


def _artifact_path(version: Version) -> str:
    return f"registered/{version.place}"

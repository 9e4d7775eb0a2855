"""The models that one deployment serves: the default one, and further ones that a request names.

- LENSLET_MODEL: path of the default model's folder.
- LENSLET_MODELS: further models, as `dishes=out/dishes,potholes=out/potholes`, or the path of a folder whose folders
  are models, each with its folder's name. The default model is called as in its `model.json`; if its folder is among
  them, as it is called there.
"""

import re
import reprlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lenslet.inference.artifact import JSON_NAME
from lenslet.inference.classifier import Classifier
from lenslet.inference.errors import ArtifactError, BadRequest
from lenslet.serving.settings import read_entries

SETTING = "LENSLET_MODELS"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.IGNORECASE | re.ASCII)
ENTRY = re.compile(rf"{NAME.pattern}=.+", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Models:
    """Classifiers by the name that requests give; the first is the default."""

    by_name: Mapping[str, Classifier]

    @classmethod
    def alone(cls, classifier: Classifier) -> "Models":
        return cls({classifier.artifact.name: classifier})

    @property
    def default(self) -> Classifier:
        return next(iter(self.by_name.values()))

    def named(self, name: str | None) -> Classifier:
        """The model of this name; without a name the default one. Raises BadRequest if it is not served."""
        if name is None:
            return self.default
        if name not in self.by_name:
            raise BadRequest(
                f"there is no model {reprlib.repr(name)} here; those of this service are {', '.join(self.by_name)}"
            )
        return self.by_name[name]


def load_models(environment: Mapping[str, str], default: Path) -> Models:
    """Load the model in the folder `default` and those that LENSLET_MODELS names.

    Raises: ArtifactError if a folder is no complete model; ValueError, naming the setting, if that is malformed.
    """
    classifier = Classifier.load(default)
    folders = _folders(environment)
    own = [name for name, folder in folders.items() if folder.resolve() == default.resolve()]
    name = own[0] if own else classifier.artifact.name
    if not own and name in folders:
        raise ValueError(
            f"{SETTING} calls a model {name!r}, as the default model is called: give it another name"
        )
    others = {each: folder for each, folder in folders.items() if each not in own}
    return Models({name: classifier} | {each: _load(each, folder) for each, folder in others.items()})


def _load(name: str, folder: Path) -> Classifier:
    try:
        return Classifier.load(folder)
    except ArtifactError as error:
        raise ArtifactError(f"{SETTING}, {name}: {error}") from error


def _folders(environment: Mapping[str, str]) -> dict[str, Path]:
    """The setting: name → folder."""
    text = environment.get(SETTING, "").strip()
    if not text:
        return {}
    if "=" not in text and "," not in text:
        return _folders_in(Path(text))
    entries = read_entries(
        environment, SETTING, ENTRY, "a folder of models, or names and folders as dishes=out/dishes"
    )
    pairs = [entry.split("=", 1) for entry in entries]
    folders = {name: Path(folder.strip()) for name, folder in pairs}
    if len(folders) < len(pairs):
        raise ValueError(f"{SETTING} gives a name twice")
    return folders


def _folders_in(parent: Path) -> dict[str, Path]:
    """The model folders in a folder. What is none of them is named on standard error."""
    if not parent.is_dir():
        raise ValueError(
            f"{SETTING} takes names and folders as dishes=out/dishes, or a folder; {parent} is none"
        )
    within = sorted(each for each in parent.iterdir() if each.is_dir() and not each.name.startswith("."))
    folders = {each.name: each for each in within if (each / JSON_NAME).exists()}
    if not folders:
        raise ValueError(f"{SETTING}: there is no model folder in {parent}")
    for name in folders:
        if not NAME.fullmatch(name):
            raise ValueError(
                f"{SETTING}: {name!r} cannot be the name of a model: letters, digits and . _ - can"
            )
    for each in within:
        if each.name not in folders:
            print(f"{SETTING}: {each} is not served, as it has no {JSON_NAME}", file=sys.stderr)
    return folders

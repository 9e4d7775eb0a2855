"""`training.json`: how a model was trained, so that conversion and evaluation find the same photos again."""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lenslet.config import ParamsError, TrainParams, parse_params
from lenslet.dataset.dataset import Dataset, photos_per_split
from lenslet.dataset.out_of_fold import OutOfFold, answers_for, packed_answers, unpacked_answers
from lenslet.dataset.recorded_splits import Recorded, key_of, packed_splits, unpacked_splits
from lenslet.inference.artifact import JSON_NAME
from lenslet.inference.atomic import replacing, write_text
from lenslet.inference.errors import InputError
from lenslet.inference.json_text import has_shape, parse_json
from lenslet.network.keras_file import KerasFileError, load_keras_file

History = Mapping[str, list[float]]  # metric → its value after each epoch

HISTORY_SHAPE = {str: {str: [float]}}
# Of the fields of TrainingRecord that are not settings.
SHAPES = {
    "name": str,
    "data_fingerprint": str,
    "photos": {str: float},
    "validation": {str: float},
    "history": HISTORY_SHAPE,
    "minutes": float,
    "versions": {str: str},
}
LATER_SHAPES = {"doubtful_labels": {str: float}, "seeds": {str: float}}  # absent from older records

RECORD_NAME = "training.json"
KERAS_NAME = "model.keras"
NEXT_NAME = "next"  # folder in a servable one: a training that is not converted yet


class RecordError(InputError):
    """The folder holds no trained model, or one that was trained on other photos."""


@dataclass(frozen=True)
class TrainingRecord:
    name: str
    params: TrainParams
    data_fingerprint: str
    photos: Mapping[str, int]  # split → number of photos
    validation: Mapping[str, float]  # metrics of the finished network
    history: Mapping[str, History]  # step → metric → value after each epoch
    minutes: float
    versions: Mapping[str, str]
    # Of a linear model on the backbone's features (`cross_validated`); empty: not measured.
    cross_validation: Mapping[str, float] = field(default_factory=dict)
    splits: Mapping[str, str] = field(
        default_factory=dict
    )  # as `packed_splits` gives them; empty before 0.3.0
    # As `packed_answers` gives them, where the head learned from all photos; empty: validation photos judge.
    out_of_fold: Mapping[str, str] = field(default_factory=dict)
    # Label → training photos with it that weighed less, because teachers deny it (train.distill.doubtful_weight).
    doubtful_labels: Mapping[str, int] = field(default_factory=dict)
    # Of an average of several trainings (lenslet train --seeds): train.seed of each → share of the weights. The
    # settings are those of the first.
    seeds: Mapping[str, float] = field(default_factory=dict)

    def answers_for(self, dataset: Dataset) -> OutOfFold | None:
        """The out-of-fold answers for the training photos of `dataset`, if they judge. Raises: RecordError."""
        if not self.out_of_fold:
            return None
        try:
            return answers_for(self.out_of_fold, dataset, dataset.members("train"))
        except ValueError as error:
            raise RecordError(f"{RECORD_NAME} is damaged ({error}): train again") from error

    @property
    def recorded(self) -> Recorded:
        return unpacked_splits(self.splits)


def installed_versions() -> dict[str, str]:
    """Of everything that the numbers depend on."""
    import tensorflow  # here only: evaluation reads records without it

    packages = {package: version(package) for package in ("keras", "numpy", "pillow")}
    return {"python": platform.python_version(), "tensorflow": tensorflow.__version__, **packages}


def record_of(
    name: str,
    params: TrainParams,
    dataset: Dataset,
    validation: Mapping[str, float],
    history: Mapping[str, History],
    minutes: float,
    cross_validation: Mapping[str, float],
    answers: OutOfFold | None = None,
    doubtful_labels: Mapping[str, int] | None = None,
) -> TrainingRecord:
    """The record of a network that was trained on `dataset` just now.

    `answers`: for its training photos, where these judged the head out of fold. `doubtful_labels`: label → training
    photos that weighed less.
    """
    return TrainingRecord(
        name,
        params,
        dataset.fingerprint,
        photos_per_split(dataset),
        validation,
        history,
        minutes=round(minutes, 1),
        versions=installed_versions(),
        cross_validation=cross_validation,
        splits=packed_splits(dataset),
        out_of_fold=packed_answers(dataset, dataset.members("train"), answers) if answers else {},
        doubtful_labels=doubtful_labels or {},
    )


def save_network(network: Any, record: TrainingRecord, folder: Path) -> None:
    """Write the Keras network and its record, both whole before either takes its name.

    A failure leaves the folder as it was. `folder` is that of `place_of_training`, not one that serves another network.
    """
    with replacing(folder / KERAS_NAME) as network_path, replacing(folder / RECORD_NAME) as record_path:
        network.save(network_path)
        record_path.write_text(_json_of(record), encoding="utf-8")


def place_of_training(folder: Path) -> Path:
    """Where a training for a model folder is written: into it or, while it serves, into a folder inside.

    A servable folder stays as it is, record and network included, until the new model is whole and `adopt`ed.
    """
    return folder / NEXT_NAME if (folder / JSON_NAME).exists() else folder


def newest_training(folder: Path) -> Path:
    """The folder that holds the training to be converted: NEXT_NAME in `folder` if there is one, else `folder`."""
    return folder / NEXT_NAME if (folder / NEXT_NAME / RECORD_NAME).exists() else folder


def adopt(place: Path, folder: Path) -> None:
    """Move the files of a training from `place`, inside the folder that serves its model now, up into that."""
    if place == folder:
        return
    for path in sorted(place.iterdir()):
        if path.is_file():
            path.replace(folder / path.name)
    place.rmdir()


def load_network(folder: Path) -> Any:
    """The Keras network in `folder`. Raises: RecordError if there is none, or it is damaged."""
    try:
        return load_keras_file(folder / KERAS_NAME)
    except KerasFileError as error:
        raise RecordError(str(error)) from error


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Sections within sections as one table: {"head": {"dropout": 0.2}} is {"head.dropout": 0.2}."""
    table: dict[str, Any] = {}
    for name, value in content.items():
        key = f"{prefix}{name}"
        table |= flat(value, f"{key}.") if isinstance(value, Mapping) else {key: value}
    return table


def record_json(record: TrainingRecord) -> dict[str, Any]:
    """The model, its photos and its figures as plain values, for --json."""
    facts = {"model": record.name, "data_fingerprint": record.data_fingerprint, "photos": record.photos}
    figures = {"validation": record.validation, "cross_validation": record.cross_validation}
    seeds = {"seeds": record.seeds} if record.seeds else {}
    return {**facts, "minutes": record.minutes, **figures, **seeds}


def write_record(record: TrainingRecord, folder: Path) -> None:
    write_text(folder / RECORD_NAME, _json_of(record))


def _json_of(record: TrainingRecord) -> str:
    return json.dumps(asdict(record), indent=2) + "\n"


def read_record(folder: Path) -> TrainingRecord:
    """Raises RecordError if `lenslet train` has not finished in `folder`."""
    path = folder / RECORD_NAME
    try:
        content: dict[str, Any] = parse_json(path.read_text(encoding="utf-8"))
        wrong = [key for key, shape in SHAPES.items() if not has_shape(content[key], shape)]
        wrong += [key for key, shape in LATER_SHAPES.items() if not has_shape(content.get(key, {}), shape)]
        if wrong:
            raise ValueError(f"{wrong[0]} is not what lenslet train writes")
        # A record of 0.1.0 does not name it: that version trained on photos whose copies judge.
        params = {"leaks": "keep", **content["params"]}
        unpacked_splits(content.get("splits", {}))
        if content.get("out_of_fold"):
            unpacked_answers(content["out_of_fold"])
        return TrainingRecord(**{**content, "params": parse_params(params, TrainParams, "params")})
    except FileNotFoundError:
        raise RecordError(f"{path} does not exist: lenslet train writes it when it has finished") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ParamsError) as error:
        raise RecordError(f"{path} is damaged or of another version ({error}): train again") from error


def check_fingerprint(record: TrainingRecord, dataset: Dataset, place: Path) -> None:
    """Only the photos of the training, in the same splits, say how well a model generalises.

    Raises: RecordError if `dataset`, which was read from `place`, has others.
    """
    if dataset.fingerprint == record.data_fingerprint:
        return
    said = f"{place} does not hold the photos that {record.name} was trained on"
    recorded = record.recorded
    lost = len(recorded.keys() - {key_of(digest) for digest in dataset.hashes})
    if lost:
        raise RecordError(
            f"{said}: {lost:,} of {len(recorded):,} are missing or changed; give the same folder, or train again"
        )
    if recorded:
        raise RecordError(f"{said}: some have other labels now; give the same folder, or train again")
    raise RecordError(
        f"{said}, or this version draws other splits from them, and {RECORD_NAME} of older versions does not say "
        "which they were: give the same folder, use the version that trained it, or train again"
    )


def what_is_known_of(dataset: Dataset, record: TrainingRecord) -> str:
    """A sentence about test photos that are not, or not all, those of the training."""
    recorded, members = record.recorded, dataset.members("test")
    if not recorded:
        return "the model was trained on other photos; make sure that these are not among them"
    seen = sum("train" in recorded.get(key_of(dataset.hashes[each]), ()) for each in members)
    if not seen:
        return "the model was trained on other photos; none of these is among them"
    return f"{seen:,} of these {len(members):,} photos trained the model: it does better on them than on new ones"

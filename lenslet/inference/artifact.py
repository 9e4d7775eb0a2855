"""The model folder's `model.json`: labels, image size, resize rule, calibration, checksum and metrics."""

import hashlib
import json
import math
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from lenslet.inference.errors import ArtifactError
from lenslet.inference.format_2 import upgraded_from_format_2
from lenslet.inference.json_text import has_shape, parse_json
from lenslet.inference.judged_explanation import check_judged

FORMAT_VERSION = 3
JSON_NAME = "model.json"
TFLITE_NAME = "model.tflite"

PREVIOUS_NAME = ".model.previous.tflite"  # there while the files of a folder are replaced
# Kinds of OOD score: free energy of the logits, or share of the features outside those of the training photos.
ENERGY, FEATURE_RESIDUAL = "energy", "feature_residual"

FINGERPRINTS = ("data_fingerprint", "test_fingerprint")  # of the photos; all else in `metrics` is numbers

RETRIES, RETRY_PAUSE_S = 5, 0.1  # of a reader that meets the files of two models

# Number in model.json → its range, both ends allowed.
RANGES = {
    "temperature": (0, math.inf),
    "conformal_alpha": (0, 1),
    "conformal_threshold": (0, 1),
    "ood_threshold": (-math.inf, math.inf),
}


class ChecksumDiffers(ArtifactError):
    """`model.tflite` is not the file that `model.json` describes."""


@dataclass(frozen=True)
class Artifact:
    """The content of `model.json`; written by `lenslet convert`, read by everything that serves."""

    name: str
    labels: tuple[str, ...]  # in the order of the model's outputs
    image_size: int  # pixels, both sides
    resize: str  # `lenslet.inference.decode.RESIZE_RULE` the model was trained with
    sha256: str  # of model.tflite, hexadecimal
    precision: str  # float32 | float16 | dynamic_range | int8
    runtime: str  # package and version on which the precision was chosen, as "tflite-runtime 2.14.0"
    temperature: float  # divides the logits, inside the graph already; Guo et al. 2017
    conformal_alpha: float  # prediction sets may miss the true label in this fraction of cases
    conformal_threshold: float  # labels of at least this probability belong to it, whatever the others have
    ood_threshold: float  # pictures with a higher OOD score are out of distribution
    metrics: Mapping[str, Any] = field(default_factory=dict)  # split → metrics and the data fingerprint
    # Reference distributions for drift, as `lenslet.evaluation.reference` writes it; empty: drift cannot be measured.
    reference: Mapping[str, Any] = field(default_factory=dict)
    ood_kind: str = ENERGY  # which OOD score the threshold belongs to
    # Best kind of explanation, null if a circle at the centre is as good, its constants and figures; empty: not judged.
    explanation: Mapping[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits that change exactly when the served weights change."""
        return self.sha256[:12]


def read_artifact(folder: Path) -> Artifact:
    """Read and check `folder/model.json`.

    Raises: ArtifactError, naming the file, what is wrong with it and what to do.
    """
    path = folder / JSON_NAME
    check_regular(path)
    try:
        content = parse_json(path.read_text(encoding="utf-8"), object_pairs_hook=_without_repetition)
    except FileNotFoundError:
        raise ArtifactError(
            f"{path} does not exist: `lenslet convert` writes it, as the last file of a complete model folder"
        ) from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error
    found = content.get("format_version") if isinstance(content, dict) else None
    if found == 2:
        content = upgraded_from_format_2(content)
        sentence = f"{path} has format 2 and was read as format {FORMAT_VERSION}"
        print(f"{sentence}; `lenslet convert` or `lenslet evaluate` writes it again", file=sys.stderr)
    elif found != FORMAT_VERSION:
        raise ArtifactError(
            f"{path} has the format version {found!r}; this version of Lenslet reads 2 and {FORMAT_VERSION}"
        )
    else:
        # Models that were converted before these.
        content = {"ood_kind": ENERGY, "explanation": {}, **content}
    _check(content, path)
    return Artifact(**{**content, "labels": tuple(content["labels"])})


def read_model(folder: Path, artifact: Artifact, name: str = TFLITE_NAME) -> bytes:
    """The bytes of `folder/model.tflite`, checked against the checksum in `artifact`.

    Raises: ArtifactError if the file is missing or its checksum differs.
    """
    path = folder / name
    check_regular(path)
    try:
        model = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error
    found = sha256_of(model)
    if found != artifact.sha256:
        raise ChecksumDiffers(
            f"{path} is not the file that {JSON_NAME} describes: "
            f"its sha256 begins {found[:12]}, expected {artifact.sha256[:12]}; run `lenslet convert` again"
        )
    return model


def check_regular(path: Path) -> None:
    """Refuse a pipe, which would be waited for, and a device without an end. Raises: ArtifactError."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ArtifactError(f"{path} is no regular file: run `lenslet convert` again")


def read_model_folder(folder: Path) -> tuple[Artifact, bytes]:
    """`model.json` and the bytes of `model.tflite`, of the same model. Raises: ArtifactError.

    A writer renames one file right after the other; who reads between the two reads again. If the writer was killed
    there, the former model is whole still: `model.json` and PREVIOUS_NAME.
    """
    for _ in range(RETRIES):
        artifact = read_artifact(folder)
        try:
            return artifact, read_model(folder, artifact)
        except ChecksumDiffers:
            time.sleep(RETRY_PAUSE_S)
    artifact = read_artifact(folder)
    with suppress(ArtifactError):
        return artifact, read_model(folder, artifact, PREVIOUS_NAME)
    return artifact, read_model(folder, artifact)


def write_model_folder(artifact: Artifact, model: bytes, folder: Path) -> None:
    """Replace the served model: both files are written whole before either takes its name.

    A full disk, or a kill at any moment, leaves the old model or the new one.
    """
    from lenslet.inference.atomic import (
        replacing,  # with tempfile 3 ms, which those who only read do not need
    )

    # `model.json`, by which a folder counts as complete, takes its name last.
    with replacing(folder / JSON_NAME) as json_path, replacing(folder / TFLITE_NAME) as model_path:
        model_path.write_bytes(model)
        json_path.write_text(_json_of(artifact), encoding="utf-8")
        with suppress(ArtifactError):
            _, former = read_model_folder(folder)
            with replacing(folder / PREVIOUS_NAME) as previous:
                previous.write_bytes(former)
    (folder / PREVIOUS_NAME).unlink(missing_ok=True)


def write_artifact(artifact: Artifact, folder: Path) -> None:
    """Write `model.json` atomically."""
    from lenslet.inference.atomic import write_text

    write_text(folder / JSON_NAME, _json_of(artifact))


def _json_of(artifact: Artifact) -> str:
    content = asdict(artifact)
    reference = json.dumps(content.pop("reference"))  # hundreds of numbers, which nobody reads: one line
    text = json.dumps(content, indent=2, ensure_ascii=False).removesuffix("\n}")
    return f'{text},\n  "reference": {reference}\n}}\n'


def sha256_of(data: bytes) -> str:
    """Checksum, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Readers differ in which of two values they take."""
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = next(key for key in content if sum(key == each for each, _ in pairs) > 1)
        raise ValueError(f"the key {twice!r} is given twice")
    return content


def _check(content: dict[str, Any], path: Path) -> None:
    odd = sorted(set(content) ^ {each.name for each in fields(Artifact)})
    if odd:
        raise ArtifactError(f"{path} lacks, or has unknown, keys: {', '.join(odd)}")
    for key in ("name", "resize", "sha256", "precision", "runtime"):
        if not isinstance(content[key], str):
            raise ArtifactError(f"{path}: {key} must be text, not {content[key]!r}")
    if type(content["image_size"]) is not int or content["image_size"] < 1:
        raise ArtifactError(f"{path}: image_size must be a number of pixels, not {content['image_size']!r}")
    for key, (least, most) in RANGES.items():
        if type(content[key]) not in (int, float) or not least <= content[key] <= most:
            raise ArtifactError(
                f"{path}: {key} must be a number from {least} to {most}, not {content[key]!r}"
            )
    for key in ("temperature", "conformal_alpha"):
        if not 0 < content[key] < math.inf:
            raise ArtifactError(f"{path}: {key} must be above 0 and finite, not {content[key]!r}")
    if content["ood_kind"] not in (ENERGY, FEATURE_RESIDUAL):
        raise ArtifactError(
            f"{path}: ood_kind must be {ENERGY} or {FEATURE_RESIDUAL}, not {content['ood_kind']!r}"
        )
    check_judged(content["explanation"], path)
    for key in ("metrics", "reference"):
        if not isinstance(content[key], dict):
            raise ArtifactError(f"{path}: {key} must be a table, not {content[key]!r}")
    if not all(map(_are_metrics, content["metrics"].values())):
        raise ArtifactError(f"{path}: metrics must hold tables of numbers, and fingerprints as text")
    labels = content["labels"]
    if not isinstance(labels, list) or len(labels) < 2 or not all(isinstance(label, str) for label in labels):
        raise ArtifactError(f"{path}: labels must be a list of at least two names, not {labels!r}")
    if len(set(labels)) != len(labels):
        raise ArtifactError(f"{path}: labels names a class twice")
    texts = [value for value in content.values() if isinstance(value, str)]
    if any("\ud800" <= character <= "\udfff" for character in "".join((*texts, *labels))):
        raise ArtifactError(f"{path}: names and labels must be text that UTF-8 can hold")


def _are_metrics(figures: Any) -> bool:
    return isinstance(figures, dict) and all(
        has_shape(value, str if key in FINGERPRINTS else float) for key, value in figures.items()
    )

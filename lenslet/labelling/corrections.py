"""Corrections that POST /feedback has stored, read as proposals for a reviewer; others may have written there, too."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lenslet.inference.decode import decode
from lenslet.inference.errors import LensletError
from lenslet.inference.json_text import has_shape, parse_json
from lenslet.inference.printable import printable
from lenslet.serving.feedback import FEEDBACK_FORMAT, STORED_SIDE

MAX_BYTES = 1_000_000  # of a record, which may have thousands of labels, and of a photo of 512 × 512 pixels
PHOTO_NAME = re.compile(r"[0-9a-f]{32}\.jpg")
# A model's name and version; no markup, controls or switches of the writing direction, as others may write records.
TEXT = re.compile(r"[^<>&\"'`\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]{1,100}")


@dataclass(frozen=True)
class Corrected:
    """A photo, the labels that callers gave it (None: none of the model's), and the model's answer."""

    path: Path
    sha256: str
    labels: tuple[str | None, ...]
    given: str
    probability: float
    model: str  # name and version


@dataclass(frozen=True)
class Corrections:
    """Records found = the sum of `records` of the photos + known + left out."""

    found: int
    photos: tuple[Corrected, ...]
    known: int
    left_out: Mapping[Path, str]

    def text(self) -> str:
        lines = [
            f"{self.found:,} corrections found",
            f"{len(self.photos):,} photos to review",
            f"{self.known:,} known already",
            f"{len(self.left_out):,} left out",
        ]
        lines += [f"  {printable(path)}: {reason}" for path, reason in self.left_out.items()]
        return "\n".join(lines)


def read_corrections(folder: Path, labels: Sequence[str], known: frozenset[str] = frozenset()) -> Corrections:
    """All corrections in the folder, a photo once, in the order of the records' names.

    `known`: checksums of photos that a reviewer has already. Raises: OSError.
    """
    paths = sorted(folder.glob("*.json"))
    by_photo: dict[str, list[dict[str, Any]]] = {}
    left_out: dict[Path, str] = {}
    for path in paths:
        try:
            record = _read_record(path, labels)
        except (OSError, ValueError) as error:
            left_out[path] = str(error)
            continue
        by_photo.setdefault(record["photo"], []).append(record | {"at": path})
    photos, number_known = [], 0
    for name, records in by_photo.items():
        try:
            sha256 = _check_photo(folder / name)
        except (OSError, ValueError, LensletError) as error:
            left_out |= {record["at"]: str(error) for record in records}
            continue
        if sha256 in known:
            number_known += len(records)
        else:
            photos.append(_corrected(folder / name, sha256, records))
    return Corrections(len(paths), tuple(photos), number_known, left_out)


def _corrected(path: Path, sha256: str, records: Sequence[dict[str, Any]]) -> Corrected:
    latest = max(records, key=lambda record: str(record["time"]))
    best = latest["predictions"][0]
    model = f"{latest['model']['name']} {latest['model']['version']}"
    said = tuple(dict.fromkeys(record["label"] for record in records))
    return Corrected(path, sha256, said, str(best["label"]), float(best["probability"]), model)


def _read_record(path: Path, labels: Sequence[str]) -> dict[str, Any]:
    """Raises: OSError, ValueError with what is wrong in it."""
    record = parse_json(_read(path))
    if not isinstance(record, dict) or record.get("format") != FEEDBACK_FORMAT:
        raise ValueError(f"it is no correction of format {FEEDBACK_FORMAT}")
    is_whole = (
        PHOTO_NAME.fullmatch(str(record.get("photo")))
        and has_shape(record.get("time"), str)
        and has_shape(record.get("model"), {str: str})
        and record["model"].keys() == {"name", "version"}
        and all(map(TEXT.fullmatch, record["model"].values()))
        and isinstance(record.get("predictions"), list)
        and record["predictions"]
        and all(_is_prediction(each) for each in record["predictions"])
    )
    if not is_whole:
        raise ValueError("a field of it is missing, or is not what POST /feedback writes")
    if not (record.get("label") is None or record["label"] in labels):
        raise ValueError("its label is none of the model's")
    if record["predictions"][0]["label"] not in labels:
        raise ValueError("the answer in it has a label that the model does not know")
    return record


def _read(path: Path) -> bytes:
    """Raises: OSError; ValueError if it is no file that POST /feedback writes: a pipe would be waited for."""
    if path.exists() and not path.is_file():
        raise ValueError("it is no regular file")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
    return path.read_bytes()


def _is_prediction(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and has_shape(value.get("label"), str)
        and has_shape(value.get("probability"), float)
        and 0 <= value["probability"] <= 1
    )


def _check_photo(path: Path) -> str:
    """The photo's checksum. Raises: OSError; ValueError, LensletError if it is another picture, or none."""
    data = _read(path)
    sha256 = hashlib.sha256(data).hexdigest()
    if not sha256.startswith(path.stem):
        raise ValueError("its photo is another one than was sent")
    decode(data, STORED_SIDE, ("JPEG",))
    return sha256

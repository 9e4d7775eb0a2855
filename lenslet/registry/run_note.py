"""`tracking.json`: which MLflow run a model folder, or the folder of a training, belongs to."""

import json
from pathlib import Path

from lenslet.inference.artifact import sha256_of
from lenslet.inference.atomic import write_text
from lenslet.inference.json_text import parse_json
from lenslet.training.record import RECORD_NAME

NOTE_NAME = "tracking.json"


def write_note(folder: Path, run_id: str) -> None:
    """Record which run `folder` belongs to. The note is invalid once the model is trained again."""
    note = {"run_id": run_id, "training_sha256": _training_sha256(folder)}
    write_text(folder / NOTE_NAME, json.dumps(note, indent=2) + "\n")


def noted_run(folder: Path) -> str:
    """The run that `folder` belongs to; empty if it was trained again since, or never tracked."""
    try:
        note = parse_json((folder / NOTE_NAME).read_text(encoding="utf-8"))
        return str(note["run_id"]) if note["training_sha256"] == _training_sha256(folder) else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _training_sha256(folder: Path) -> str:
    """Checksum of training.json; empty during training."""
    path = folder / RECORD_NAME
    return sha256_of(path.read_bytes()) if path.exists() else ""

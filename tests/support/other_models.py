"""Copies of the shipped model under other labels, as further models and candidates."""

import json
from pathlib import Path

from lenslet.inference.artifact import sha256_of

SHIPPED = Path(__file__).parents[2] / "model"
WEIGHTS = 2_000_000  # a place in the middle of them


def write_other_model(folder: Path, prefix: str, **changes: object) -> Path:
    """The shipped model with `prefix` before its labels, and one bit of one weight changed: another version."""
    folder.mkdir(parents=True)
    model = bytearray((SHIPPED / "model.tflite").read_bytes())
    model[WEIGHTS] ^= 1
    content = json.loads((SHIPPED / "model.json").read_text(encoding="utf-8"))
    content |= {"labels": [prefix + label for label in content["labels"]], "sha256": sha256_of(bytes(model))}
    (folder / "model.tflite").write_bytes(model)
    (folder / "model.json").write_text(json.dumps(content | changes), encoding="utf-8")
    return folder

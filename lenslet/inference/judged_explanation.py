"""The table `explanation` of `model.json`: the kind that `lenslet convert` found best, its constants and figures."""

import math
from pathlib import Path
from typing import Any

from lenslet.inference.errors import ArtifactError

# Kinds of explanation; `lenslet.inference.explanation` says what they are.
ACTIVATION_MAP, NORMALISED_MAP = "activation_map", "normalised_map"
OCCLUSION, OCCLUSION_AND_MAP = "occlusion", "occlusion_and_map"
EXPLANATION_FIGURES = (
    "photos",
    "circle_deletion",
    "deletion",
    "insertion",
    "deletion_gain",
    "gain_error",
    "pointing",
)


def check_judged(judged: Any, path: Path) -> None:
    """Raises: ArtifactError, naming the `path` of model.json, if the table is malformed."""
    kinds = (None, ACTIVATION_MAP, NORMALISED_MAP, OCCLUSION, OCCLUSION_AND_MAP)
    if not isinstance(judged, dict) or (judged and ("kind" not in judged or judged["kind"] not in kinds)):
        raise ArtifactError(f"{path}: explanation must be a table with a known kind, not {judged!r}")
    odd = [key for key in EXPLANATION_FIGURES if key in judged and not _is_finite(judged[key])]
    if odd:
        raise ArtifactError(f"{path}: explanation.{odd[0]} must be a number, not {judged[odd[0]]!r}")
    if judged.get("kind") != NORMALISED_MAP:
        return
    rows = judged.get("cell_scale")
    if not isinstance(rows, list) or not rows or not all(_is_scale(row) for row in rows):
        raise ArtifactError(f"{path}: explanation.cell_scale must be rows of numbers above 0, not {rows!r}")


def _is_scale(row: Any) -> bool:
    return isinstance(row, list) and bool(row) and all(_is_finite(each) and each > 0 for each in row)


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)

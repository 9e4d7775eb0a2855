"""`model.json`, the checksum of the model, and atomic replacement of files."""

import hashlib
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lenslet.inference.artifact import Artifact, read_artifact, read_model, write_artifact
from lenslet.inference.atomic import replacing, write_text
from lenslet.inference.errors import ArtifactError

TFLITE = b"the bytes of a model"
ARTIFACT = Artifact(
    name="scenes",
    labels=("forest", "sea", "Straße"),
    image_size=160,
    resize="squash-bilinear-antialias",
    sha256=hashlib.sha256(TFLITE).hexdigest(),
    precision="float16",
    runtime="tflite-runtime 2.14.0",
    temperature=1.25,
    conformal_alpha=0.1,
    conformal_threshold=0.375,
    ood_threshold=-1.5,
    metrics={"validation": {"accuracy": 0.9375, "photos": 64}},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole model folder; its model.tflite is no real one."""
    (tmp_path / "model.tflite").write_bytes(TFLITE)
    write_artifact(ARTIFACT, tmp_path)
    return tmp_path


# --- model.json


@pytest.mark.parametrize("name", ["model.json", "model.tflite"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_has_no_end_is_not_read(name: str, kind: str, folder: Path) -> None:
    (folder / name).unlink()
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to("/dev/null")
    with pytest.raises(ArtifactError, match=f"{name} is no regular file"):
        read_model(folder, read_artifact(folder))


def test_round_trip(folder: Path) -> None:
    assert read_artifact(folder) == ARTIFACT
    assert read_model(folder, ARTIFACT) == TFLITE


def test_the_file_is_plain_json(folder: Path) -> None:
    text = (folder / "model.json").read_text(encoding="utf-8")
    assert '"Straße"' in text
    assert json.loads(text) == {
        "name": "scenes",
        "labels": ["forest", "sea", "Straße"],
        "image_size": 160,
        "resize": "squash-bilinear-antialias",
        "sha256": "68d18a506016639d3a8274be1d740a81afb482ffbfad7e4c3e10a5a32fd04840",
        "precision": "float16",
        "runtime": "tflite-runtime 2.14.0",
        "temperature": 1.25,
        "conformal_alpha": 0.1,
        "conformal_threshold": 0.375,
        "ood_threshold": -1.5,
        "metrics": {"validation": {"accuracy": 0.9375, "photos": 64}},
        "format_version": 3,
        "reference": {},
        "ood_kind": "energy",
        "explanation": {},
    }


FORMAT_2 = {
    "name": "scenes",
    "labels": ["forest", "sea", "Straße"],
    "image_size": 160,
    "resize": "squash-bilinear-antialias",
    "sha256": "68d18a506016639d3a8274be1d740a81afb482ffbfad7e4c3e10a5a32fd04840",
    "precision": "float16",
    "runtime": "tflite-runtime 2.14.0",
    "temperature": 1.25,
    "conformal_alpha": 0.1,
    "conformal_threshold": 0.375,
    "familiarity_threshold": 1.5,
    "metrics": {
        "validation": {"accuracy": 0.9375, "photos": 64},
        "test": {
            "worst_recall": 0.75,
            "worst_recall_low": 0.625,
            "worst_recall_high": 0.875,
            "familiar_share": 0.96875,
            "familiarity_auroc_noise": 0.99,
            "recall.familiar_share": 0.5,
        },
    },
    "format_version": 2,
}


def test_format_2_is_upgraded(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "model.json").write_text(json.dumps(FORMAT_2), encoding="utf-8")
    artifact = read_artifact(folder)
    figures = {
        "min_recall": 0.75,
        "min_recall_low": 0.625,
        "min_recall_high": 0.875,
        "ood_true_positive_rate": 0.96875,
        "ood_auroc_noise": 0.99,
        "recall.familiar_share": 0.5,  # of a class with this name
    }
    assert artifact == replace(ARTIFACT, metrics={**ARTIFACT.metrics, "test": figures})
    said = capsys.readouterr().err
    assert said.endswith(
        "model.json has format 2 and was read as format 3; "
        "`lenslet convert` or `lenslet evaluate` writes it again\n"
    )
    write_artifact(artifact, folder)
    assert read_artifact(folder) == artifact
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"familiarity_threshold": "1.5"}, "ood_threshold must be a number from -inf to inf, not '1.5'"),
        ({"metrics": [0.9]}, "metrics must be a table"),
        ({"ood_kind": "distance"}, "ood_kind must be energy or feature_residual, not 'distance'"),
        ({"explanation": ["occlusion"]}, "explanation must be a table with a known kind"),
        ({"explanation": {"kind": ["occlusion"]}}, "explanation must be a table with a known kind"),
        ({"explanation": {"photos": 9}}, "explanation must be a table with a known kind"),
        (
            {"explanation": {"kind": "occlusion", "deletion": "1"}},
            "explanation.deletion must be a number, not '1'",
        ),
        ({"explanation": {"kind": "normalised_map"}}, "cell_scale must be rows of numbers above 0"),
        (
            {"explanation": {"kind": "normalised_map", "cell_scale": [[1, 0]]}},
            "cell_scale must be rows of numbers above 0",
        ),
        ({"ood_threshold": -1.5, "colour": 1}, "lacks, or has unknown, keys: colour"),
    ],
)
def test_format_2_with_wrong_values(folder: Path, change: dict[str, Any], message: str) -> None:
    (folder / "model.json").write_text(json.dumps(FORMAT_2 | change), encoding="utf-8")
    with pytest.raises(ArtifactError, match=re.escape(message)):
        read_artifact(folder)


def test_version_follows_the_weights() -> None:
    assert replace(ARTIFACT, sha256="0123456789abcdef" * 4).version == "0123456789ab"


def test_whole_numbers_are_numbers(folder: Path) -> None:
    change(folder, temperature=1, conformal_threshold=0)
    assert read_artifact(folder).temperature == 1


def change(folder: Path, **values: Any) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "model.json cannot be read"),
        ('{"format_version": 3,', "model.json cannot be read"),
        ("[" * 100_000, "model.json cannot be read"),
        (b"\xff\xfe", "model.json cannot be read"),
        ("[]", "has the format version None; this version"),
        ("null", "has the format version None; this version"),
        ("{}", "has the format version None; this version"),
        ('{"format_version": 1}', "has the format version 1; this version"),
        ('{"format_version": "3"}', "has the format version '3'; this version"),
        ('{"format_version": 3, "labels": ["a", "b"]}', "lacks, or has unknown, keys: conformal_alpha"),
    ],
)
def test_damaged_file(folder: Path, text: str | bytes, message: str) -> None:
    (folder / "model.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ArtifactError, match=message):
        read_artifact(folder)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"colour": "red"}, "lacks, or has unknown, keys: colour"),
        ({"name": 7}, "name must be text, not 7"),
        ({"resize": None}, "resize must be text, not None"),
        ({"sha256": 12}, "sha256 must be text, not 12"),
        ({"precision": ["float16"]}, "precision must be text"),
        ({"runtime": 2.14}, "runtime must be text"),
        ({"image_size": "160"}, "image_size must be a number of pixels, not '160'"),
        ({"image_size": 160.5}, "image_size must be a number of pixels, not 160.5"),
        ({"image_size": True}, "image_size must be a number of pixels, not True"),
        ({"image_size": 0}, "image_size must be a number of pixels, not 0"),
        ({"image_size": -160}, "image_size must be a number of pixels, not -160"),
        ({"temperature": "1"}, "temperature must be a number from 0 to inf, not '1'"),
        ({"temperature": -1}, "temperature must be a number from 0 to inf, not -1"),
        ({"temperature": float("nan")}, "temperature must be a number from 0 to inf, not nan"),
        ({"ood_threshold": float("nan")}, "ood_threshold must be a number from -inf to inf"),
        ({"conformal_alpha": 1.5}, "conformal_alpha must be a number from 0 to 1, not 1.5"),
        ({"conformal_threshold": None}, "conformal_threshold must be a number from 0 to 1, not None"),
        ({"conformal_threshold": float("nan")}, "conformal_threshold must be a number from 0 to 1, not nan"),
        ({"metrics": [0.9]}, "metrics must be a table"),
        ({"labels": "ab"}, "at least two names, not 'ab'"),
        ({"labels": []}, "at least two names"),
        ({"labels": ["forest"]}, "at least two names"),
        ({"labels": ["forest", 2]}, "at least two names"),
        ({"labels": {"forest": 0, "sea": 1}}, "at least two names"),
        ({"labels": ["forest", "sea", "forest"]}, "labels names a class twice"),
    ],
)
def test_wrong_values(folder: Path, values: dict[str, Any], message: str) -> None:
    change(folder, **values)
    with pytest.raises(ArtifactError, match=re.escape(message)):
        read_artifact(folder)


def test_missing_file_says_who_writes_it(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"model\.json does not exist: `lenslet convert` writes it"):
        read_artifact(tmp_path)


def test_folder_that_is_a_file(folder: Path) -> None:
    with pytest.raises(ArtifactError, match=r"model\.json cannot be read"):
        read_artifact(folder / "model.tflite")


# --- model.tflite


def test_tampered_model(folder: Path) -> None:
    (folder / "model.tflite").write_bytes(TFLITE.replace(b"model", b"Model"))
    with pytest.raises(
        ArtifactError, match=r"begins 3e0a13acd854, expected 68d18a506016; run `lenslet convert` again"
    ):
        read_model(folder, ARTIFACT)


def test_missing_model(folder: Path) -> None:
    (folder / "model.tflite").unlink()
    with pytest.raises(ArtifactError, match=r"model\.tflite cannot be read: No such file"):
        read_model(folder, ARTIFACT)


# --- replacing


def test_text_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "note.txt"
    write_text(path, "first")
    write_text(path, "größer")
    assert path.read_bytes() == "größer".encode()
    assert [each.name for each in path.parent.iterdir()] == ["note.txt"]


def test_failure_in_the_middle_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="power cut"), replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError("power cut")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["note.txt"]


def test_failure_of_the_first_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="power cut"), replacing(tmp_path / "note.txt") as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError("power cut")
    assert list(tmp_path.iterdir()) == []


def test_readers_see_the_old_file_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / "weights.keras"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == tmp_path  # a rename is atomic within one file system
        assert temporary.suffix == ".keras"  # Keras chooses the format by the suffix
    assert path.read_text() == "new"


def test_artifact_that_cannot_be_serialized_keeps_the_old_one(folder: Path) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_artifact(replace(ARTIFACT, metrics={"accuracy": object()}), folder)
    assert read_artifact(folder) == ARTIFACT

"""The check of model.tflite, on damaged copies of the shipped file that end the runtime in SIGSEGV without it."""

import struct

import pytest

from lenslet.inference.artifact import TFLITE_NAME, read_artifact
from lenslet.inference.errors import ArtifactError
from lenslet.inference.tflite_file import check_tflite
from tests.support.damaged_models import damaged_copies, end_of_start
from tests.support.endpoint import ROOT

MODEL = ROOT / "model"


@pytest.fixture(scope="module")
def shipped():
    return (MODEL / TFLITE_NAME).read_bytes()


def test_shipped_model_is_whole(shipped):
    check_tflite(shipped)


@pytest.mark.slow
def test_no_damage_kills_the_process(shipped):
    """Of these 120 copies 50 ended in SIGSEGV before there was the check."""
    artifact = read_artifact(MODEL)
    ends = [end_of_start(copy, artifact) for copy in damaged_copies(shipped, 120)]
    assert [end for end in ends if end.startswith(("signal", "traceback"))] == []
    assert sum("is damaged" in end for end in ends) > 60


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda model: b"", "it does not begin as a TFLite file"),
        (lambda model: b"\0\0\0\0TFL3", "an offset points outside of it"),
        (lambda model: model[:1000], "outside of it"),
        (lambda model: model[:4_450_000], "outside of it"),
        (lambda model: struct.pack("<I", 2**31) + model[4:], "an offset points outside of it"),
        (lambda model: struct.pack("<I", 8) + model[4:], "outside of it|beyond its end|unknown field"),
    ],
)
def test_damage_is_said(shipped, damage, sentence):
    with pytest.raises(
        ArtifactError, match=f"cannot load model.tflite: the file is damaged: .*({sentence}).*lenslet convert"
    ):
        check_tflite(damage(shipped))


def test_endless_tables_end():
    """A vector with 40,000 offsets to a table that has one to 40,000 again would take hours."""
    # root → Model{codes: vector} ; each element is an OperatorCode table of no fields, all at the same place
    vtable = struct.pack("<HHHH", 8, 8, 0, 4)
    count = 200_000
    model = bytearray(struct.pack("<I4s", 16, b"TFL3") + vtable)
    table = len(model)
    assert table == 16
    model += struct.pack("<iI", 8, 4)  # back to its layout; the vector follows
    model += struct.pack("<I", count)
    first = len(model)
    empty = first + 4 * count
    for index in range(count):
        model += struct.pack("<I", empty + 4 - (first + 4 * index))
    model += struct.pack("<HH", 4, 4) + struct.pack("<i", 4)
    with pytest.raises(ArtifactError, match="more than 100,000 tables"):
        check_tflite(bytes(model))

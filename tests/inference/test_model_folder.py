"""Replacement of a model folder while it is served, and on a disk that is full."""

import json
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from lenslet.inference.artifact import read_artifact, read_model_folder, sha256_of, write_model_folder
from lenslet.inference.atomic import probe_folder, write_or_keep
from lenslet.inference.errors import ArtifactError, InputError
from tests.support.endpoint import ROOT

MODEL = ROOT / "model"
WRITE = """
import resource, signal, sys
from dataclasses import replace
from pathlib import Path
from lenslet.inference.artifact import read_artifact, sha256_of, write_model_folder
folder, limit = Path(sys.argv[1]), int(sys.argv[2])
artifact = read_artifact(folder)
model = b"x" * 100_000
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # a longer file cannot be written: as on a full disk
write_model_folder(replace(artifact, sha256=sha256_of(model)), model, folder)
"""


KILLED = """
import os, sys
from dataclasses import replace
from pathlib import Path
from lenslet.inference.artifact import read_artifact, sha256_of, write_model_folder
folder, allowed, rename = Path(sys.argv[1]), int(sys.argv[2]), Path.replace
def rename_or_die(path, target):
    global allowed
    allowed -= 1
    return rename(path, target) if allowed >= 0 else os._exit(9)
Path.replace = rename_or_die
artifact = read_artifact(folder)
model = sys.argv[3].encode() * 100_000
write_model_folder(replace(artifact, sha256=sha256_of(model)), model, folder)
"""


@pytest.fixture
def folder(tmp_path):
    for name in ("model.json", "model.tflite"):
        shutil.copy(MODEL / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("limit", [0, 1000, 50_000])
def test_full_disk_leaves_the_old_model(folder, limit):
    before = read_model_folder(folder)
    done = subprocess.run(
        [sys.executable, "-c", WRITE, folder, str(limit)], cwd=ROOT, capture_output=True, text=True
    )
    assert "File too large" in done.stderr
    assert read_model_folder(folder) == before
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.tflite"]


@pytest.mark.slow
@pytest.mark.parametrize("renamed", [0, 1, 2])
def test_killed_writers_leave_a_whole_model(folder, renamed):
    """Also the second time, when the folder holds what the first one left."""
    before = read_model_folder(folder)
    for letter in "xy":
        done = subprocess.run([sys.executable, "-c", KILLED, folder, str(renamed), letter], cwd=ROOT)
        assert done.returncode == 9
        assert read_model_folder(folder) == before
    subprocess.run([sys.executable, "-c", KILLED, folder, "3", "z"], cwd=ROOT, check=True)
    assert read_model_folder(folder)[1] == b"z" * 100_000
    assert not (folder / ".model.previous.tflite").exists()


@pytest.mark.slow
def test_readers_find_one_model_while_it_is_replaced(folder):
    artifact = read_artifact(folder)
    models = [bytes([number]) * 200_000 for number in range(8)]
    write_model_folder(replace(artifact, sha256=sha256_of(models[0])), models[0], folder)
    stop = threading.Event()

    def replace_again_and_again():
        number = 0
        while not stop.is_set():
            number = (number + 1) % len(models)
            write_model_folder(replace(artifact, sha256=sha256_of(models[number])), models[number], folder)
            stop.wait(0.01)

    writer = threading.Thread(target=replace_again_and_again)
    writer.start()
    try:
        for _ in range(200):
            found, model = read_model_folder(folder)
            assert found.sha256 == sha256_of(model)
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"temperature": ', '"temperature": 0, "was": ', "lacks, or has unknown, keys: was"),
        ('"name": ', '"name": "other", "name": ', "the key 'name' is given twice"),
    ],
)
def test_changed_model_json(folder, old, new, sentence):
    path = folder / "model.json"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ArtifactError, match=sentence):
        read_artifact(folder)


@pytest.mark.parametrize("value", ["0", "-0.0", "1e999", "9" * 5000])
def test_temperature_that_divides_nothing(folder, value):
    path = folder / "model.json"
    content = path.read_text()
    given = json.loads(content)["temperature"]
    path.write_text(content.replace(f'"temperature": {given}', f'"temperature": {value}', 1))
    with pytest.raises(ArtifactError, match=r"model\.json"):
        read_artifact(folder)


def test_work_is_kept_where_the_sentence_says(tmp_path):
    def write(folder):
        if folder.name == "full":
            raise OSError(28, "No space left on device")
        (folder / "result").write_text("an hour of work")

    with pytest.raises(InputError, match=r"No space left on device.* is in ") as refused:
        write_or_keep(write, tmp_path / "full")
    kept = Path(re.search(r" is in (\S+);", str(refused.value))[1])
    assert (kept / "result").read_text() == "an hour of work"
    shutil.rmtree(kept)


@pytest.mark.parametrize("name", ["a file", "a file/below", "/proc/none/of/it"])
def test_folder_that_cannot_be_written(tmp_path, name):
    (tmp_path / "a file").write_text("")
    with pytest.raises(InputError, match=r"nothing can be written into --out .*: give another folder"):
        probe_folder(tmp_path / name, "--out")


def test_probe_leaves_nothing(tmp_path):
    probe_folder(tmp_path / "new" / "folder", "--out")
    assert list(tmp_path.iterdir()) == []

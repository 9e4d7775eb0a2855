"""Files that Lenslet reads again, tampered with: an InputError with one sentence, or an answer; never more."""

import json
import shutil
from contextlib import suppress
from dataclasses import asdict
from io import BytesIO

import numpy as np
import pytest

from lenslet.commands.evaluate import training_facts
from lenslet.config import read_params
from lenslet.evaluation.gate import decide, read_figures
from lenslet.evaluation.reference import from_json
from lenslet.inference import artifact as artifact_module
from lenslet.inference.artifact import read_artifact
from lenslet.inference.classifier import Classifier
from lenslet.inference.errors import InputError
from lenslet.registry.run_note import noted_run
from lenslet.serving.answer import answer, description
from lenslet.serving.request import PredictRequest
from lenslet.training.record import read_record, write_record
from lenslet.training.run import Checkpoint, Run, read_checkpoint, start_run, unfinished_run, write_checkpoint
from tests.support.endpoint import ROOT
from tests.support.odd_json import tampered
from tests.support.photos import quadrants, saved
from tests.support.tiny import tiny_dataset

MODEL = ROOT / "model"


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setattr(artifact_module, "RETRIES", 0)
    for name in ("model.json", "model.tflite", "training.json"):
        shutil.copy(MODEL / name, tmp_path / name)
    return tmp_path


def small(document, **changes):
    """The document with few metrics, so that each of them can be tampered with."""
    metrics = {"validation": {"photos": 10.0, "accuracy": 0.5, "data_fingerprint": "a"}}
    return {**document, "metrics": metrics, **changes}


@pytest.mark.slow
def test_model_json(model):
    document = small(json.loads((model / "model.json").read_text()), reference={})
    photo = saved(quadrants("RGBY"), "JPEG")
    request = PredictRequest((lambda: photo,), is_batch=False, top=None, explain=None)
    answered = 0
    for text in tampered(document):
        (model / "model.json").write_text(text)
        with suppress(InputError):
            found = Classifier.load(model)
            json.dumps(description(found.artifact), allow_nan=False).encode()
            json.dumps(answer(request, found), allow_nan=False).encode()
            answered += 1
    assert answered


def test_reference_in_model_json(model):
    document = json.loads((model / "model.json").read_text())["reference"]
    document["quantiles"] = {name: values[:2] for name, values in document["quantiles"].items()}
    document["confusion"] = document["confusion"][:2]
    for text in tampered(document):
        with suppress(ValueError):
            from_json(json.loads(text), 6) if isinstance(json.loads(text), dict) else None


def test_figures_in_model_json_and_metrics_json(model):
    limits = read_params(ROOT / "params.yaml").gate
    figures = {"version": "a", "test_fingerprint": "b", "accuracy": 0.9, "accuracy_low": 0.8, "macro_f1": 0.8}
    for text in tampered(figures):
        (model / "metrics.json").write_text(text)
        with suppress(InputError):
            found = read_figures(model / "metrics.json")
            assert decide(found, limits, {**figures, "version": "c"}).table
            assert decide({**figures, "version": "c"}, limits, found).table
    document = small(json.loads((model / "model.json").read_text()), reference={})
    document["metrics"] = {"test": figures}
    for text in tampered(document["metrics"]):
        (model / "model.json").write_text(json.dumps({**document, "metrics": json.loads(text)}))
        with suppress(InputError):
            read_artifact(model)
            decide(read_figures(model), limits)


@pytest.mark.slow
def test_training_json(model):
    document = json.loads((model / "training.json").read_text())
    document["history"] = {"head": {"loss": [0.5, 0.4]}}
    document["splits"] = {name: packed[:32] for name, packed in document["splits"].items()}  # of three photos
    for text in tampered(document):
        (model / "training.json").write_text(text)
        with suppress(InputError):
            record = read_record(model)
            training_facts(record, tiny_dataset())
            write_record(record, model)


def test_note_of_the_run(model):
    for text in tampered({"run_id": "a", "training_sha256": "b"}):
        (model / "tracking.json").write_text(text)
        assert isinstance(noted_run(model), str)


WANTED = Run(
    "/out/mine", {"seed": 1, "head": {"dropout": 0.2}}, "photos", "float32", {"head": {"loss": [0.5]}}
)
WEIGHTS = [np.zeros(3, np.float32)]


@pytest.fixture
def run(tmp_path):
    start_run(tmp_path / "runs" / "20260101-mine", WANTED)
    write_checkpoint(
        tmp_path / "runs" / "20260101-mine",
        Checkpoint(0.7, WEIGHTS, WEIGHTS, {"val_loss": [0.5]}, minutes=2.0),
    )
    return tmp_path / "runs" / "20260101-mine"


def go_on(run):
    """What --resume makes of it before Keras comes in."""
    with suppress(InputError):
        if found := unfinished_run(run.parent, WANTED):
            _, started, _ = found
            assert 60 * started.minutes == 60 * started.minutes or started.minutes != started.minutes
            assert all(values is not None for values in dict(started.history).values())
            checkpoint = read_checkpoint(run)
            assert checkpoint.is_at_end_of(2) in (True, False)
            assert min([checkpoint.entry_loss, *checkpoint.losses]) is not None
            write_checkpoint(run.parent / "other", checkpoint)


def test_run_json(run):
    for text in tampered(asdict(WANTED)):
        (run / "run.json").write_text(text)
        go_on(run)


def test_facts_of_a_checkpoint(run):
    facts = {"entry_loss": 0.7, "history": {"val_loss": [0.5], "loss": [0.4]}, "minutes": 2.0}
    for text in tampered(facts):
        np.savez(
            run / "checkpoint.npz", facts=np.array(text), **{"variable 0": WEIGHTS[0], "best 0": WEIGHTS[0]}
        )
        go_on(run)


def test_bytes_of_a_checkpoint(run):
    """Empty, cut off, with other bytes anywhere, and with an array of a size that no memory holds."""
    whole = (run / "checkpoint.npz").read_bytes()
    random = np.random.default_rng(3)
    damaged = [b"", whole[:1], whole[: len(whole) // 2], whole[:-1]]
    for position in random.integers(0, len(whole), 400):
        damaged.append(whole[:position] + bytes([random.integers(256)]) + whole[position + 1 :])
    huge = BytesIO()
    np.savez(huge, facts=np.array("{}"), **{"variable 0": WEIGHTS[0]})
    damaged.append(huge.getvalue().replace(b"(3,)       ", b"(9999999999,)"[:11].ljust(11)))
    for content in damaged:
        (run / "checkpoint.npz").write_bytes(content)
        go_on(run)

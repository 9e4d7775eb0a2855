"""What the README shows is so: its length, the sample answer, and the figures of the shipped model."""

import json
import re
import shlex

import pytest

from lenslet.inference.classifier import Classifier
from lenslet.serving.answer import answer
from lenslet.serving.gateway import read_http_request
from lenslet.serving.request import read_predict_request
from tests.support.documents import ROOT, read, rows, section

README = read("README.md")
FIGURES = json.loads(read("model/model.json"))["metrics"]["test"]
TABLE = dict(row[:2] for row in rows(section("README.md", "What it measures")))


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_sample_answer_is_what_the_shipped_model_answers() -> None:
    [request] = re.findall(r"^curl (.+)$", section("README.md", "See it work"), re.MULTILINE)
    words = shlex.split(request)
    photo = ROOT / words[words.index("--data-binary") + 1].removeprefix("@")
    path, query = words[-1].removeprefix("http://127.0.0.1:8080").split("?")
    event = {
        "version": "2.0",
        "requestContext": {"http": {"method": "POST", "path": path}},
        "rawPath": path,
        "rawQueryString": query,
        "queryStringParameters": dict([query.split("=")]),
        "headers": {"content-type": "image/jpeg"},
        "body": photo.read_bytes(),
    }
    call = read_http_request(event)
    assert call is not None
    given = answer(read_predict_request(call), Classifier.load(ROOT / "model"))
    [block] = re.findall(r"^```json\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    shown = json.loads(block)
    # Kernels of other runtimes and processors differ by about 1e-5.
    for ours, theirs in zip(given["predictions"], shown["predictions"], strict=True):
        assert ours["probability"] == pytest.approx(theirs["probability"], abs=1e-3)
        theirs["probability"] = ours["probability"]
    assert given == shown


def test_accuracy_is_that_of_the_shipped_model() -> None:
    name = f"accuracy, {FIGURES['photos']:,.0f} test photos of the Intel set"
    low, high = FIGURES["accuracy_low"], FIGURES["accuracy_high"]
    assert TABLE[name] == f"{FIGURES['accuracy']:.3f} (95 % interval {low:.3f} to {high:.3f})"
    assert TABLE["lowest per-class recall"] == f"{FIGURES['min_recall']:.2f}"


def test_calibration_and_robustness_are_those_of_the_shipped_model() -> None:
    before, after = FIGURES["calibration_error_before"], FIGURES["calibration_error"]
    assert TABLE["expected calibration error"] == f"{after:.3f} ({before:.3f} before temperature scaling)"
    name = "accuracy under 9 corruptions at 5 severities, relative to clean"
    assert TABLE[name] == f"{FIGURES['robustness_mean']:.2f}"
    assert TABLE["time per photo, one thread"] == f"{FIGURES['time_ms']:.1f} ms"


def test_out_of_distribution_detection_is_that_of_the_shipped_model() -> None:
    noise, text, doodles, roads = (
        f"{FIGURES[f'ood_auroc_{name}']:.2f}" for name in ("noise", "text", "drawings", "photos")
    )
    shown = f"noise {noise}, text {text}, doodles {doodles}, photos of roads {roads}"
    assert TABLE["out-of-distribution detection (AUROC)"] == shown


def test_version_in_the_sample_answer_is_that_of_the_model() -> None:
    assert f'"version": "{json.loads(read("model/model.json"))["sha256"][:12]}"' in README

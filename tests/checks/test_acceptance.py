"""The staging check against the real server, and against servers that are wrong, refuse, break down or are busy."""

import hashlib
import json
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from lenslet.checks import endpoint as service
from lenslet.cli import main
from lenslet.inference.classifier import Classifier
from lenslet.serving.answer import answer, description
from lenslet.serving.request import predict_request_of
from tests.support.endpoint import ROOT, running
from tests.support.json_server import Reply, Request, answering

SAMPLE = ROOT / "data" / "sample" / "test"
Answer = tuple[int, Any]  # status, JSON


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load(ROOT / "model")


@pytest.fixture
def params(tmp_path: Path) -> Path:
    """The shipped limits with few photos, and a processor that others may use, too."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content["endpoint"] |= {"photos": 6, "corruption_photos": 1}
    content["endpoint"]["min"] |= {"robustness_mean": 0.5, "robustness_worst": 0}
    content["endpoint"]["max"] |= {"p95_ms": 5000, "errors": 0.05}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@contextmanager
def serving(
    classifier: Classifier, change: Callable[[int, dict[str, Any]], Answer], **described: Any
) -> Iterator[tuple[str, list[str]]]:
    """The model behind HTTP, each prediction changed by its number; gives the address and the methods that came."""
    asked: list[str] = []

    def reply(request: Request) -> Reply:
        asked.append(request.method)
        if request.method == "GET":
            return Reply(described.get("status", 200), description(classifier.artifact) | described)
        question = predict_request_of(json.loads(request.body))
        return Reply(*change(asked.count("POST"), answer(question, classifier)))

    with answering(reply) as address:
        yield address, asked


def exchanged(number: int, content: dict[str, Any]) -> Answer:
    """Another label in the first place."""
    first, second = content["predictions"][:2]
    first["label"], second["label"] = second["label"], first["label"]
    return 200, content


def moved(by: float) -> Callable[[int, dict[str, Any]], Answer]:
    def change(number: int, content: dict[str, Any]) -> Answer:
        content["predictions"][0]["probability"] -= by
        content["predictions"][1]["probability"] += by
        return 200, content

    return change


def busy_at_first() -> Callable[[int, dict[str, Any]], Answer]:
    """Each photo is turned away once; told by their answers, which differ."""
    seen: set[str] = set()

    def change(number: int, content: dict[str, Any]) -> Answer:
        is_new = json.dumps(content) not in seen
        seen.add(json.dumps(content))
        return 429 if is_new else 200, content

    return change


def unchanged(number: int, content: dict[str, Any]) -> Answer:
    return 200, content


LIMITS = {"accuracy", "robustness_mean", "robustness_worst", "agreement", "errors", "p95_ms"}
SERVERS: dict[str, tuple[Callable[[int, dict[str, Any]], Answer], set[str]]] = {
    # What is changed of each answer → the limits that fail. There are 51 requests.
    "nothing": (unchanged, set()),
    "the last digits": (moved(0.00002), set()),
    "probabilities": (moved(0.002), {"agreement"}),
    "labels": (exchanged, {"accuracy", "robustness_mean", "robustness_worst", "agreement"}),
    "two are errors": (lambda number, content: (500 if number in (40, 41) else 200, content), set()),
    "all are errors at last": (lambda number, content: (500 if number > 9 else 200, content), LIMITS),
    "all are busy at first": (busy_at_first(), set()),
    "all are busy": (lambda number, content: (503, content), LIMITS),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SERVERS)
def test_server(name: str, classifier: Classifier, params: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(service, "PAUSES_S", (0.01, 0.01, 0.01))
    change, failing = SERVERS[name]
    with serving(classifier, change) as (url, asked):
        code = main(["accept", url, "--params", str(params), "--json"])
    captured = capsys.readouterr()
    printed, report = captured.err, json.loads(captured.out)
    assert f"51 requests to {url}: 6 photos as they are, 45 corrupted ones\n" in printed
    assert {each["metric"] for each in report["verdicts"] if not each["is_kept"]} == failing, printed
    assert code == (1 if failing else 0)
    assert report["model"] == classifier.artifact.version
    if failing == LIMITS:
        assert report["requests"] < 51
        assert "not to be promoted" in printed
    if name == "all are busy at first":
        assert report["asked_again"] > 45
        assert asked.count("POST") == 51 + report["asked_again"]
        assert f"{report['asked_again']} requests had to be sent again: the endpoint was busy" in printed


@pytest.mark.slow
def test_another_model_is_refused_before_any_photo_is_sent(classifier, params, capsys) -> None:
    with serving(classifier, unchanged, version="0123456789ab") as (url, asked):
        assert main(["accept", url, "--params", str(params)]) == 1
    assert asked == ["GET"]
    ours = classifier.artifact.version
    sentence = f"{url} serves model 0123456789ab, the local one is {ours}: deploy it, or give --model"
    assert capsys.readouterr().err == f"lenslet accept: {sentence}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "key", "complaint"),
    [
        (401, None, "it wants a key: give --key or LENSLET_API_KEY"),
        (403, None, "it wants a key: give --key or LENSLET_API_KEY"),
        (403, "wrong", "it refuses this key"),
    ],
)
def test_closed_endpoint_is_one_sentence(
    status, key, complaint, classifier, params, monkeypatch, capsys
) -> None:
    monkeypatch.delenv("LENSLET_API_KEY", raising=False)
    options = ["--key", key] if key else []
    with serving(classifier, unchanged, status=status) as (url, asked):
        assert main(["accept", url, "--params", str(params), *options]) == 2
    assert capsys.readouterr().err == f"lenslet accept: {url} answers with status {status}: {complaint}\n"
    assert asked == ["GET"]


def test_endpoint_that_is_down_is_one_sentence(params: Path, capsys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert main(["accept", url, "--params", str(params)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    said = [line for line in captured.err.splitlines() if line.startswith("lenslet accept:")]
    assert len(said) == 1
    assert said[0].startswith(f"lenslet accept: {url} cannot be asked: no answer: ")
    assert said[0].endswith("Connection refused")


@pytest.mark.parametrize(
    ("url", "complaint"),
    [("http://[::1", "Invalid IPv6 URL"), ("127.0.0.1:1", "http:// or https:// is missing before it")],
)
def test_address_that_is_none_is_one_sentence(url: str, complaint: str, params: Path, capsys) -> None:
    assert main(["accept", url, "--params", str(params)]) == 2
    assert capsys.readouterr().err == f"lenslet accept: {url} is not a valid address: {complaint}\n"


def put_text_among_photos(data: Path) -> str:
    (data / "sea" / "00.jpg").write_text("no photo")
    return "sea/00.jpg: "


def put_another_class(data: Path) -> str:
    (data / "cats").mkdir()
    shutil.copy(data / "sea" / "00.jpg", data / "cats")
    return "has the class 'cats'; the model knows buildings, forest,"


@pytest.mark.slow
@pytest.mark.parametrize("damage", [put_text_among_photos, put_another_class, shutil.rmtree])
def test_folder_that_cannot_be_sent(damage, classifier, params, tmp_path, capsys) -> None:
    data = tmp_path / "data"
    for label in ("forest", "sea"):
        (data / label).mkdir(parents=True)
        shutil.copy(SAMPLE / label / "00.jpg", data / label)
    complaint = damage(data) or f"{data} does not exist"
    with serving(classifier, unchanged) as (url, asked):
        assert main(["accept", url, "--data", str(data), "--params", str(params)]) == 2
    assert complaint in capsys.readouterr().err
    assert "POST" not in asked


@pytest.mark.slow
def test_real_server_with_a_key_passes(params: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("LENSLET_API_KEYS", hashlib.sha256(b"the-key").hexdigest())
    with running() as (url, _):
        monkeypatch.setenv("LENSLET_API_KEY", "the-key")
        assert main(["accept", url, "--params", str(params)]) == 0
        printed = capsys.readouterr().out
        assert re.search(r"^agreement +100\.0% ", printed, re.MULTILINE)
        assert printed.endswith("all limits are kept\n")
        assert "the-key" not in printed
        assert main(["accept", url, "--params", str(params), "--key", "another"]) == 2
        assert "it refuses this key" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "corruption_photos: 12 ",
            "corruption_photos: 61 ",
            r"endpoint\.corruption_photos must not be above photos, but is 61",
        ),
        ("clients: 4 ", "clients: 0 ", r"endpoint\.clients must be at least 1"),
    ],
)
def test_settings_that_make_no_sense(old: str, new: str, message: str, tmp_path: Path, capsys) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert text.count(old) == 1
    (tmp_path / "params.yaml").write_text(text.replace(old, new), encoding="utf-8")
    assert main(["accept", "http://127.0.0.1:9", "--params", str(tmp_path / "params.yaml")]) == 2
    assert re.search(message, capsys.readouterr().err)

"""A candidate model beside the served one: compared in the log, and without effect on any answer."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import requests

import lambda_func
from bench.clients import descendants
from lenslet.inference.artifact import read_artifact
from lenslet.inference.classifier import Classifier
from lenslet.inference.errors import ArtifactError
from lenslet.serving import shadow
from lenslet.serving.answer import Seen
from lenslet.serving.models import Models
from lenslet.serving.shadow import Shadow, Target, read_shadow
from tests.support import candidates
from tests.support.endpoint import ROOT
from tests.support.function_log import write_metrics
from tests.support.other_models import SHIPPED, write_other_model
from tests.support.photos import RED, flat, saved

PHOTO = saved(flat(RED), "PNG")
EVENT = {"image": base64.b64encode(PHOTO).decode()}
SERVED = read_artifact(SHIPPED)


@pytest.fixture(autouse=True)
def log_to_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    write_metrics(monkeypatch)


class Printed:
    """Lines that this process and its children have printed so far."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.capfd, self.text = capfd, ""

    def lines(self, part: str) -> list[str]:
        self.text += self.capfd.readouterr().out
        return [line for line in self.text.splitlines() if part in line]


@pytest.fixture
def printed(capfd: pytest.CaptureFixture[str]) -> Printed:
    return Printed(capfd)


def start(target: Target | None, failures: list[str], folder: Path = SHIPPED) -> Shadow:
    """A shadow of every answer, its process being there."""
    shadow = Shadow(folder, SERVED.image_size, 1, failures.append, target)
    until(lambda: shadow._channel)
    return shadow


def until(is_so: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def ask(monkeypatch: pytest.MonkeyPatch, candidate: Shadow | None, event: Any = None) -> Any:
    monkeypatch.setattr(lambda_func, "shadow", candidate)
    return lambda_func.handler(event or EVENT, SimpleNamespace(aws_request_id="6f1c2d3e"))


@pytest.mark.slow
def test_candidate_is_compared_in_log_and_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: Printed
) -> None:
    plain = ask(monkeypatch, None)
    folder = write_other_model(tmp_path / "candidate", "new ")
    settings = {"LENSLET_SHADOW": str(folder), "LENSLET_SHADOW_SHARE": "1"}
    candidate = read_shadow(settings, SERVED, pytest.fail)
    assert candidate
    until(lambda: candidate._channel)
    assert ask(monkeypatch, candidate) == plain  # of the served model
    until(lambda: printed.lines("ShadowDisagreements"))
    [line] = map(json.loads, printed.lines('"compared"'))
    [best, *_] = plain["predictions"]
    assert (line["request_id"], line["label"], line["agrees"]) == ("6f1c2d3e", best["label"], False)
    assert line["candidate_label"] == "new " + best["label"]
    assert line["candidate_confidence"] == pytest.approx(line["confidence"], abs=0.01)
    assert line["candidate_version"] == read_artifact(folder).version != SERVED.version
    [metrics] = map(json.loads, printed.lines("ShadowDisagreements"))
    assert (metrics["ShadowDisagreements"], metrics["ShadowSkipped"]) == ([1], [0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "failure"),
    [
        (candidates.crash, "its process has ended with code -6"),
        (candidates.hang, r"it has taken no photo for \d s"),
    ],
)
def test_candidate_that_fails_is_reported_and_started_again(
    monkeypatch: pytest.MonkeyPatch, target: Target, failure: str
) -> None:
    monkeypatch.setattr(shadow, "PAUSE_S", 0.1)
    monkeypatch.setattr(shadow, "HANG_S", 0)
    plain = ask(monkeypatch, None)
    failures: list[str] = []
    candidate = start(target, failures)
    batch = {"images": [EVENT] * 16}
    for count in (1, 2):
        while len(failures) < count:
            assert ask(monkeypatch, candidate) == plain
            ask(monkeypatch, candidate, batch)
            time.sleep(0.02)
    assert all(re.fullmatch(failure, each) for each in failures)


@pytest.mark.slow
def test_candidate_that_cannot_be_loaded_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: Printed
) -> None:
    folder = write_other_model(tmp_path / "candidate", "new ")
    model = (folder / "model.tflite").read_bytes()
    (folder / "model.tflite").write_bytes(model[: len(model) // 2])
    candidate = start(None, [], folder)
    assert "predictions" in ask(monkeypatch, candidate)
    until(lambda: printed.lines("has failed"))
    assert "is not the file that model.json describes" in printed.lines("has failed")[0]


@pytest.mark.slow
def test_only_the_default_model_is_compared_and_what_finds_no_place_is_counted(
    monkeypatch: pytest.MonkeyPatch, printed: Printed
) -> None:
    both = {"default": lambda_func.models.default, "other": Classifier.load(SHIPPED)}
    monkeypatch.setattr(lambda_func, "models", Models(both))
    monkeypatch.setattr(Shadow, "_start_soon", lambda self: None)
    candidate = Shadow(SHIPPED, SERVED.image_size, 1, pytest.fail, candidates.echo)
    ask(monkeypatch, candidate, {**EVENT, "model": "other"})
    ask(monkeypatch, candidate, {"images": [EVENT] * 5})  # its process is not there yet
    candidate._start("", None)
    for _ in range(2):
        ask(monkeypatch, candidate)
    until(lambda: len(printed.lines('["6f1c2d3e"')) == 2)
    first, second = printed.lines('["6f1c2d3e"')
    size = SERVED.image_size
    assert re.fullmatch(rf'\["6f1c2d3e", "\w+", 0\.\d+, 5\] {size * size * 3}', first)
    assert second.endswith(f", 0] {size * size * 3}")


def test_candidate_of_another_size_is_refused(tmp_path: Path) -> None:
    folder = write_other_model(tmp_path / "candidate", "new ", image_size=224)
    with pytest.raises(ArtifactError, match="takes pictures of 224 pixels, the served model of"):
        read_shadow({"LENSLET_SHADOW": str(folder)}, SERVED, pytest.fail)


def test_share_of_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shadow, "_start_soon", lambda self: None)
    drawn = Shadow(SHIPPED, 2, 0.25, pytest.fail)
    samples: list[shadow.Sample] = []
    photo = Seen(PHOTO, np.zeros((2, 2, 3), np.uint8), ("red", 0.5))
    for _ in range(4000):
        drawn.draw(samples, photo)
    assert 850 < len(samples) < 1150


MALFORMED = {
    "0": "LENSLET_SHADOW_SHARE takes a share above 0, at most 1, not '0'",
    "1.5": "not '1.5'",
    "5 %": "not '5 %'",
    "nan": "not 'nan'",
}


@pytest.mark.parametrize("share", MALFORMED)
def test_malformed_share(share: str) -> None:
    with pytest.raises(ValueError, match=re.escape(MALFORMED[share])):
        read_shadow({"LENSLET_SHADOW": "model", "LENSLET_SHADOW_SHARE": share}, SERVED, pytest.fail)


def test_settings_without_a_candidate() -> None:
    assert read_shadow({"LENSLET_SHADOW": " "}, SERVED, pytest.fail) is None
    with pytest.raises(ValueError, match="LENSLET_SHADOW_SHARE needs LENSLET_SHADOW"):
        read_shadow({"LENSLET_SHADOW_SHARE": "0.1"}, SERVED, pytest.fail)
    with pytest.raises(ArtifactError, match=r"LENSLET_SHADOW: nowhere/model\.json does not exist"):
        read_shadow({"LENSLET_SHADOW": "nowhere"}, SERVED, pytest.fail)


@pytest.mark.slow
def test_candidate_whose_pictures_the_system_does_not_pass_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shadow, "PAUSE_S", 0.1)
    monkeypatch.setattr(shadow, "BUFFER_BYTES", 1)  # as large pictures with the usual `net.core.wmem_max`
    failures: list[str] = []
    candidate = start(candidates.echo, failures)
    ask(monkeypatch, candidate)
    until(lambda: failures)
    assert failures == ["its socket takes no picture (Message too long)"]


@pytest.mark.slow
@pytest.mark.parametrize("is_stopped", [False, True])
def test_server_starts_its_candidates_and_ends_them(
    is_stopped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LENSLET_SHADOW", str(write_other_model(tmp_path / "candidate", "new ")))
    monkeypatch.setenv("LENSLET_SHADOW_SHARE", "1")
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "lenslet", "serve", "--port", "0", "--workers", "2"],
            cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
    try:
        until(lambda: "http://" in log.read_text())
        [address] = re.findall(r"http://\S+", log.read_text())
        for _ in range(4):
            answer = requests.post(
                f"{address}/predict", PHOTO, headers={"Content-Type": "image/png"}, timeout=60
            )
            assert answer.status_code == 200
        until(lambda: '"compared"' in log.read_text())
        children = descendants(process.pid)
        if is_stopped:  # a stopped process cannot end of itself
            for child in children:
                for candidate in descendants(child):
                    os.kill(candidate, signal.SIGSTOP)
        process.terminate()
        assert process.wait(20) == 0
        until(lambda: not any(Path(f"/proc/{each}").exists() for each in children))
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text()
    assert "has failed" not in log.read_text()

"""POST /train and GET /train: keys, one at a time, what survives, and that the function itself has none of it."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

import lambda_func
from lenslet.cli import main
from lenslet.inference.folder_lock import folder_lock
from lenslet.serving.access import Access
from lenslet.serving.gateway import HttpRequest
from lenslet.serving.http.training import Training, body_of, read_training_access
from tests.support.endpoint import ROOT, running

KEY, API_KEY = "a key for trainings", "a key for photos"
HASH = hashlib.sha256(KEY.encode()).digest()


def request(method: str, path: str, key: str | None = KEY) -> HttpRequest:
    headers = {"x-api-key": key} if key else {}
    return HttpRequest(method, path, "", {}, "", False, headers)


@pytest.fixture
def training(tmp_path: Path) -> Training:
    """One whose retraining ends at once, with a sentence: there is no such list."""
    words = ("--data", "data/sample", "--model", "model", "--labels", "no.csv", "--folder", str(tmp_path))
    paths = (tmp_path, tmp_path / "state.json", tmp_path / "training.log")
    return Training(words, *paths, Access((HASH,)))


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("another", 403), (API_KEY, 403)])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/train"), ("POST", "/train"), ("POST", "/train/promote")]
)
def test_nothing_is_said_or_done_without_the_key(
    training: Training, method: str, path: str, key: str | None, status: int
) -> None:
    found, content = training.answer(request(method, path, key))
    assert found == status
    assert content["error"]["code"].startswith("training_key_")
    assert list(training.folder.iterdir()) == []


def test_other_methods(training: Training) -> None:
    assert training.answer(request("DELETE", "/train"))[0] == 405
    assert training.answer(request("GET", "/train/promote"))[0] == 405
    assert training.answer(request("OPTIONS", "/train", None)) == (204, {})


def test_before_the_first_training(training: Training) -> None:
    status, state = training.answer(request("GET", "/train"))
    assert (status, state["state"], state["can_promote"], state["lines"]) == (200, "idle", False, [])
    status, content = training.answer(request("POST", "/train/promote"))
    assert (status, content["error"]["code"]) == (409, "nothing_to_promote")


def test_one_at_a_time(training: Training) -> None:
    with folder_lock(training.folder, "another training"):
        status, content = training.answer(request("POST", "/train"))
        assert (status, content["error"]["code"]) == (409, "training_runs")
        assert training.answer(request("GET", "/train"))[1]["state"] == "running"
    assert training.answer(request("GET", "/train"))[1]["state"] == "idle"


def test_training_that_fails_says_why_in_its_lines(training: Training) -> None:
    status, content = training.answer(request("POST", "/train"))
    assert status == 202 and content["id"]
    for _ in range(600):
        state = training.answer(request("GET", "/train"))[1]
        if state["state"] != "running" and state["lines"]:
            break
        time.sleep(0.1)
    assert any("no.csv does not exist" in line for line in state["lines"])


@pytest.mark.parametrize(
    ("saved", "state", "can_promote"),
    [
        ({"result": "registered"}, "registered", True),
        ({"result": "refused"}, "refused", False),
        ({"result": "failed"}, "failed", False),
        ({"result": "", "stage": "convert"}, "interrupted", False),
        ([], "idle", False),
    ],
)
def test_states(training: Training, saved: Any, state: str, can_promote: bool) -> None:
    (training.folder / "state.json").write_text(json.dumps(saved))
    found = training.answer(request("GET", "/train"))[1]
    assert (found["state"], found["can_promote"]) == (state, can_promote)


def test_figures_that_are_undefined_are_null(training: Training) -> None:
    training.state_path.write_text('{"figures": {"after": {"log_loss": NaN, "accuracy": 0.5}}}')
    status, content = training.answer(request("GET", "/train"))
    assert (status, content["figures"]) == (200, {"after": {"log_loss": None, "accuracy": 0.5}})
    assert json.loads(body_of(content)) == content


def test_lines_steer_no_terminal(training: Training) -> None:
    (training.folder / "training.log").write_bytes(b"x" * 50_000 + b"\nbad \x1b[2J name\n" + b"\xff\n")
    assert training.answer(request("GET", "/train"))[1]["lines"][-2:] == ["bad [2J name", "\ufffd"]


def test_keys_are_needed_to_start() -> None:
    with pytest.raises(ValueError, match="--with-training needs LENSLET_TRAINING_KEYS"):
        read_training_access({})
    with pytest.raises(ValueError, match="LENSLET_TRAINING_KEYS takes") as error:
        read_training_access({"LENSLET_TRAINING_KEYS": KEY})
    assert KEY not in str(error.value)


def test_serve_says_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LENSLET_TRAINING_KEYS", raising=False)
    assert main(["serve", "--port", "0", "--with-training", "data/sample"]) == 2
    assert "needs LENSLET_TRAINING_KEYS" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["/train", "/train/promote"])
def test_the_function_has_no_such_path(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENSLET_TRAINING_KEYS", HASH.hex())
    event = json.loads(Path("tests/events/function_url_predict_image.json").read_text())
    event["rawPath"] = event["requestContext"]["http"]["path"] = path
    assert lambda_func.handler(event, None)["statusCode"] == 404


# --- the server, and a whole training on the drawings


@pytest.fixture(scope="module")
def place(first_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in use, and photos that it has not seen."""
    place = tmp_path_factory.mktemp("training")
    shutil.copytree(first_model, place, dirs_exist_ok=True)
    return place


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[str]:
    from tests.support.retraining import LABELS, write_labels

    write_labels(place / LABELS)
    options = f"--labels {place / LABELS} --weights {ROOT}/model/model.keras --no-fine-tune"
    options += f" --folder {place / 'retrain'} --cache {place / '.cache'}"
    options += " --set convert.explanation_photos=0 --set convert.precisions=[float16]"
    options += " --set evaluate.corruption_photos=0"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LENSLET_TRAINING_KEYS", HASH.hex())
        patch.setenv("LENSLET_API_KEYS", hashlib.sha256(API_KEY.encode()).hexdigest())
        patch.delenv("MLFLOW_TRACKING_URI")  # else off; the registry is .mlflow/ in the folder of the server
        words = ["--model", str(place / "first"), "--with-training", str(place / "photos")]
        with running("--workers", "2", *words, "--retrain-options", options, cwd=place) as (address, _):
            yield address


def ask(address: str, method: str, path: str, key: str | None = KEY) -> requests.Response:
    headers = {"X-Api-Key": key} if key else {}
    return requests.request(method, address + path, headers=headers, timeout=120)


@pytest.mark.slow
def test_a_whole_training(server: str, place: Path) -> None:
    assert ask(server, "POST", "/train", None).status_code == 401
    assert ask(server, "POST", "/train", API_KEY).status_code == 403
    assert ask(server, "GET", "/", KEY).status_code == 403  # and its key opens nothing else
    started = ask(server, "POST", "/train")
    assert started.status_code == 202
    assert ask(server, "POST", "/train").status_code == 409
    stages = set()
    for _ in range(1200):
        state = ask(server, "GET", "/train").json()
        stages.add(state["stage"])
        if state["state"] != "running":
            break
        assert ask(server, "GET", "/health", None).status_code == 200  # it serves meanwhile
        time.sleep(1)
    assert state["state"] == "registered", "\n".join(state["lines"])
    assert state["id"] == started.json()["id"]
    assert stages >= {"train", "convert"}
    assert state["labels"] == 48
    before, after = state["figures"]["before"], state["figures"]["after"]
    assert before["photos"] == after["photos"] == 60
    assert before["version"] != after["version"]
    promoted = ask(server, "POST", "/train/promote")
    assert promoted.status_code == 200 and "production" in promoted.json()["promoted"]

    # Nothing is new: the next one changes nothing.
    assert ask(server, "POST", "/train").status_code == 202
    for _ in range(120):
        again = ask(server, "GET", "/train").json()
        if again["state"] != "running" and "nothing is new" in again["lines"][-1]:
            break
        time.sleep(0.5)
    assert (again["id"], again["state"]) == (state["id"], "registered")


@pytest.mark.slow
def test_second_model_is_better_on_what_was_corrected(server: str, place: Path) -> None:
    """Depends on the test before, which has trained it."""
    accuracies = [accuracy(place, model) for model in ("first", "retrain/model")]
    assert accuracies[1] >= accuracies[0] + 0.05


def accuracy(place: Path, model: str) -> float:
    """On negatives that trained neither model."""
    words = ["evaluate", "--data", str(place / "negatives"), "--all", "--model", str(place / model), "--json"]
    words += ["--cache", str(place / ".cache"), "--report", str(place / "report" / model), "--no-record"]
    words += ["--set", "evaluate.corruption_photos=0"]
    done = subprocess.run(
        [sys.executable, "-m", "lenslet", *words], capture_output=True, text=True, check=True, env=os.environ
    )
    return float(json.loads(done.stdout)["accuracy"])

"""Trainings on a real MLflow server: what it then says of them, what happens without it, and when it goes away."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml

from tests.photos import BLUE, RED, write_class
from training.tracking import connect, metric_name, run_of

if TYPE_CHECKING:  # imported by pytest, as a plugin
    from tests.mlflow_server import Server

pytest_plugins = ["tests.mlflow_server"]

DOWN = "http://127.0.0.1:9"  # the port of a service that is dead on every machine of today
EXPERIMENT = "tracking"


def run_verb(
    command: list[object], address: str | None, code: int = 0, experiment: str = EXPERIMENT
) -> subprocess.CompletedProcess[str]:
    """Run Python with `command`, told of the server at `address`; fails with its output on another exit code."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    if address:
        environment |= {"MLFLOW_TRACKING_URI": address, "MLFLOW_EXPERIMENT_NAME": experiment}
    finished = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, check=False, env=environment
    )
    assert finished.returncode == code, finished.stdout + finished.stderr
    return finished


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of two classes, one of a name that MLflow would refuse, and parameters for a small network."""
    folder = tmp_path_factory.mktemp("tracking")
    write_class(folder / "photos" / "red", 24, RED)
    write_class(folder / "photos" / "blue & green", 24, BLUE, first_seed=100)
    write_params(folder / "params.yaml")
    return folder


def write_params(path: Path) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    train = params["train"]
    train["image_size"] = 32
    train["backbone"] = {"name": "small_cnn", "weights": "none", "layers_unfrozen": "all"}
    train["head"] |= {"epochs": 3, "dropout": 0.125}
    train["fine_tune"] |= {"epochs": 2, "batch_size": 8, "steps_at_least": 1}
    params["tune"] |= {"trials": 3, "backbones": ["small_cnn"], "optimizers": ["adam"], "hidden_units": [0]}
    path.write_text(yaml.safe_dump(params), encoding="utf-8")


def common(folder: Path) -> list[object]:
    """Options of train.py and tune.py."""
    places = ["--cache", folder / "cache", "--runs", folder / "runs", "--lint-csv", folder / "lint.csv"]
    return ["--data", folder / "photos", "--params", folder / "params.yaml", *places]


UNTRACKED = """
import sys
import train
code = train.main(sys.argv[1:])
print([name for name in sys.modules if name.split(".")[0] == "mlflow"])
sys.exit(code)
"""


@pytest.fixture(scope="module")
def untracked(folder: Path) -> subprocess.CompletedProcess[str]:
    """A training from nothing, without a server."""
    return run_verb(["-c", UNTRACKED, *common(folder), "--out", folder / "untracked"], address=None)


@pytest.fixture(scope="module")
def tracked(folder: Path, untracked: object, mlflow_server: "Server") -> str:
    """The run of a training on the weights of the former, with head and fine-tuning, converted and evaluated."""
    address, model = mlflow_server.address, folder / "mine"
    weights = folder / "untracked" / "model.keras"
    run_verb(["train.py", *common(folder), "--out", model, "--weights", weights, "--name", "mine"], address)
    places = ["--data", folder / "photos", "--params", folder / "params.yaml", "--cache", folder / "cache"]
    run_verb(["convert.py", *places, "--model", model], address)
    run_verb(["evaluate.py", *places, "--model", model, "--report", folder / "report", "--record"], address)
    run_id: str = json.loads((model / "tracking.json").read_text())["run_id"]
    return run_id


@pytest.fixture
def client(mlflow_server: "Server") -> Any:
    from mlflow import MlflowClient

    return MlflowClient(mlflow_server.address)


def runs_of(client: Any, experiment: str) -> list[Any]:
    found: list[Any] = list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id]))
    return found


# --- without a server

QUIET = """
import sys
import gate, register
from training.registry import open_store
from training.tracking import connect
with connect() as tracker:
    tracker.begin("name", {"train": {"seed": 1}}, "photos")
    tracker.add("test", {"accuracy": 0.5})
open_store().versions()
sys.exit(any(name.split(".")[0] == "mlflow" for name in sys.modules))
"""


def test_mlflow_is_not_imported_without_a_server(tmp_path: Path) -> None:
    run_verb(["-c", QUIET], address=None)


@pytest.mark.slow
def test_training_without_a_server_writes_the_files_alone(
    untracked: subprocess.CompletedProcess[str], folder: Path
) -> None:
    assert untracked.stdout.splitlines()[-1] == "[]"  # of MLflow's modules
    assert {path.name for path in (folder / "untracked").iterdir()} == {"model.keras", "training.json"}
    [run] = (folder / "runs").glob("*-untracked")
    files = {path.name for path in run.iterdir()}
    assert files == {"run.json", "log.csv", "tensorboard", "model.keras", "training.json"}


@pytest.mark.parametrize(
    ("name", "expected"), [("test/recall.blue & green", "test/recall.blue _ green"), ("a/é-1 :", "a/é-1 :")]
)
def test_metric_names_are_ones_that_mlflow_takes(name: str, expected: str) -> None:
    assert metric_name(name) == expected


# --- what the server says


@pytest.mark.slow
def test_parameters_are_those_that_were_used(client: Any, tracked: str, folder: Path) -> None:
    params = client.get_run(tracked).data.params
    assert params["train.head.dropout"] == "0.125"
    assert params["train.fine_tune.epochs"] == "2"
    assert params["train.backbone.weights"] == str(folder / "untracked" / "model.keras")
    assert not [key for key in params if not key.startswith("train.")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "name", "epochs"), [("head", "val_log_loss", [0, 1, 2]), ("fine_tune", "val_loss", [0, 1])]
)
def test_metrics_of_each_epoch_are_those_of_training_json(
    client: Any, tracked: str, folder: Path, step: str, name: str, epochs: list[int]
) -> None:
    training = json.loads((folder / "mine" / "training.json").read_text())
    found = client.get_metric_history(tracked, f"{step}/{name}")
    assert [metric.step for metric in found] == epochs
    assert [metric.value for metric in found] == training["history"][step][name]


@pytest.mark.slow
def test_figures_of_each_verb_are_in_the_run(client: Any, tracked: str, folder: Path) -> None:
    found = client.get_run(tracked).data.metrics
    training = json.loads((folder / "mine" / "training.json").read_text())
    metrics = json.loads((folder / "mine" / "model.json").read_text())["metrics"]
    assert found["validation/accuracy"] == training["validation"]["accuracy"]
    assert found["converted/log_loss"] == metrics["validation"]["log_loss"]
    assert found["test/accuracy"] == metrics["test"]["accuracy"]
    assert found["test/recall.blue _ green"] == metrics["test"]["recall.blue & green"]


@pytest.mark.slow
def test_files_are_in_the_run(client: Any, tracked: str, folder: Path, tmp_path: Path) -> None:
    names = {Path(each.path).name for each in client.list_artifacts(tracked, "model")}
    assert names == {"model.keras", "training.json", "model.tflite", "model.json", "MODEL_CARD.md"}
    for name in names:
        got = Path(client.download_artifacts(tracked, f"model/{name}", str(tmp_path)))
        assert got.read_bytes() == (folder / "mine" / name).read_bytes()
    report = {Path(each.path).name for each in client.list_artifacts(tracked, "report")}
    assert {"metrics.json", "roc.png", "confusion_matrix.png"} <= report


@pytest.mark.slow
def test_photos_are_named_by_their_fingerprint(client: Any, tracked: str, folder: Path) -> None:
    fingerprint = json.loads((folder / "mine" / "training.json").read_text())["data_fingerprint"]
    run = client.get_run(tracked)
    assert run.data.tags["data_fingerprint"] == fingerprint
    assert run.data.tags["version.keras"]
    [photos] = run.inputs.dataset_inputs
    assert (photos.dataset.name, photos.dataset.digest) == ("mine", fingerprint[:16])
    assert sum(json.loads(photos.dataset.profile).values()) == 48


@pytest.mark.slow
def test_a_training_is_one_finished_run(client: Any, tracked: str) -> None:
    [run] = [run for run in runs_of(client, EXPERIMENT) if run.info.run_name == "mine"]
    assert (run.info.run_id, run.info.status) == (tracked, "FINISHED")
    assert run.data.tags["mlflow.source.name"] == "train.py"


KILLED = """
import os, signal, sys
import train
from training.checkpoint import Checkpointing

def kill(self, batch, logs=None):
    if len(self.checkpoint.losses) == 1:
        os.kill(os.getpid(), signal.SIGKILL)

Checkpointing.on_train_batch_end = kill
train.main(sys.argv[1:])
"""


@pytest.mark.slow
def test_training_that_was_killed_goes_on_in_its_run(
    client: Any, mlflow_server: "Server", folder: Path
) -> None:
    options = [*common(folder), "--out", folder / "killed"]
    run_verb(["-c", KILLED, *options], mlflow_server.address, code=-9, experiment="killed")
    [before] = runs_of(client, "killed")
    assert before.info.status == "RUNNING"
    run_verb(["train.py", *options, "--resume"], mlflow_server.address, experiment="killed")
    [after] = runs_of(client, "killed")
    assert (after.info.run_id, after.info.status) == (before.info.run_id, "FINISHED")
    found = client.get_metric_history(after.info.run_id, "fine_tune/val_loss")
    assert [metric.step for metric in found] == [0, 1]


@pytest.mark.slow
def test_search_is_a_run_and_its_trials_are_within_it(
    client: Any, mlflow_server: "Server", folder: Path, untracked: object
) -> None:
    places = ["--study", folder / "tune.db", "--report", folder / "tune_report"]
    weights = ["--weights", folder / "untracked" / "model.keras", "--fine-tune-top", "1"]
    run_verb(["tune.py", *common(folder), *places, *weights], mlflow_server.address, experiment="search")
    runs = runs_of(client, "search")
    [search] = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    trials = [run for run in runs if run is not search]
    assert search.info.run_name == "search photos"
    assert search.data.params["tune.trials"] == "3"
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {search.info.run_id}
    assert {run.info.status for run in runs} == {"FINISHED"}
    [tuned] = [run for run in trials if run.info.run_name.endswith("fine-tuned")]
    assert {"log_loss", "auc", "accuracy"} == set(tuned.data.metrics)
    assert tuned.data.params["train.head.optimizer"] == "adam"
    best = min(run.data.metrics["log_loss"] for run in trials if run is not tuned)
    assert search.data.metrics["best/log_loss"] == best
    [picture] = client.list_artifacts(search.info.run_id, "report")[:1]
    assert Path(picture.path).name == "tune_history.png"


# --- a server that is down, and one that goes away


def train_here(folder: Path) -> list[object]:
    return [*common(folder), "--out", folder / "down"]


def tune_here(folder: Path) -> list[object]:
    return [*common(folder), "--study", folder / "down.db"]


def convert_here(folder: Path) -> list[object]:
    return ["--data", folder / "photos"]


def evaluate_here(folder: Path) -> list[object]:
    return ["--data", folder / "photos"]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [train_here, tune_here, convert_here, evaluate_here])
def test_server_that_is_down_is_one_sentence_at_the_start(
    arguments: Callable[[Path], list[object]],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DOWN)
    verb = arguments.__name__.removesuffix("_here")
    assert import_module(verb).main([*map(str, arguments(folder))]) == 2
    said = capsys.readouterr()
    assert said.err == (
        f"{verb}.py: the MLflow server {DOWN} does not answer: "
        "start it (`make mlflow`), or unset MLFLOW_TRACKING_URI to go without\n"
    )
    assert said.out == ""  # not even the photos were counted
    assert not (folder / "down").exists()


@pytest.mark.slow
@pytest.mark.parametrize("address", ["nonsense://x", "http://me:secret@127.0.0.1:9"])
def test_wrong_address_is_one_sentence_without_its_password(address: str, tmp_path: Path) -> None:
    finished = run_verb(["-c", "from training.tracking import connect; connect()"], address, 1)
    last = finished.stderr.splitlines()[-1]
    assert "MLFLOW_TRACKING_URI" in last
    assert "secret" not in last


class Mortal(BaseHTTPRequestHandler):
    """Hands every request on to the real server; each connection carries one, so that closing ends them all."""

    server_address_behind = ""

    def hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {key: value for key, value in self.headers.items() if key.lower() != "host"}
        answer = requests.request(
            self.command, self.server_address_behind + self.path, data=body, headers=headers, timeout=60
        )
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = do_PUT = do_PATCH = hand_on  # noqa: N815

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.mark.slow
def test_server_that_goes_away_loses_no_model_and_the_run_is_made_up_for(
    client: Any,
    mlflow_server: "Server",
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import train

    monkeypatch.setattr(Mortal, "server_address_behind", mlflow_server.address)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mortal)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mortal")
    save = train.save

    def save_while_it_goes_away(*arguments: Any) -> None:
        server.shutdown()
        server.server_close()
        save(*arguments)

    monkeypatch.setattr(train, "save", save_while_it_goes_away)
    out = tmp_path / "out"
    assert train.main([*map(str, common(folder)), "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "model.keras written after" in said.out
    assert said.err.splitlines()[-1].endswith("; what was to be sent is in the files only")
    assert {path.name for path in out.iterdir()} == {"model.keras", "training.json"}
    [left] = runs_of(client, "mortal")
    assert left.data.params["train.head.dropout"] == "0.125"
    assert left.data.metrics == {}

    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.address)
    tracker = run_of(out)  # as convert.py does
    made_up = client.get_run(tracker.run_id)
    assert made_up.info.run_id != left.info.run_id
    assert "fine_tune/val_loss" in made_up.data.metrics
    assert made_up.info.status == "FINISHED"
    assert run_of(out).run_id == tracker.run_id  # from now on it is known

    shutil.copytree(out, tmp_path / "anew")  # trained anew: the note is about another training
    record = tmp_path / "anew" / "training.json"
    record.write_text(record.read_text().replace('"minutes"', ' "minutes"'))
    assert run_of(tmp_path / "anew").run_id != tracker.run_id


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_run_ends_as_what_it_tracks_ended(
    error: type[BaseException] | None,
    status: str,
    client: Any,
    mlflow_server: "Server",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.address)
    try:
        with connect() as tracker:
            tracker.begin("ended", {"train": {"seed": 1}}, "photos")
            if error:
                raise error
    except (ValueError, KeyboardInterrupt):
        pass
    assert client.get_run(tracker.run_id).info.status == status

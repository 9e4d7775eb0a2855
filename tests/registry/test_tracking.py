"""Trainings as MLflow runs: in a folder, on a real server, and without either."""

import json
import os
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
import yaml

from lenslet.cli import main
from lenslet.registry import mlflow_client
from lenslet.registry.mlflow_client import get_file, put_file
from lenslet.registry.mlflow_registry import RegistryError
from lenslet.registry.tracking import Tracker, add_to_run, metric_name, run_of, working_tree
from lenslet.registry.versions import fetch_version, open_registry, register
from tests.support.photos import BLUE, RED, write_class

pytest_plugins = ["tests.support.mlflow_server"]

ROOT = Path(__file__).parents[2]
DOWN = "http://127.0.0.1:9"  # the port of a service that is dead on every machine of today
NO_ANSWER = (
    f"warning: the MLflow server {DOWN} does not answer: start it, or unset MLFLOW_TRACKING_URI to use "
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of two classes, one of a name that MLflow would refuse, and parameters for a small network."""
    folder = tmp_path_factory.mktemp("tracking")
    write_class(folder / "photos" / "red", 24, RED)
    write_class(folder / "photos" / "blue & green", 24, BLUE, first_seed=100)
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    train = params["train"]
    train["image_size"] = 32
    train["backbone"] = {"name": "small_cnn", "weights": "none", "layers_unfrozen": "all"}
    train["head"] |= {"solver": "gradient", "epochs": 3, "dropout": 0.125}
    train["fine_tune"] |= {"epochs": 2, "batch_size": 8, "min_steps_per_epoch": 1}
    params["evaluate"]["corruption_photos"] = 2
    params["tune"] |= {"trials": 3, "backbones": ["small_cnn"], "optimizers": ["adam"], "hidden_units": [0]}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    return folder


def common(folder: Path) -> list[str]:
    """Options of train.py and lenslet tune."""
    places = ["--cache", folder / "cache", "--runs", folder / "runs", "--lint-csv", folder / "lint.csv"]
    return [*map(str, ["--data", folder / "photos", "--params", folder / "params.yaml", *places])]


@pytest.fixture(scope="module")
def untracked(folder: Path) -> Path:
    """A training from nothing, with MLflow off."""

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", "off")
        patched.setattr(mlflow_client, "FOLDER", folder / "off")
        assert main(["train", *common(folder), "--out", str(folder / "untracked")]) == 0
    return folder / "untracked"


@pytest.fixture(scope="module")
def tracked(folder: Path, untracked: Path, mlflow_folder: Path) -> str:
    """The run of a training on the weights of the former, with head and fine-tuning, converted and evaluated."""
    model, weights = str(folder / "mine"), str(untracked / "model.keras")
    places = [*map(str, ["--data", folder / "photos", "--params", folder / "params.yaml"])]
    places += ["--cache", str(folder / "cache"), "--model", model]
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI")
        patched.setattr(mlflow_client, "FOLDER", mlflow_folder)
        assert main(["train", *common(folder), "--out", model, "--weights", weights, "--name", "mine"]) == 0
        assert main(["convert", *places, "--set", "convert.explanation_photos=3"]) == 0
    # The TFLite runtime wants a process without TensorFlow; this one has nothing but its folder to find MLflow by.
    run_verb(
        "-m",
        "lenslet",
        "evaluate",
        *places,
        "--report",
        str(folder / "report"),
        "--record",
        "--set",
        "evaluate.corruption_photos=3",
        cwd=mlflow_folder.parent,
    )
    run_id: str = json.loads((folder / "mine" / "tracking.json").read_text())["run_id"]
    return run_id


def run_verb(*words: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a verb, or Python with `-c`, somewhere without any setting; fails with its output on another exit code."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, *(str(ROOT / word) if word.endswith(".py") else word for word in words)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=cwd)
    assert finished.returncode == code, finished.stdout + finished.stderr
    return finished


@pytest.fixture
def client(in_folder: Path) -> Any:
    return mlflow_client.open_client()


def runs_of(client: Any, experiment: str) -> list[Any]:
    found: list[Any] = list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id]))
    return found


def warnings_in(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("warning:")]


@pytest.mark.slow
def test_what_set_replaced_is_recorded(tracked: str, client: Any) -> None:
    tags = client.get_run(tracked).data.tags
    assert tags["overrides.converted"] == "convert.explanation_photos=3"
    assert tags["overrides.test"] == "evaluate.corruption_photos=3"


# --- off, and not yet needed

QUIET = """
import os, sys
from lenslet.commands import gate, register
from lenslet.registry.versions import open_registry
from lenslet.registry.mlflow_registry import RegistryError
from lenslet.registry.tracking import Tracker
assert open_registry().versions() == []
with Tracker():
    pass  # as a training of bad input
os.environ["MLFLOW_TRACKING_URI"] = "off"
with Tracker() as tracker:
    tracker.begin("name", {"train": {"seed": 1}}, "photos")
    tracker.add("test", {"accuracy": 0.5})
try:
    open_registry().versions()
except RegistryError as error:
    print(error)
sys.exit(any(name.split(".")[0] == "mlflow" for name in sys.modules))
"""


def test_mlflow_is_imported_where_it_is_needed_alone(tmp_path: Path) -> None:
    said = run_verb("-c", QUIET, cwd=tmp_path).stdout
    assert said == "MLFLOW_TRACKING_URI is off, and so is the registry: unset it to use the one in .mlflow\n"
    assert not list(tmp_path.iterdir())  # looking writes nothing


@pytest.mark.slow
def test_training_with_mlflow_off_writes_the_files_alone(untracked: Path, folder: Path) -> None:
    assert {path.name for path in untracked.iterdir()} == {"model.keras", "training.json"}
    [run] = (folder / "runs").glob("*-untracked")
    files = {path.name for path in run.iterdir()}
    assert files == {"run.json", "log.csv", "tensorboard", "model.keras", "training.json"}
    assert not (folder / "off").exists()


@pytest.mark.parametrize(
    ("name", "expected"), [("test/recall.blue & green", "test/recall.blue _ green"), ("a/é-1 :", "a/é-1 :")]
)
def test_metric_names_are_ones_that_mlflow_takes(name: str, expected: str) -> None:
    assert metric_name(name) == expected


def test_working_tree_is_named_by_its_commit(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        who = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
        return subprocess.run(
            ["git", *who, *words], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    assert working_tree(tmp_path) == ""
    git("init", "--quiet")
    (tmp_path / "train.py").write_text("1")
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    commit = git("rev-parse", "HEAD")
    assert working_tree(tmp_path) == commit
    (tmp_path / "train.py").write_text("2")
    assert working_tree(tmp_path) == f"{commit}-dirty"


# --- what MLflow says of a training


@pytest.mark.slow
def test_parameters_are_those_that_were_used(client: Any, tracked: str, untracked: Path) -> None:
    params = client.get_run(tracked).data.params
    assert params["train.head.dropout"] == "0.125"
    assert params["train.fine_tune.epochs"] == "2"
    assert params["train.backbone.weights"] == str(untracked / "model.keras")
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
    assert found["training/minutes"] == training["minutes"]
    assert found["converted/log_loss"] == metrics["validation"]["log_loss"]
    assert found["test/accuracy"] == metrics["test"]["accuracy"]
    assert not [key for key in found if "." in key]  # of each class: hundreds, which the files hold


@pytest.mark.slow
def test_photos_and_program_are_named(client: Any, tracked: str, folder: Path) -> None:
    fingerprint = json.loads((folder / "mine" / "training.json").read_text())["data_fingerprint"]
    run = client.get_run(tracked)
    assert run.data.tags["data_fingerprint"] == fingerprint
    assert run.data.tags["version.keras"]
    assert run.data.tags["command"].split()[0] == Path(sys.argv[0]).name  # of this process, which trained
    tags = {name: value for name, value in run.data.tags.items() if name.startswith("params.")}
    assert tags.pop("params.weights").endswith("untracked/model.keras")
    assert tags == {
        "params.backbone": "small_cnn", "params.image_size": "32", "params.epochs": "2", "params.seed": "20",
    }  # fmt: skip
    assert run.data.tags["mlflow.source.git.commit"] == working_tree()
    [photos] = run.inputs.dataset_inputs
    assert (photos.dataset.name, photos.dataset.digest) == ("mine", fingerprint[:16])
    assert sum(json.loads(photos.dataset.profile).values()) == 48


@pytest.mark.slow
def test_a_training_is_one_finished_run(client: Any, tracked: str) -> None:
    [run] = [run for run in runs_of(client, "photos") if run.info.run_name == "mine"]
    assert (run.info.run_id, run.info.status) == (tracked, "FINISHED")


@pytest.mark.slow
def test_judged_model_is_registered_with_its_report_and_its_run(
    client: Any, tracked: str, folder: Path, tmp_path: Path
) -> None:
    registry = open_registry()
    version, is_new = register(registry, folder / "mine", folder / "report", "passed", "staging")
    assert is_new
    assert (version.run, version.commit) == (tracked, working_tree())
    fetch_version(registry, "mine@staging", tmp_path / "got", tmp_path / "report")
    for name in ("model.keras", "training.json", "model.tflite", "model.json", "MODEL_CARD.md"):
        assert (tmp_path / "got" / name).read_bytes() == (folder / "mine" / name).read_bytes()
    assert (tmp_path / "report" / "report.html").read_bytes() == (
        folder / "report" / "report.html"
    ).read_bytes()


KILLED = """
import os, signal, sys
from lenslet.cli import main
from lenslet.training.checkpoint import Checkpointing

def kill(self, batch, logs=None):
    if len(self.checkpoint.losses) == 1:
        os.kill(os.getpid(), signal.SIGKILL)

Checkpointing.on_train_batch_end = kill
main(["train", *sys.argv[1:]])
"""


@pytest.mark.slow
def test_epochs_are_there_while_training_goes_on_and_after_a_kill_in_the_same_run(
    client: Any, folder: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    options = [*common(folder), "--out", str(folder / "killed"), "--name", "killed"]
    run_verb("-c", KILLED, *options, cwd=in_folder.parent, code=-9)
    [before] = [run for run in runs_of(client, "photos") if run.info.run_name == "killed"]
    assert before.info.status == "RUNNING"
    assert [
        metric.step for metric in client.get_metric_history(before.info.run_id, "fine_tune/val_loss")
    ] == [0]
    assert main(["train", *options, "--resume"]) == 0
    [after] = [run for run in runs_of(client, "photos") if run.info.run_name == "killed"]
    assert (after.info.run_id, after.info.status) == (before.info.run_id, "FINISHED")
    training = json.loads((folder / "killed" / "training.json").read_text())
    found = client.get_metric_history(after.info.run_id, "fine_tune/val_loss")
    assert [metric.step for metric in found] == [0, 1]
    assert [metric.value for metric in found] == training["history"]["fine_tune"]["val_loss"]


@pytest.mark.slow
def test_search_is_a_run_and_its_trials_are_within_it(
    client: Any, folder: Path, untracked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "search")
    places = ["--study", str(folder / "tune.db"), "--report", str(folder / "tune_report")]
    weights = ["--weights", str(untracked / "model.keras"), "--fine-tune-top", "1"]
    assert main(["tune", *common(folder), *places, *weights]) == 0
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
    get_file(client, search.info.run_id, "report/tune_history.png", folder)
    assert (folder / "tune_history.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_average_is_a_run(client: Any, folder: Path, untracked: Path, tracked: str) -> None:

    options = ["--data", folder / "photos", "--cache", folder / "cache", "--first", untracked]
    assert (
        main(["average", *map(str, [*options, "--second", folder / "mine", "--out", folder / "mixed"])]) == 0
    )
    run = client.get_run(run_of(folder / "mixed"))
    assert run.info.run_id != tracked
    assert run.data.params["average.first"] == str(untracked)
    assert len(client.get_metric_history(run.info.run_id, "average/log_loss")) == 11


@pytest.mark.slow
def test_each_seed_is_a_run_and_so_is_their_average(client: Any, folder: Path, untracked: Path) -> None:
    places = ["--out", str(folder / "soup"), "--name", "soup", "--weights", str(untracked / "model.keras")]
    settings = ["--seeds", "2", "--set", "train.fine_tune.epochs=1"]
    assert main(["train", *common(folder), *places, *settings]) == 0
    runs = {run.info.run_name: run for run in runs_of(client, "photos") if "soup" in run.info.run_name}
    assert set(runs) == {"soup", "soup-20", "soup-21"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert [runs[f"soup-{seed}"].data.params["train.seed"] for seed in (20, 21)] == ["20", "21"]
    assert runs["soup"].data.params["average.seeds"] == "[20, 21]"
    assert run_of(folder / "soup") == runs["soup"].info.run_id
    assert len(client.get_metric_history(runs["soup"].info.run_id, "average/log_loss")) == 11


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_run_ends_as_what_it_tracks_ended(
    error: type[BaseException] | None, status: str, client: Any
) -> None:
    try:
        with Tracker() as tracker:
            tracker.begin("ended", {"train": {"seed": 1}}, "photos")
            if error:
                raise error
    except (ValueError, KeyboardInterrupt):
        pass
    assert client.get_run(tracker.run_id).info.status == status


# --- the page, a server of one's own


@pytest.mark.slow
def test_page_shows_what_is_in_the_folder(
    client: Any, tracked: str, folder: Path, mlflow_server: str, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    page = MlflowClient(mlflow_server)
    assert page.get_run(tracked).data.metrics == client.get_run(tracked).data.metrics
    names = {Path(each.path).name for each in page.list_artifacts(tracked, "model")}
    assert names == {"model.keras", "training.json", "model.tflite", "model.json", "MODEL_CARD.md"}
    for name in names:
        got = Path(page.download_artifacts(tracked, f"model/{name}", str(tmp_path)))
        assert got.read_bytes() == (folder / "mine" / name).read_bytes()
    report = {Path(each.path).name for each in page.list_artifacts(tracked, "report")}
    assert {"metrics.json", "report.html", "learning_curves.png", "confusion_matrix.png"} <= report


@pytest.mark.slow
def test_what_went_through_the_server_is_in_the_folder(
    client: Any, mlflow_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file, got = tmp_path / "note.txt", tmp_path / "got"
    file.write_text("through the server")
    got.mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    with Tracker() as tracker:
        tracker.begin("served", {"train": {"seed": 1}}, "photos")
        tracker.add("test", {"accuracy": 0.5, "data_fingerprint": "no number"}, {"notes": [file]})
    assert client.get_run(tracker.run_id).data.metrics == {"test/accuracy": 0.5}
    get_file(client, tracker.run_id, "notes/note.txt", got)
    assert (got / "note.txt").read_text() == "through the server"


class Guarded(BaseHTTPRequestHandler):
    """As nginx in front of a server: who gives the right name and password is handed on, others get 401.

    Each connection carries one request, so that closing the listener ends them all.
    """

    behind, expected = "", ""

    def hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {key: value for key, value in self.headers.items() if key.lower() != "host"}
        if self.headers.get("Authorization", "") != self.expected:
            self.send_error(401)
            return
        answer = requests.request(
            self.command, self.behind + self.path, data=body, headers=headers, timeout=60
        )
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = do_PUT = do_PATCH = hand_on  # noqa: N815

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def guard(mlflow_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """In front of the real server; MLFLOW_TRACKING_URI names it."""
    monkeypatch.setattr(Guarded, "behind", mlflow_server)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_user_and_password_open_a_server(
    client: Any,
    guard: ThreadingHTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    word = b64encode(b"me:secret").decode()
    monkeypatch.setattr(Guarded, "expected", f"Basic {word}")
    file = tmp_path / "note.txt"
    file.write_text("guarded")

    def track() -> str:
        with Tracker() as tracker:
            tracker.begin("guarded", {"train": {"seed": 1}}, "photos")
            tracker.add("test", {"accuracy": 0.5}, {"notes": [file]})
        return tracker.run_id

    assert track() == ""  # nobody
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    assert track() == ""
    said = capsys.readouterr().err
    assert len(warnings_in(said)) == said.count("\n") == 2
    assert "401" in said
    with pytest.raises(RegistryError, match="401"):
        open_registry().versions()
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    run = client.get_run(track())
    assert run.data.metrics == {"test/accuracy": 0.5}
    (tmp_path / "got").mkdir()
    get_file(client, run.info.run_id, "notes/note.txt", tmp_path / "got")
    assert (tmp_path / "got" / "note.txt").read_text() == "guarded"
    assert isinstance(open_registry().versions(), list)
    assert capsys.readouterr().err == ""


# --- nothing answers, or no longer


@pytest.mark.slow
def test_training_goes_on_without_its_server_and_the_run_is_made_up_for(
    folder: Path,
    tmp_path: Path,
    client: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:

    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", DOWN)
        assert main(["train", *common(folder), "--out", str(out)]) == 0
    said = capsys.readouterr()
    [warning] = warnings_in(said.err)
    assert warning.startswith(NO_ANSWER)
    assert warning.endswith("; the work continues, and its files hold all results")
    assert "model.keras written after" in said.out
    assert {path.name for path in out.iterdir()} == {"model.keras", "training.json"}

    add_to_run(out, "converted", {"accuracy": 0.75}, {}, ())  # as convert.py does, with MLflow there again
    made_up = client.get_run(run_of(out))
    assert made_up.data.metrics["converted/accuracy"] == 0.75
    assert "fine_tune/val_loss" in made_up.data.metrics
    assert made_up.data.params["train.head.dropout"] == "0.125"
    assert made_up.info.status == "FINISHED"
    assert "mlflow.source.git.commit" not in made_up.data.tags  # who knows what trained it

    shutil.copytree(out, tmp_path / "again")  # trained again: the note is about another training
    record = tmp_path / "again" / "training.json"
    record.write_text(record.read_text().replace('"minutes"', ' "minutes"'))
    assert run_of(tmp_path / "again") != made_up.info.run_id


@pytest.mark.slow
def test_server_that_goes_away_is_one_warning(
    client: Any, guard: ThreadingHTTPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Tracker() as tracker:
        tracker.begin("left", {"train": {"seed": 1}}, "photos")
        tracker.add_epoch("fine_tune", 0, {"loss": 0.5})
        run_id = tracker.run_id
        guard.shutdown()
        guard.server_close()
        for epoch in (1, 2):
            tracker.add_epoch("fine_tune", epoch, {"loss": 0.25})
        tracker.note(tmp_path)
    said = capsys.readouterr().err
    assert len(warnings_in(said)) == said.count("\n") == 1
    assert client.get_run(run_id).data.metrics == {"fine_tune/loss": 0.5}
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("address", ["nonsense://x", "http://me:secret@127.0.0.1:9"])
def test_wrong_address_is_one_warning_without_its_password(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with Tracker() as tracker:
        tracker.begin("nowhere", {"train": {"seed": 1}}, "photos")
    said = capsys.readouterr().err
    assert len(warnings_in(said)) == said.count("\n") == 1
    assert "secret" not in said


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["no folder", "no database"])
def test_folder_that_cannot_be_used_is_one_warning(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / ".mlflow"
    file = place if damage == "no folder" else place / "mlflow.db"
    file.parent.mkdir(exist_ok=True)
    file.write_text("not what is expected here, but a text that is long enough for a header" * 9)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(mlflow_client, "FOLDER", place)
    with Tracker() as tracker:
        tracker.begin("nowhere", {"train": {"seed": 1}}, "photos")
    said = capsys.readouterr().err
    [warning] = warnings_in(said)
    assert said.count("\n") == 1
    assert warning.startswith(f"warning: MLflow's database {place / 'mlflow.db'} failed (")
    assert ": MLFLOW_TRACKING_URI=off goes without; the work continues" in warning


@pytest.mark.slow
def test_file_replaces_the_one_of_before(client: Any, tmp_path: Path) -> None:
    with Tracker() as tracker:
        tracker.begin("twice", {"train": {"seed": 1}}, "photos")
    for text in ("first", "second"):
        (tmp_path / "note.txt").write_text(text)
        put_file(client, tracker.run_id, tmp_path / "note.txt", "notes")
    (tmp_path / "got").mkdir()
    get_file(client, tracker.run_id, "notes/note.txt", tmp_path / "got")
    assert (tmp_path / "got" / "note.txt").read_text() == "second"


@pytest.mark.slow
def test_continued_run_makes_no_experiment_of_its_own(tmp_path: Path, in_folder: Path, capsys) -> None:
    """What converts or evaluates a model adds to the run of its training, and prints the address of that."""
    client = mlflow_client.open_client()
    before = {each.name for each in client.search_experiments()}
    begun = Tracker()
    begun.begin("mine", {"train": {"seed": 1}}, "fingerprint", photos="a data set of this test")
    begun.note(tmp_path)
    continued = Tracker()
    continued.take_run_of(tmp_path)
    assert (continued.run_id, continued.address()) == (begun.run_id, begun.address())
    assert {each.name for each in client.search_experiments()} - before == {"a data set of this test"}
    made = client.get_experiment_by_name("a data set of this test")
    assert made.tags["mlflow.experimentKind"] == "custom_model_development"  # else its page is about prompts

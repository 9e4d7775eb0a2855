"""The registry: the same table of tests on a real MLflow server and on a folder."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

import gate
import register
from inference.artifact import read_artifact, read_model, sha256_of, write_artifact, write_model_folder
from inference.errors import ArtifactError
from training.registry import fetch, find, matching, open_store, promote, table
from training.registry import register as register_model
from training.stores import FILES, FolderStore, RegistryError, ServerStore, Store

if TYPE_CHECKING:  # imported by pytest, as a plugin
    from tests.mlflow_server import Server

pytest_plugins = ["tests.mlflow_server"]

SHIPPED = Path("model")


@pytest.fixture(params=["folder", pytest.param("server", marks=pytest.mark.slow)])
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the registry lies, by the environment alone, as for a person."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("LENSLET_REGISTRY", str(tmp_path / "registry"))
    if request.param == "server":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", request.getfixturevalue("mlflow_server").address)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", f"registry of {tmp_path.name}")
    return request.param


@pytest.fixture
def store(kind: str) -> Store:
    return open_store()


@pytest.fixture
def name(tmp_path: Path) -> str:
    """A name of its own for each test: they share one server."""
    return tmp_path.name


# What a champion is, by hand: every limit of params.yaml is kept.
FIGURES = {
    "data_fingerprint": "photos",
    "accuracy": 0.9455,
    "accuracy_low": 0.9346,
    "roc_auc": 0.99,
    "worst_recall": 0.89,
    "robustness_mean": 0.82,
    "robustness_worst": 0.29,
    "agreement_with_keras": 0.999,
    "calibration_error": 0.01,
    "megabytes": 4.5,
    "time_ms": 3.6,
}


def make_model(folder: Path, name: str, weights: bytes = b"", test: dict[str, object] | None = None) -> Path:
    """A whole model folder: the shipped one under another name, with `weights` added to its file."""
    shutil.copytree(SHIPPED, folder, ignore=shutil.ignore_patterns("tracking.json"))
    (folder / "model.keras").write_bytes(b"keras " + weights)  # small: nothing here loads it
    artifact = read_artifact(folder)
    model = read_model(folder, artifact) + weights
    metrics = {**artifact.metrics, "test": {**FIGURES, **(test or {})}}
    write_model_folder(replace(artifact, name=name, sha256=sha256_of(model), metrics=metrics), model, folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "tracking.json"}


def test_place_follows_the_environment(kind: str, store: Store) -> None:
    assert type(store) is {"folder": FolderStore, "server": ServerStore}[kind]


def test_versions_are_numbered_and_the_same_weights_are_one(store: Store, name: str, tmp_path: Path) -> None:
    first = make_model(tmp_path / "first", name)
    second = make_model(tmp_path / "second", name, b"other")
    found = [register_model(store, folder) for folder in (first, second, first)]
    assert [(version.number, is_new) for version, is_new in found] == [(1, True), (2, True), (1, False)]
    assert [version.number for version in store.versions() if version.name == name] in ([1, 2], [2, 1])


def test_fetched_folder_is_the_registered_one(store: Store, name: str, tmp_path: Path) -> None:
    folder = make_model(tmp_path / "mine", name)
    register_model(store, folder, "staging")
    fetch(store, f"{name}@staging", tmp_path / "got" / "model")
    assert contents(tmp_path / "got" / "model") == contents(folder)
    assert [path.name for path in (tmp_path / "got").iterdir()] == ["model"]  # nothing temporary is left


def test_fetching_replaces_a_model_and_nothing_else(store: Store, name: str, tmp_path: Path) -> None:
    folder = make_model(tmp_path / "mine", name)
    register_model(store, folder)
    make_model(tmp_path / "got", "another", b"another")
    fetch(store, f"{name}@1", tmp_path / "got")
    assert contents(tmp_path / "got") == contents(folder)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(RegistryError, match="photos holds something else than a model"):
        fetch(store, f"{name}@1", tmp_path / "photos")
    assert contents(tmp_path / "photos") == {"cat.jpg": b"cat"}


def test_alias_moves_from_version_to_version(store: Store, name: str, tmp_path: Path) -> None:
    register_model(store, make_model(tmp_path / "first", name), "production")
    register_model(store, make_model(tmp_path / "second", name, b"other"), "staging")
    assert find(store, f"{name}@production").number == 1
    assert promote(store, f"{name}@staging", "production").aliases == ("production", "staging")
    assert find(store, f"{name}@production").number == find(store, f"{name}@staging").number == 2
    assert find(store, f"{name}@1").aliases == ()
    assert promote(store, f"{name}@1", "production").number == 1  # back again
    assert find(store, f"{name}@production").number == 1
    assert find(store, f"{name}@staging").number == 2


def test_new_figures_of_the_same_weights_are_kept(store: Store, name: str, tmp_path: Path) -> None:
    folder = make_model(tmp_path / "mine", name)
    register_model(store, folder, "production")
    artifact = read_artifact(folder)
    write_artifact(replace(artifact, metrics={**artifact.metrics, "test": {"accuracy": 0.5}}), folder)
    version, is_new = register_model(store, folder)
    assert (version.number, is_new, find(store, f"{name}@production").number) == (1, False, 1)
    fetch(store, f"{name}@production", tmp_path / "got")
    assert read_artifact(tmp_path / "got").metrics["test"] == {"accuracy": 0.5}


def test_unknown_and_ambiguous_references_are_one_sentence(store: Store, name: str, tmp_path: Path) -> None:
    register_model(store, make_model(tmp_path / "mine", name), "staging")
    register_model(store, make_model(tmp_path / "others", f"{name} two"), "staging")
    for reference in (f"{name}@production", f"{name}@2", f"{name}@", "nobody@staging"):
        assert matching(store, reference) == []
        with pytest.raises(RegistryError, match=f"no model is registered as {reference}: "):
            find(store, reference)
    with pytest.raises(RegistryError, match=r"staging may be .* or .*: write which, as .*@staging"):
        find(store, "staging")
    with pytest.raises(RegistryError, match="an alias is staging or production, not 'live'"):
        promote(store, f"{name}@staging", "live")


def stored_file(kind: str, request: pytest.FixtureRequest, tmp_path: Path, place: str, name: str) -> Path:
    """Where the store itself keeps a file of a version."""
    if kind == "folder":
        return tmp_path / "registry" / place / name
    server: Server = request.getfixturevalue("mlflow_server")
    [path] = server.folder.rglob(f"registered/{place}/{name}")
    return path


@pytest.mark.parametrize("damaged", FILES)
def test_damaged_file_is_found_and_nothing_is_written(
    damaged: str, kind: str, store: Store, name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = make_model(tmp_path / "mine", name)
    version, _ = register_model(store, folder)
    file = stored_file(kind, request, tmp_path, version.place, damaged)
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(RegistryError, match=f"{damaged} of .*@1 is damaged in the registry: register"):
        fetch(store, f"{name}@1", tmp_path / "got" / "model")
    assert not (tmp_path / "got" / "model").exists()
    assert not list((tmp_path / "got").iterdir())
    register_model(store, folder)  # as the sentence says
    fetch(store, f"{name}@1", tmp_path / "got" / "model")
    assert contents(tmp_path / "got" / "model") == contents(folder)


@pytest.mark.parametrize("lacking", FILES)
def test_folder_that_lacks_a_file_is_not_registered(
    lacking: str, store: Store, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_model(tmp_path / "mine", name)
    (folder / lacking).unlink()
    assert register.main(["--model", str(folder)]) == 2
    error = capsys.readouterr().err
    assert lacking in error
    assert error.count("\n") == 1
    assert matching(store, f"{name}@1") == []


def test_commands(kind: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, got = make_model(tmp_path / "mine", name), tmp_path / "got"

    def said(*arguments: str) -> str:
        assert register.main([*arguments]) == 0
        return capsys.readouterr().out

    assert said("--model", str(folder), "--alias", "staging") == f"{folder} is {name}@1, in staging\n"
    again = f"{folder} is {name}@1, in staging, as it was registered before\n"
    assert said("--model", str(folder)) == again
    assert said("promote", f"{name}@staging", "production") == f"{name}@1 is in production and staging\n"
    [row] = [line for line in said("list").splitlines() if line.startswith(f"{name} ")]
    assert row.split()[-2:] == ["production,", "staging"]
    assert said("fetch", f"{name}@production", "--out", str(got)) == f"{got} holds {name}@1\n"
    assert contents(got) == contents(folder)
    assert register.main(["promote", f"{name}@7", "production"]) == 2
    assert capsys.readouterr().err.startswith(f"register.py: no model is registered as {name}@7: ")


@pytest.mark.parametrize(
    ("challenger", "code", "words"),
    [
        ({"accuracy": 0.9347}, 0, "all limits are kept"),
        ({"accuracy": 0.9345}, 1, "1 of 10 limits failed: not to be released"),
        ({"data_fingerprint": "others"}, 2, "was measured on other photos than"),
        ({"megabytes": 99.0}, 1, "1 of 10 limits failed: not to be released"),
    ],
)
def test_gate_holds_a_model_against_the_one_in_production(
    kind: str,
    store: Store,
    name: str,
    tmp_path: Path,
    challenger: dict[str, object],
    code: int,
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    register_model(store, make_model(tmp_path / "champion", name), "production")
    folder = make_model(tmp_path / "challenger", name, b"new", challenger)
    champion = ("--champion", f"registry:{name}@production")
    assert gate.main(["--metrics", str(folder), *champion]) == code
    said = capsys.readouterr()
    assert words in said.out + said.err
    assert register.main(["--model", str(folder), "--alias", "staging", "--gate"]) == code
    assert bool(matching(store, f"{name}@staging")) == (code == 0)


def test_first_model_is_held_against_the_limits_alone(
    store: Store, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = make_model(tmp_path / "bad", name, b"bad", {"accuracy": 0.5})
    assert register.main(["--model", str(bad), "--gate"]) == 1
    assert "1 of 9 limits failed" in capsys.readouterr().out
    assert register.main(["--model", str(make_model(tmp_path / "good", name)), "--gate"]) == 0
    assert [version.number for version in matching(store, f"{name}@1")] == [1]


@pytest.mark.slow
def test_training_starts_from_the_registered_weights(
    kind: str, store: Store, name: str, tmp_path: Path
) -> None:
    folder = make_model(tmp_path / "mine", name)
    shutil.copyfile(SHIPPED / "model.keras", folder / "model.keras")
    register_model(store, folder, "production")
    places = ("--out", tmp_path / "out", "--cache", tmp_path / "cache", "--runs", tmp_path / "runs")
    options = (
        "--no-fine-tune",
        "--weights",
        f"registry:{name}@production",
        "--lint-csv",
        tmp_path / "lint.csv",
    )
    command = [sys.executable, "train.py", "--data", "data/sample", *map(str, (*places, *options))]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    training = json.loads((tmp_path / "out" / "training.json").read_text())
    assert training["params"]["backbone"]["weights"] == f"registry:{name}@1"  # which one, not where it was
    assert training["validation"]["accuracy"] >= 0.8  # random weights reach no such thing


# --- the folder alone


def test_list_of_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("LENSLET_REGISTRY", str(tmp_path / "registry"))
    assert register.main(["list"]) == 0
    assert capsys.readouterr().out == "no model is registered yet: give one with --model\n"
    assert not (tmp_path / "registry").exists()  # looking writes nothing


@pytest.mark.parametrize("content", ["{", "{}", "[1]", '[{"name": "mine"}]'])
def test_damaged_index_is_one_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(RegistryError, match=r"index\.json is damaged"):
        FolderStore(tmp_path).versions()


def test_killed_registration_leaves_the_index_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(tmp_path / "registry")
    register_model(store, make_model(tmp_path / "first", "mine"))

    class Killed(BaseException):
        pass

    def killed(source: Path, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise Killed

    second = make_model(tmp_path / "second", "mine", b"other")
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(shutil, "copyfile", killed)
        register_model(store, second)
    assert [version.number for version in store.versions()] == [1]
    assert register_model(store, second)[0].number == 2


AT_ONCE = """
import sys
from pathlib import Path
from training.registry import open_store, register
register(open_store(), Path(sys.argv[1]))
"""


def test_processes_that_register_at_once_lose_nothing(tmp_path: Path) -> None:
    folders = [make_model(tmp_path / str(number), "mine", bytes([number])) for number in range(4)]
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    environment["LENSLET_REGISTRY"] = str(tmp_path / "registry")
    processes = [
        subprocess.Popen([sys.executable, "-c", AT_ONCE, str(folder)], env=environment) for folder in folders
    ]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
    assert sorted(version.number for version in FolderStore(tmp_path / "registry").versions()) == [1, 2, 3, 4]


def test_registration_waits_for_another_one(tmp_path: Path) -> None:
    folder, registry = make_model(tmp_path / "mine", "mine"), tmp_path / "registry"
    registry.mkdir()
    with (registry / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = Thread(target=register_model, args=(FolderStore(registry), folder))
        waiting.start()
        waiting.join(0.5)
        assert FolderStore(registry).versions() == []
    waiting.join()
    assert [version.number for version in FolderStore(registry).versions()] == [1]


def test_table_shows_the_newest_first(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "registry")
    for number in (1, 2):
        register_model(store, make_model(tmp_path / str(number), "mine", bytes([number])), "staging")
    header, *rows = table(store.versions()).splitlines()
    assert header.split() == ["name", "version", "model", "registered", "aliases"]
    assert [row.split()[1] for row in rows] == ["2", "1"]
    assert rows[0].endswith("staging")
    assert not rows[1].endswith("staging")


@pytest.mark.slow
def test_server_that_is_down_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    assert register.main(["list"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("register.py: the MLflow server http://127.0.0.1:9 does not answer: start it")
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["a/b", "a:b", "a@b", " "])
def test_name_that_no_reference_could_say_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=f"a model called '{name}' cannot be registered: "):
        register_model(FolderStore(tmp_path / "registry"), make_model(tmp_path / "mine", name))


def test_damaged_model_is_not_registered(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "mine", "mine")
    (folder / "model.tflite").write_bytes(b"other")
    with pytest.raises(ArtifactError, match="is not the file that"):
        register_model(FolderStore(tmp_path / "registry"), folder)

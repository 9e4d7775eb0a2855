"""The registry: in a folder, and through a real MLflow server."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lenslet.cli import main
from lenslet.commands.train_params import recorded_backbone
from lenslet.config import read_params
from lenslet.inference.artifact import read_artifact, sha256_of, write_artifact, write_model_folder
from lenslet.inference.errors import ArtifactError
from lenslet.registry import mlflow_client
from lenslet.registry.mlflow_client import open_client
from lenslet.registry.mlflow_registry import FILES, ModelVersion, Registry, RegistryError
from lenslet.registry.tracking import Tracker
from lenslet.registry.versions import (
    REPORT_NAME,
    fetch_version,
    find_version,
    matching_versions,
    open_registry,
    promote,
    versions_table,
)
from lenslet.registry.versions import register as register_model
from lenslet.training.record import read_record, write_record
from tests.support.photos import BLUE, RED, write_class
from tests.training.test_resume import write_params

pytest_plugins = ["tests.support.mlflow_server"]

ROOT = Path(__file__).parents[2]
SHIPPED = Path("model")
PASSED = "all limits are kept"

# What a champion is, by hand: every limit of params.yaml is kept.
FIGURES = {
    "data_fingerprint": "photos",
    "accuracy": 0.9455,
    "accuracy_low": 0.9346,
    "accuracy_gain": 0.7,
    "roc_auc": 0.99,
    "min_recall": 0.89,
    "robustness_mean": 0.82,
    "robustness_worst": 0.29,
    "agreement_with_keras": 0.999,
    "calibration_error": 0.01,
    "megabytes": 4.5,
    "time_ms": 3.6,
}


@pytest.fixture
def registry(in_folder: Path) -> Registry:
    return open_registry()


@pytest.fixture
def name(tmp_path: Path) -> str:
    """A name of its own for each test: they share one registry."""
    return tmp_path.name


def make_model(folder: Path, name: str, weights: bytes = b"", test: dict[str, object] | None = None) -> Path:
    """A whole model folder: the shipped one under another name, with small files where nothing here loads them."""
    shutil.copytree(SHIPPED, folder, ignore=shutil.ignore_patterns("tracking.json", "*.keras", "*.tflite"))
    (folder / "model.keras").write_bytes(b"keras " + weights)
    artifact, model = read_artifact(folder), b"tflite " + weights
    metrics = {**artifact.metrics, "test": {**FIGURES, **(test or {})}}
    write_model_folder(replace(artifact, name=name, sha256=sha256_of(model), metrics=metrics), model, folder)
    return folder


def make_report(folder: Path, model: Path, photos: str = "photos") -> Path:
    """A report with what the true one says of the model and the photos it is about."""
    folder.mkdir(exist_ok=True)
    (folder / REPORT_NAME).write_text(f"<p>{read_artifact(model).version} on photos {photos[:12]}</p>")
    return folder


def registered(registry: Registry, folder: Path, alias: str | None = None) -> tuple[ModelVersion, bool]:
    report = make_report(folder.with_name(f"{folder.name} report"), folder)
    return register_model(registry, folder, report, PASSED, alias)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "tracking.json"}


# --- versions, aliases, files


@pytest.mark.slow
def test_versions_are_numbered_and_the_same_weights_are_one(
    registry: Registry, name: str, tmp_path: Path
) -> None:
    first = make_model(tmp_path / "first", name)
    second = make_model(tmp_path / "second", name, b"other")
    found = [registered(registry, folder) for folder in (first, second, first)]
    assert [(version.number, is_new) for version, is_new in found] == [(1, True), (2, True), (1, False)]
    assert [version.number for version in registry.versions() if version.name == name] in ([1, 2], [2, 1])


@pytest.mark.slow
def test_version_carries_its_facts(registry: Registry, name: str, tmp_path: Path) -> None:
    folder = make_model(tmp_path / "mine", name)
    said, _ = registered(registry, folder, "staging")
    found = find_version(registry, f"{name}@staging")
    assert found == said
    training = json.loads((folder / "training.json").read_text())
    assert found.model == sha256_of(b"tflite ")
    assert found.data_fingerprint == training["data_fingerprint"]
    assert found.commit == ""  # that of the registration would be a guess: this training was not tracked
    assert set(found.files) == {*FILES, "report.html"}
    assert found.files["model.keras"] == sha256_of(b"keras ")
    page = open_client().get_model_version(name, "1")  # what the page shows
    assert (page.description, page.tags["model_sha256"]) == (PASSED, found.model)


@pytest.mark.slow
def test_weights_of_a_version_name_their_backbone(registry: Registry, name: str, tmp_path: Path) -> None:
    registered(registry, make_model(tmp_path / "mine", name))
    assert recorded_backbone(f"registry:{name}@1") == "mobilenet_v2"


@pytest.mark.slow
def test_commit_is_that_of_the_training_if_it_is_known(
    registry: Registry, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_model(tmp_path / "mine", name)
    with monkeypatch.context() as then, Tracker() as tracker:
        then.setattr("lenslet.registry.tracking.working_tree", lambda: "f00d-dirty")
        tracker.begin(name, {"train": {"seed": 1}}, "photos")
        tracker.note(folder)
    version, _ = registered(registry, folder)
    assert (version.run, version.commit) == (tracker.run_id, "f00d-dirty")


@pytest.mark.slow
def test_fetched_folder_is_the_registered_one(registry: Registry, name: str, tmp_path: Path) -> None:
    folder = make_model(tmp_path / "mine", name)
    registered(registry, folder, "staging")
    fetch_version(registry, f"{name}@staging", tmp_path / "got" / "model", tmp_path / "got" / "report")
    assert contents(tmp_path / "got" / "model") == contents(folder)
    assert contents(tmp_path / "got" / "report") == contents(tmp_path / "mine report")
    assert {path.name for path in (tmp_path / "got").iterdir()} == {"model", "report"}  # nothing temporary


@pytest.mark.slow
def test_fetching_replaces_a_model_and_nothing_else(registry: Registry, name: str, tmp_path: Path) -> None:
    folder = make_model(tmp_path / "mine", name)
    registered(registry, folder)
    make_model(tmp_path / "got", "another", b"another")
    fetch_version(registry, f"{name}@1", tmp_path / "got")
    assert contents(tmp_path / "got") == contents(folder)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(RegistryError, match="photos holds other files than a model"):
        fetch_version(registry, f"{name}@1", tmp_path / "photos")
    assert contents(tmp_path / "photos") == {"cat.jpg": b"cat"}


@pytest.mark.slow
def test_alias_moves_from_version_to_version(registry: Registry, name: str, tmp_path: Path) -> None:
    registered(registry, make_model(tmp_path / "first", name), "production")
    registered(registry, make_model(tmp_path / "second", name, b"other"), "staging")
    assert find_version(registry, f"{name}@production").number == 1
    assert promote(registry, f"{name}@staging", "production").aliases == ("production", "staging")
    assert (
        find_version(registry, f"{name}@production").number
        == find_version(registry, f"{name}@staging").number
        == 2
    )
    assert find_version(registry, f"{name}@1").aliases == ()
    assert promote(registry, f"{name}@1", "production").number == 1  # back again
    assert find_version(registry, f"{name}@production").number == 1
    assert find_version(registry, f"{name}@staging").number == 2


@pytest.mark.slow
def test_new_figures_of_the_same_weights_are_kept(registry: Registry, name: str, tmp_path: Path) -> None:
    folder = make_model(tmp_path / "mine", name)
    before, _ = registered(registry, folder, "production")
    artifact = read_artifact(folder)
    figures = {"accuracy": 0.5, "data_fingerprint": "photos"}
    write_artifact(replace(artifact, metrics={**artifact.metrics, "test": figures}), folder)
    version, is_new = registered(registry, folder)
    assert (version.number, is_new, find_version(registry, f"{name}@production").number) == (1, False, 1)
    assert version.run == before.run
    fetch_version(registry, f"{name}@production", tmp_path / "got")
    assert read_artifact(tmp_path / "got").metrics["test"] == figures


@pytest.mark.slow
def test_unknown_and_ambiguous_references_are_one_sentence(
    registry: Registry, name: str, tmp_path: Path
) -> None:
    registered(registry, make_model(tmp_path / "mine", name), "staging")
    registered(registry, make_model(tmp_path / "others", f"{name} two"), "staging")
    for reference in (f"{name}@production", f"{name}@2", f"{name}@", "nobody@staging"):
        assert matching_versions(registry, reference) == []
        with pytest.raises(RegistryError, match=f"no model is registered as {reference}: "):
            find_version(registry, reference)
    with pytest.raises(RegistryError, match=r"staging may be .* or .*: write which, as .*@staging"):
        find_version(registry, "staging")
    with pytest.raises(RegistryError, match="an alias is candidate or staging or production, not 'live'"):
        promote(registry, f"{name}@staging", "live")


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [*FILES, REPORT_NAME])
def test_damaged_file_is_found_and_nothing_is_written(
    damaged: str, in_folder: Path, registry: Registry, name: str, tmp_path: Path
) -> None:
    folder = make_model(tmp_path / "mine", name)
    version, _ = registered(registry, folder)
    [file] = in_folder.rglob(f"{version.run}/artifacts/{version.place}/{damaged}")
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    places = tmp_path / "got" / "model", tmp_path / "got" / "report"
    with pytest.raises(RegistryError, match=f"{damaged} of .*@1 is damaged in the registry: register"):
        fetch_version(registry, f"{name}@1", *places)
    assert not list((tmp_path / "got").iterdir())
    registered(registry, folder)  # as the sentence says
    fetch_version(registry, f"{name}@1", *places)
    assert contents(tmp_path / "got" / "model") == contents(folder)


@pytest.mark.slow
def test_server_and_folder_are_one_registry(
    registry: Registry,
    mlflow_server: str,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = make_model(tmp_path / "first", name)
    second = make_model(tmp_path / "second", name, b"other")
    registered(registry, first, "production")
    with monkeypatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", mlflow_server)
        served = open_registry()
        version, is_new = registered(served, second, "staging")
        assert (version, is_new) == (find_version(served, f"{name}@staging"), True)
        assert version.number == 2
        fetch_version(served, f"{name}@production", tmp_path / "got")
        assert contents(tmp_path / "got") == contents(first)
        promote(served, f"{name}@2", "production")
    fetch_version(registry, f"{name}@production", tmp_path / "got", tmp_path / "got report")
    assert contents(tmp_path / "got") == contents(second)
    assert contents(tmp_path / "got report") == contents(tmp_path / "second report")


AT_ONCE = """
import sys
from pathlib import Path
from lenslet.registry.versions import open_registry, register
register(open_registry(), Path(sys.argv[1]), Path(sys.argv[2]), "passed")
"""


@pytest.mark.slow
def test_processes_that_register_at_once_lose_nothing(tmp_path: Path) -> None:
    """Nor do they when the first thing they do is to make the database."""
    folders = [make_model(tmp_path / str(number), "mine", bytes([number])) for number in range(2)]
    reports = [make_report(folder.with_name(f"{folder.name} report"), folder) for folder in folders]
    command = ["env", "-u", "MLFLOW_TRACKING_URI", f"PYTHONPATH={ROOT}", sys.executable, "-c", AT_ONCE]
    processes = [
        subprocess.Popen([*command, str(folder), str(report)], cwd=tmp_path)
        for folder, report in zip(folders, reports, strict=True)
    ]
    assert [process.wait() for process in processes] == [0, 0]
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI")
        patched.setattr(mlflow_client, "FOLDER", tmp_path / ".mlflow")
        assert sorted(version.number for version in open_registry().versions()) == [1, 2]


@pytest.mark.slow
def test_training_starts_from_the_registered_weights(
    registry: Registry, in_folder: Path, name: str, tmp_path: Path
) -> None:
    import keras

    from lenslet.network.assembly import build_network
    from lenslet.network.backbones import build_backbone

    write_class(tmp_path / "photos" / "red", 12, RED)
    write_class(tmp_path / "photos" / "blue", 12, BLUE, first_seed=100)
    write_params(tmp_path / "params.yaml", epochs=1)
    params = read_params(tmp_path / "params.yaml").train
    network = build_network(build_backbone(params.backbone), 2, params)
    folder = make_model(tmp_path / "mine", name)
    network.save(folder / "model.keras")
    write_record(replace(read_record(folder), params=params), folder)
    registered(registry, folder, "production")
    places = ("--data", tmp_path / "photos", "--out", tmp_path / "out", "--cache", tmp_path / "cache")
    options = (
        "--no-fine-tune",
        "--weights",
        f"registry:{name}@production",
        "--params",
        tmp_path / "params.yaml",
    )
    assert main(["train", *map(str, (*places, *options, "--lint-csv", tmp_path / "lint.csv"))]) == 0
    training = json.loads((tmp_path / "out" / "training.json").read_text())
    assert training["params"]["backbone"]["weights"] == f"registry:{name}@1"  # which one, not where it was
    trained = keras.models.load_model(tmp_path / "out" / "model.keras", compile=False)
    pairs = zip(*(each.get_layer("backbone").get_weights() for each in (network, trained)), strict=True)
    assert all(np.array_equal(*pair) for pair in pairs)


# --- the commands, and the gate before them


@pytest.mark.slow
def test_commands(registry: Registry, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, got = make_model(tmp_path / "mine", name), tmp_path / "got"
    report = make_report(tmp_path / "report", folder)

    def said(*arguments: str) -> str:
        assert main(["register", *arguments]) == 0
        return capsys.readouterr().out

    new = ("register", "--model", str(folder), "--report", str(report))
    *_, last, registered_as = said(*new, "--alias", "staging").splitlines()
    assert (last, registered_as) == (PASSED, f"{folder} is {name}@1, in staging")
    assert said(*new).endswith(f"\n{folder} is {name}@1, in staging, as it was registered before\n")
    assert said("promote", f"{name}@staging", "production") == f"{name}@1 is in production and staging\n"
    [row] = [line for line in said("list").splitlines() if line.startswith(f"{name} ")]
    assert row.split()[-2:] == ["production,", "staging"]
    fetched = ("fetch", f"{name}@production", "--out", str(got), "--report", str(tmp_path / "got report"))
    assert said(*fetched) == f"{got} holds {name}@1\n"
    assert contents(got) == contents(folder)
    assert contents(tmp_path / "got report") == contents(report)
    assert main(["register", "promote", f"{name}@7", "production"]) == 2
    assert capsys.readouterr().err.startswith(f"lenslet register: no model is registered as {name}@7: ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("challenger", "code", "words"),
    [
        ({"accuracy": 0.9347}, 0, "all limits are kept"),
        ({"accuracy": 0.9345}, 1, "1 of 4 limits failed: not to be released"),
        ({"data_fingerprint": "others"}, 2, "was measured on other photos than"),
        ({"calibration_error": 0.9}, 1, "1 of 4 limits failed: not to be released"),
    ],
)
def test_gate_holds_a_model_against_the_one_in_production(
    registry: Registry,
    name: str,
    tmp_path: Path,
    challenger: dict[str, object],
    code: int,
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    registered(registry, make_model(tmp_path / "champion", name), "production")
    folder = make_model(tmp_path / "challenger", name, b"new", challenger)
    champion = ("--champion", f"registry:{name}@production")
    assert main(["gate", "--metrics", str(folder), *champion]) == code
    said = capsys.readouterr()
    assert words in said.out + said.err
    report = make_report(tmp_path / "report", folder, str(challenger.get("data_fingerprint", "photos")))
    new = ["register", "--model", str(folder), "--report", str(report), "--alias", "staging"]
    assert main(["register", *new]) == code
    assert words in "".join(capsys.readouterr())
    assert [version.number for version in matching_versions(registry, f"{name}@staging")] == [2] * (code == 0)


@pytest.mark.slow
def test_registry_follows_to_new_test_photos(
    registry: Registry, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the road that the refusal names: the champion is fetched, judged on the new photos, and registered again."""
    registered(registry, make_model(tmp_path / "champion", name), "production")

    def register_judged(folder: Path) -> int:
        """After `lenslet evaluate` on the new photos, as far as figures and report go."""
        artifact = read_artifact(folder)
        test = {**artifact.metrics["test"], "data_fingerprint": "new photos", "test_fingerprint": "new"}
        write_artifact(replace(artifact, metrics={**artifact.metrics, "test": test}), folder)
        report = make_report(tmp_path / "report", folder, "new photos")
        return main(["register", "register", "--model", str(folder), "--report", str(report)])

    challenger = make_model(tmp_path / "challenger", name, b"new")
    assert register_judged(challenger) == 2
    assert "with `lenslet evaluate` after `lenslet register fetch`, and register" in capsys.readouterr().err
    fetch_version(registry, f"{name}@production", tmp_path / "fetched")
    assert register_judged(tmp_path / "fetched") == 0
    assert "@1, in production, as it was registered before" in capsys.readouterr().out
    assert register_judged(challenger) == 0
    assert [version.number for version in matching_versions(registry, f"{name}@2")] == [2]


@pytest.mark.slow
def test_first_model_is_held_against_the_limits_alone(
    registry: Registry, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = make_model(tmp_path / "bad", name, b"bad", {"accuracy_gain": 0.01})
    report = str(make_report(tmp_path / "report", bad))
    assert main(["register", "register", "--model", str(bad), "--report", report, "--json"]) == 1
    refused = capsys.readouterr()
    assert "1 of 3 limits failed" in refused.err
    assert json.loads(refused.out)["gate"]["is_passed"] is False
    assert matching_versions(registry, f"{name}@1") == []
    good = make_model(tmp_path / "good", name)
    make_report(tmp_path / "report", good)
    assert main(["register", "register", "--model", str(good), "--report", report, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["version"]["name"], answer["version"]["number"], answer["is_new"]) == (name, 1, True)
    assert [version.number for version in matching_versions(registry, f"{name}@1")] == [1]


@pytest.mark.slow
@pytest.mark.parametrize("lacking", FILES)
def test_folder_that_lacks_a_file_is_not_registered(
    lacking: str, registry: Registry, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_model(tmp_path / "mine", name)
    report = make_report(tmp_path / "report", folder)
    (folder / lacking).unlink()
    assert main(["register", "register", "--model", str(folder), "--report", str(report)]) == 2
    error = capsys.readouterr().err
    assert lacking in error
    assert error.count("\n") == 1
    assert matching_versions(registry, f"{name}@1") == []


# --- without MLflow


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No MLflow yet, and, as these tests are fast ones, none after them."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(mlflow_client, "FOLDER", tmp_path / "none")
    return tmp_path / "none"


@pytest.mark.parametrize("setting", [None, ""])  # a variable of GitHub that is not set comes as an empty one
def test_list_of_nothing(
    setting: str | None, nowhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if setting is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", setting)
    assert main(["register", "list"]) == 2
    assert capsys.readouterr().err.startswith(
        f"lenslet register: there is no registry in {nowhere.resolve()}: go to"
    )
    assert not nowhere.exists()  # looking writes nothing


@pytest.mark.parametrize(
    "words",
    [
        ["register", "promote", "staging", "production"],
        ["register", "fetch", "production", "--out", "nowhere"],
        ["gate", "--metrics", "model", "--champion", "registry:production"],
        ["train", "--data", "data/sample", "--out", "nowhere", "--weights", "registry:production"],
    ],
)
def test_registry_that_is_not_found_is_not_an_empty_one(
    words: list[str], nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"lenslet {words[0]}: there is no registry in {nowhere.resolve()}: go to")
    assert not nowhere.exists()


@pytest.mark.parametrize("words", [["list"], ["register", "--model", "model"]])
def test_registry_that_is_off_is_one_sentence(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["register", *words]) == 2  # as tests/conftest.py turns it off
    error = capsys.readouterr().err
    assert error.startswith("lenslet register: MLFLOW_TRACKING_URI is off, and so is the registry: unset it")
    assert error.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("register", ["list"]),
        ("register", ["fetch", "production", "--out", "nowhere"]),
        ("gate", ["--metrics", "model", "--champion", "registry:production"]),
    ],
)
def test_server_that_is_down_is_one_sentence(
    command: str, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    assert main([command, *words]) == 2
    error = capsys.readouterr().err
    said = f"lenslet {command}: the MLflow server http://127.0.0.1:9 does not answer: start it, or unset "
    assert error.startswith(said)
    assert error.count("\n") == 1


@pytest.mark.slow
def test_training_from_a_registry_that_is_down_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    words = ["--data", "data/sample", "--weights", "registry:production", "--out", str(tmp_path / "out")]
    assert main(["train", *words]) == 2
    assert capsys.readouterr().err.startswith(
        "lenslet train: the MLflow server http://127.0.0.1:9 does not answer"
    )


def test_table_shows_the_newest_first() -> None:
    first = ModelVersion("mine", "a" * 64, "c" * 64, {}, 1, "2026-11-21T12:00:00Z", commit="d" * 40)
    second = ModelVersion("mine", "b" * 64, "c" * 64, {}, 2, "2026-11-21T13:00:00Z", "", "", ("staging",))
    dirty = replace(first, number=3, commit="d" * 40 + "-dirty")
    header, *rows = versions_table([first, dirty, second]).splitlines()
    assert header.split() == ["name", "version", "model", "photos", "commit", "registered", "aliases"]
    assert [row.split() for row in rows] == [
        ["mine", "3", "a" * 12, "c" * 12, f"{'d' * 12}-dirty", "2026-11-21T12:00:00Z"],
        ["mine", "2", "b" * 12, "c" * 12, "unknown", "2026-11-21T13:00:00Z", "staging"],
        ["mine", "1", "a" * 12, "c" * 12, "d" * 12, "2026-11-21T12:00:00Z"],
    ]


@pytest.mark.parametrize("name", ["a/b", "a:b", "a@b", " "])
def test_name_that_no_reference_could_say_is_refused(name: str, nowhere: Path, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=f"a model called '{name}' cannot be registered: "):
        registered(open_registry(), make_model(tmp_path / "mine", name))


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (None, r"a version carries its report, but .*report\.html does not exist: run lenslet evaluate"),
        ("{version} on other photos", r"report\.html is not of the model and the figures in .*mine: run"),
        ("another on photos", r"report\.html is not of the model and the figures in .*mine: run"),
    ],
)
def test_report_must_be_that_of_the_model(
    page: str | None, words: str, nowhere: Path, tmp_path: Path
) -> None:
    folder = make_model(tmp_path / "mine", "mine", test={"data_fingerprint": "on photos only"})
    if page:
        (tmp_path / REPORT_NAME).write_text(page.format(version=read_artifact(folder).version))
    with pytest.raises(RegistryError, match=words):
        register_model(open_registry(), folder, tmp_path, PASSED)
    assert not nowhere.exists()


def test_damaged_model_is_not_registered(nowhere: Path, tmp_path: Path) -> None:
    folder = make_model(tmp_path / "mine", "mine")
    report = make_report(tmp_path / "report", folder)
    (folder / "model.tflite").write_bytes(b"other")
    with pytest.raises(ArtifactError, match="is not the file that"):
        register_model(open_registry(), folder, report, PASSED)

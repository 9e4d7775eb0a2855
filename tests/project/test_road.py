"""The whole way on the sample drawings: train, convert, evaluate, predict, as a new user would."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from lenslet.cli import main
from lenslet.inference.artifact import read_artifact
from lenslet.inference.classifier import Classifier
from lenslet.inference.decode import decode
from tests.support.photos import BLUE, GREEN, RED, write_class

pytestmark = pytest.mark.slow

SAMPLE = Path("data/sample")


def run(command: str, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does; fails with its output if it does not end with `code`."""
    program = [command] if command.endswith(".py") else ["-m", "lenslet", command]
    finished = subprocess.run(
        [sys.executable, *program, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert finished.returncode == code, finished.stdout + finished.stderr
    return finished


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for everything that the commands of this module write."""
    return tmp_path_factory.mktemp("road")


@pytest.fixture(scope="module")
def trained(folder: Path) -> str:
    """What training the head on the drawings prints; its ImageNet weights come with the package."""
    places = ("--out", folder / "model", "--cache", folder / "cache", "--runs", folder / "runs")
    options = ("--no-fine-tune", "--name", "drawings", "--json")
    done = run("train.py", "--data", SAMPLE, *places, *options)
    figures = json.loads(done.stdout)
    assert (figures["model"], figures["photos"]["test"]) == ("drawings", 60)
    assert figures["photos"]["train"] == 180  # of the training folder all, none to validate
    assert f"cross-validated accuracy {figures['validation']['accuracy']:.4f}" in done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def converted(folder: Path, trained: str) -> str:
    arguments = ("--data", SAMPLE, "--model", folder / "model", "--cache", folder / "cache")
    return run("convert.py", *arguments, "--set", "convert.explanation_photos=6").stdout


@pytest.fixture(scope="module")
def evaluated(folder: Path, converted: str) -> str:
    arguments = ("--data", SAMPLE, "--model", folder / "model", "--cache", folder / "cache")
    few = ("--set", "evaluate.corruption_photos=6")
    return run("evaluate", *arguments, "--report", folder / "report", *few).stdout


def test_training_learns_the_drawings(trained: str, folder: Path) -> None:
    accuracy = float(re.search(r"network: cross-validated accuracy ([0-9.]+)", trained)[1])
    assert accuracy >= 0.8
    assert (folder / "model" / "model.keras").exists()
    assert not (folder / "model" / "model.json").exists()  # not servable yet, and it does not say it is


def test_conversion_compares_precisions_in_the_serving_runtime(converted: str, folder: Path) -> None:
    for precision in ("float32", "float16", "dynamic_range", "int8"):
        assert re.search(rf"^{precision} ", converted, re.MULTILINE), converted
    assert "chosen: " in converted
    assert read_artifact(folder / "model").metrics["validation"]["agreement_with_keras"] >= 0.995


def test_head_of_all_photos_is_calibrated_by_cross_validation(
    converted: str, evaluated: str, folder: Path
) -> None:
    """Sets and probabilities keep on test photos what they promise; a head calibrated on its own photos would not."""
    artifact = read_artifact(folder / "model")
    figures = artifact.metrics["validation"]
    assert (figures["photos"], figures["folds"], artifact.reference["photos"]) == (180, 10, 180)
    assert "true label of about 95% of photos, cross-validated over 180 photos" in converted
    test = json.loads((folder / "report" / "metrics.json").read_text())
    assert test["coverage"] >= 0.9
    assert test["calibration_error"] <= max(0.05, test["calibration_error_chance"])
    assert 0.8 <= test["ood_true_positive_rate"] < 1 or artifact.ood_kind == "energy"
    card = (folder / "model" / "MODEL_CARD.md").read_text()
    assert "| metric | cross-validated | test |" in card


KERAS_SIDE = """
import sys
import keras, numpy as np
from pathlib import Path
from lenslet.network.assembly import served_network
from lenslet.conversion.candidates import convert

model, temperature, folder = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
network = served_network(keras.models.load_model(model, compile=False), temperature, np.eye(1280, 2, dtype=np.float32))
np.savez(folder / "keras.npz", **network.predict(np.load(folder / "pixels.npy"), verbose=0))
(folder / "float32.tflite").write_bytes(convert(network, ["float32"], calibration=None)["float32"])
"""


def test_keras_and_tflite_agree(converted: str, folder: Path) -> None:
    artifact = read_artifact(folder / "model")
    photos = sorted((SAMPLE / "test").rglob("*.jpg"))[::5]
    pixels = np.stack([decode(path.read_bytes(), artifact.image_size) for path in photos])
    np.save(folder / "pixels.npy", pixels)
    # TensorFlow in a process of its own: it would lend the TFLite runtime its kernels.
    arguments = (folder / "model" / "model.keras", str(artifact.temperature), folder)
    subprocess.run([sys.executable, "-c", KERAS_SIDE, *arguments], check=True, capture_output=True)
    expected = np.load(folder / "keras.npz")
    float32 = Classifier((folder / "float32.tflite").read_bytes(), artifact)
    chosen = Classifier.load(folder / "model")
    for number, picture in enumerate(pixels):
        exact, served = float32.classify(picture), chosen.classify(picture)
        np.testing.assert_allclose(exact.probabilities, expected["probabilities"][number], atol=1e-3)
        np.testing.assert_allclose(exact.activation_map, expected["activation_map"][number], atol=1e-2)
        assert served.probabilities.argmax() == expected["probabilities"][number].argmax()


def test_evaluation_writes_figures_and_plots(evaluated: str, folder: Path) -> None:
    figures = json.loads((folder / "report" / "metrics.json").read_text())
    assert figures["photos"] == 60
    assert figures["accuracy"] >= 0.8
    assert 0.8 <= figures["roc_auc"] <= 1
    assert {"precision.sea", "recall.sea", "f1.sea"} <= set(figures)
    assert f"{figures['accuracy']:.1%}" in evaluated
    for name in ("confusion_matrix.png", "roc.png"):
        assert decode((folder / "report" / name).read_bytes(), 64).std() > 10  # not an empty picture


def test_evaluation_is_recorded_in_the_model_folder(evaluated: str, folder: Path) -> None:
    artifact = read_artifact(folder / "model")
    assert artifact.metrics["test"]["photos"] == 60
    assert f"{artifact.metrics['test']['accuracy']:.1%}" in (folder / "model" / "MODEL_CARD.md").read_text()


def test_prediction_table_and_csv(converted: str, folder: Path) -> None:
    (folder / "notes.txt").write_text("no photo")
    arguments = (SAMPLE / "test" / "forest", folder / "notes.txt", "--model", folder / "model")
    printed = run("predict", *arguments, "--csv", folder / "answers.csv").stdout
    assert "10 of 11 files classified" in printed
    assert "not classified: the data are not an image we read" in printed
    with (folder / "answers.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:7] == [
        "file",
        "label",
        "probability",
        "is_certain",
        "prediction_set",
        "is_in_distribution",
        "ood_score",
    ]
    labels = read_artifact(folder / "model").labels
    assert sum(float(rows[0][f"probability: {label}"]) for label in labels) == pytest.approx(1, abs=1e-4)
    assert rows[-1]["error"].startswith("the data are not an image we read")


def test_fine_tuning_a_two_class_folder_from_scratch(folder: Path) -> None:
    write_class(folder / "two" / "red", 30, RED)
    write_class(folder / "two" / "blue", 30, BLUE, first_seed=100)
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    params["train"]["image_size"] = 32
    params["train"]["backbone"] = {"name": "small_cnn", "weights": "none", "layers_unfrozen": "all"}
    params["train"]["fine_tune"] |= {"epochs": 3, "batch_size": 8, "learning_rate": 0.002}
    params["convert"] |= {"precisions": ["float32"], "explanation_photos": 2}
    params["evaluate"]["corruption_photos"] = 2
    (folder / "small.yaml").write_text(yaml.safe_dump(params))
    places = ("--cache", folder / "cache", "--params", folder / "small.yaml")
    run(
        "train.py",
        "--data",
        folder / "two",
        "--out",
        folder / "two_model",
        "--runs",
        folder / "runs",
        *places,
    )
    run("convert.py", "--data", folder / "two", "--model", folder / "two_model", *places)
    model = ("--model", folder / "two_model")
    run("evaluate", "--data", folder / "two", *model, "--report", folder / "two_report", *places)
    figures = json.loads((folder / "two_report" / "metrics.json").read_text())
    assert figures["accuracy"] == 1.0  # red and blue
    assert (next((folder / "runs").iterdir()) / "log.csv").read_text().count(
        "\n"
    ) == 4  # a header, three epochs


def no_folder(folder: Path) -> list[object]:
    return ["train", "--data", folder / "nowhere", "--out", folder / "x"]


def one_class(folder: Path) -> list[object]:
    write_class(folder / "one" / "green", 3, GREEN)
    return ["train", "--data", folder / "one", "--out", folder / "x", "--weights", "model/model.keras"]


def nothing_to_train(folder: Path) -> list[object]:
    return ["train", "--data", SAMPLE, "--out", folder / "x", "--weights", "none", "--no-fine-tune"]


def untrained(folder: Path) -> list[object]:
    return ["convert", "--data", SAMPLE, "--model", folder / "x"]


def other_photos(folder: Path) -> list[object]:
    write_class(folder / "other" / "red", 9, RED)
    write_class(folder / "other" / "green", 9, GREEN)
    return ["convert", "--data", folder / "other", "--model", folder / "model"]


def other_classes(folder: Path) -> list[object]:
    write_class(folder / "classes" / "red", 9, RED)
    write_class(folder / "classes" / "green", 9, GREEN)
    return ["evaluate", "--data", folder / "classes", "--model", folder / "model"]


def no_model(folder: Path) -> list[object]:
    return ["predict", SAMPLE, "--model", folder / "x"]


def no_photo(folder: Path) -> list[object]:
    return ["predict", folder / "none.jpg", "--model", folder / "model"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (no_folder, "nowhere does not exist: give a folder of photos"),
        (one_class, "must hold two classes at least, but has ['green']"),
        (nothing_to_train, "a backbone without weights has nothing to build a head on"),
        (untrained, "training.json does not exist: lenslet train writes it when it has finished"),
        (other_photos, "does not hold the photos that"),
        (other_classes, "has the classes green, red; the model in"),
        (no_model, "model.json does not exist"),
        (no_photo, "none.jpg does not exist"),
    ],
)
def test_wrong_call_is_one_sentence_and_exit_code_2(
    make, message: str, converted: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *arguments = make(folder)
    if command != "predict":
        arguments += ["--cache", folder / "cache"]
    assert main([command, *map(str, arguments)]) == 2
    assert message in capsys.readouterr().err


def test_servable_folder_serves_its_model_until_the_next_one_is_whole(converted: str, folder: Path) -> None:
    """Weights and model.json of different trainings must never look like one whole model."""
    retrained = folder / "retrained"
    shutil.copytree(folder / "model", retrained)
    before = {path.name: path.read_bytes() for path in retrained.iterdir() if path.is_file()}
    cached = {path: path.stat().st_mtime_ns for path in (folder / "cache").iterdir()}
    places = ("--cache", folder / "cache")
    into = ("--out", retrained, "--runs", folder / "runs", "--set", "train.head.epochs=1")
    printed = run(
        "train.py", "--data", SAMPLE, *places, *into, "--weights", "model/model.keras", "--no-fine-tune"
    )
    assert "serves its former model until the new one is converted" in printed.stdout
    now = {path.name: path.read_bytes() for path in retrained.iterdir() if path.is_file()}
    assert now == before
    # The second training took decoded photos from the cache, and left what it did not need.
    again = {path: path.stat().st_mtime_ns for path in (folder / "cache").iterdir()}
    assert cached.items() <= again.items()
    assert not [path for path in again.keys() - cached.keys() if path.name.startswith("pixels")]
    Classifier.load(retrained)
    network = (retrained / "next" / "model.keras").read_bytes()
    quick = ("--set", "convert.precisions=[float16]", "--set", "convert.explanation_photos=0")
    run("convert.py", "--data", SAMPLE, "--model", retrained, *places, *quick)
    assert not (retrained / "next").exists()
    assert (retrained / "model.keras").read_bytes() == network
    assert Classifier.load(retrained).artifact.sha256 != json.loads(before["model.json"])["sha256"]

"""The classifier of a model folder: the shipped model, and tiny models with wrong inputs or outputs."""

import json
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lenslet.inference import classifier as classifier_module
from lenslet.inference.artifact import Artifact, read_artifact, read_model, sha256_of
from lenslet.inference.classifier import Classifier, Prediction, runtime_module, runtime_name
from lenslet.inference.decode import RESIZE_RULE
from lenslet.inference.errors import ArtifactError

SHIPPED = Path(__file__).parents[2] / "model"

# --- what a prediction says


def prediction(
    probabilities: list[float],
    threshold: float = 0.5,
    activation_map: NDArray[np.float32] | None = None,
    logits: tuple[float, ...] = (0, 0, 0),
    ood_threshold: float = 0.0,
    alpha: float = 0.1,
) -> Prediction:
    labels = ("forest", "sea", "street")
    return Prediction(
        labels,
        np.array(probabilities, np.float32),
        activation_map,
        threshold,
        np.array(logits, np.float32),
        ood_threshold,
        alpha,
    )


def test_ranked_by_probability() -> None:
    assert prediction([0.25, 0.125, 0.625]).ranked() == [("street", 0.625), ("forest", 0.25), ("sea", 0.125)]


def test_ties_keep_the_order_of_the_labels() -> None:
    labels = tuple(f"label {index}" for index in range(64))
    probabilities = np.array([0.01, 0.02] * 32, np.float32)
    answer = Prediction(labels, probabilities, None, 0.5, np.log(probabilities), 0.0, 0.05)
    assert [label for label, _ in answer.ranked()] == [*labels[1::2], *labels[0::2]]


@pytest.mark.parametrize(
    ("threshold", "alpha", "probabilities", "labels"),
    [
        (0.0, 0.4, [0.25, 0.125, 0.625], ["street", "forest", "sea"]),
        (
            0.125,
            0.4,
            [0.25, 0.125, 0.625],
            ["street", "forest", "sea"],
        ),  # the threshold itself belongs to the set
        (0.126, 0.4, [0.25, 0.125, 0.625], ["street", "forest"]),
        (0.25, 0.4, [0.25, 0.125, 0.625], ["street", "forest"]),
        (0.5, 0.4, [0.25, 0.125, 0.625], ["street"]),
        (0.9, 0.4, [0.25, 0.125, 0.625], ["street"]),  # never empty; 0.625 is at least 1 − alpha
        (1.0, 0.1, [0.0, 0.0, 1.0], ["street"]),
        # No label reaches the threshold: the most probable ones that together reach 1 − alpha.
        (0.939, 0.05, [0.502, 0.498, 0.0], ["forest", "sea"]),
        (0.939, 0.05, [0.22, 0.4, 0.38], ["sea", "street", "forest"]),
        (0.939, 0.05, [0.93, 0.04, 0.03], ["forest", "sea"]),
        (0.939, 0.05, [0.95, 0.03, 0.02], ["forest"]),
        # One label reaches it, and is improbable all the same: an accurate model has a low threshold.
        (0.31, 0.05, [0.32, 0.30, 0.38], ["street", "forest", "sea"]),
        (0.31, 0.05, [0.60, 0.30, 0.10], ["forest", "sea", "street"]),
        (0.31, 0.05, [0.70, 0.26, 0.04], ["forest", "sea"]),
        (0.31, 0.05, [0.97, 0.02, 0.01], ["forest"]),
        # Labels that reach it belong to the set though fewer reach 1 − alpha.
        (0.009, 0.05, [0.97, 0.02, 0.01], ["forest", "sea", "street"]),
        (0.015, 0.05, [0.97, 0.02, 0.01], ["forest", "sea"]),
    ],
)
def test_prediction_set(
    threshold: float, alpha: float, probabilities: list[float], labels: list[str]
) -> None:
    answer = prediction(probabilities, threshold, alpha=alpha)
    assert answer.prediction_set == labels
    assert answer.is_certain == (len(labels) == 1)


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.2])
def test_certain_is_never_below_the_promised_coverage(alpha: float) -> None:
    random = np.random.default_rng(3)
    for threshold in (0.0, 0.05, 0.31, 0.6, 0.939, 1.0):
        for row in random.dirichlet([0.2] * 3, 200):
            answer = prediction(row.tolist(), threshold, alpha=alpha)
            total = sum(dict(answer.ranked())[label] for label in answer.prediction_set)
            assert total >= 1 - alpha - 2e-6
            assert not answer.is_certain or answer.ranked()[0][1] >= 1 - alpha - 2e-6


@pytest.mark.parametrize(
    ("logits", "ood_score"),
    [((0, 0, 0), -1.0986), ((2, 2, 2), -3.0986), ((9, 0, 0), -9.0002), ((-500, -500, -500), 498.9014)],
)
def test_ood_score_is_the_free_energy(logits: tuple[float, ...], ood_score: float) -> None:
    assert prediction([1, 0, 0], logits=logits).ood_score == pytest.approx(ood_score, abs=1e-3)
    assert prediction([1, 0, 0], logits=logits, ood_threshold=ood_score + 0.01).is_in_distribution
    exact = prediction([1, 0, 0], logits=logits).ood_score
    assert prediction([1, 0, 0], logits=logits, ood_threshold=exact).is_in_distribution
    assert not prediction([1, 0, 0], logits=logits, ood_threshold=ood_score - 0.01).is_in_distribution


# --- the shipped model


@pytest.fixture(scope="module")
def shipped() -> Classifier:
    return Classifier.load(SHIPPED)


def pictures(count: int, size: int) -> NDArray[np.uint8]:
    """Coloured noise, coarse enough that the model's answers differ."""
    coarse = np.random.default_rng(5).integers(0, 256, (count, 8, 8, 3), np.uint8)
    return coarse.repeat(size // 8, axis=1).repeat(size // 8, axis=2)


def test_shipped_model_answers(shipped: Classifier) -> None:
    size, labels = shipped.artifact.image_size, shipped.artifact.labels
    answer = shipped.classify(pictures(1, size)[0])
    assert answer.labels == labels
    assert answer.probabilities.shape == (len(labels),)
    assert answer.probabilities.dtype == np.float32
    assert answer.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert answer.conformal_threshold == shipped.artifact.conformal_threshold
    assert sorted(label for label, _ in answer.ranked()) == sorted(labels)


def test_predictions_are_not_overwritten_by_the_next_picture(shipped: Classifier) -> None:
    first, second = pictures(2, shipped.artifact.image_size)
    answer = shipped.classify(first)
    before = answer.probabilities.copy()
    other = shipped.classify(second).probabilities
    assert np.array_equal(answer.probabilities, before)
    assert not np.array_equal(other, before)


def test_threads_that_take_turns_share_an_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    new_runner = Classifier._new_runner
    monkeypatch.setattr(Classifier, "_new_runner", lambda self: made.append(1) or new_runner(self))
    own = Classifier.load(SHIPPED)
    black = np.zeros((own.artifact.image_size,) * 2 + (3,), np.uint8)
    for _ in range(5):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(own.classify, black).result()
    assert len(made) == 1


def test_eight_threads_answer_as_one_does(shipped: Classifier) -> None:
    inputs = pictures(48, shipped.artifact.image_size)
    serial = [shipped.classify(picture) for picture in inputs]
    assert len({answer.probabilities.tobytes() for answer in serial}) == len(inputs)
    with ThreadPoolExecutor(8) as pool:
        parallel = list(pool.map(shipped.classify, inputs))
    for one, other in zip(serial, parallel, strict=True):
        assert np.array_equal(one.probabilities, other.probabilities)
        assert one.activation_map is not None
        assert other.activation_map is not None
        assert np.array_equal(one.activation_map, other.activation_map)


def test_tampered_folder_does_not_load(tmp_path: Path) -> None:
    for name in ("model.json", "model.tflite"):
        (tmp_path / name).write_bytes((SHIPPED / name).read_bytes())
    with (tmp_path / "model.tflite").open("r+b") as file:
        file.seek(-1000, 2)
        file.write(b"!")
    with pytest.raises(ArtifactError, match=r"model\.tflite is not the file that model\.json describes"):
        Classifier.load(tmp_path)


def test_labels_of_another_model(tmp_path: Path) -> None:
    content = json.loads((SHIPPED / "model.json").read_text(encoding="utf-8"))
    content["labels"].append("one too many")
    (tmp_path / "model.json").write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "model.tflite").write_bytes((SHIPPED / "model.tflite").read_bytes())
    with pytest.raises(ArtifactError, match=f"must give `probabilities` for {len(content['labels'])} labels"):
        Classifier.load(tmp_path)


def test_another_resize_rule() -> None:
    artifact = read_artifact(SHIPPED)
    with pytest.raises(
        ArtifactError, match=f"needs the resize rule crop-nearest; this version of Lenslet has {RESIZE_RULE}"
    ):
        Classifier(read_model(SHIPPED, artifact), replace(artifact, resize="crop-nearest"))


def test_another_image_size() -> None:
    # The network is convolutional: without the check the runtime would resize it and answer something.
    artifact = replace(read_artifact(SHIPPED), image_size=96)
    with pytest.raises(ArtifactError, match="must take one 96 × 96 uint8 `image`"):
        Classifier(read_model(SHIPPED, artifact), artifact)


@pytest.mark.parametrize("model", [b"", b"not a model", bytes(1000)])
def test_file_that_is_no_model(model: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"cannot load model\.tflite"):
        Classifier(model, artifact_of(model, 8))


# --- runtimes


def test_runtime_has_a_name_and_a_version() -> None:
    package, version = runtime_name().split(" ")
    assert package in ("tflite-runtime", "ai-edge-litert")
    assert version[0].isdigit()


def test_missing_runtime_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = {"first-runtime": "no_such_runtime.interpreter", "second-runtime": "nor_this_one.interpreter"}
    monkeypatch.setattr(classifier_module, "RUNTIMES", missing)
    with pytest.raises(
        ArtifactError, match=r"no TFLite runtime is installed; .*first-runtime, second-runtime"
    ):
        runtime_name()


def test_second_runtime_serves_where_the_first_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = types.ModuleType("fake_runtime")
    monkeypatch.setitem(sys.modules, "fake_runtime", fake)
    both = {"first-runtime": "no_such_runtime.interpreter", "second-runtime": "fake_runtime"}
    monkeypatch.setattr(classifier_module, "RUNTIMES", both)
    assert runtime_module() is fake


def test_fault_inside_a_runtime_is_not_taken_for_its_absence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "faulty_runtime.py").write_text("import a_library_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(classifier_module, "RUNTIMES", {"faulty": "faulty_runtime", "other": "json"})
    with pytest.raises(ModuleNotFoundError, match="a_library_that_is_not_there"):
        runtime_module()


# --- tiny models

# TensorFlow and tflite-runtime do not share a process well: the models are made in one of their own.
MAKE_MODELS = """
import sys
from pathlib import Path
import tensorflow as tf

def save(name, function, shape=(1, 8, 8, 3), dtype=tf.uint8, argument="image"):
    signature = tf.function(function, input_signature=[tf.TensorSpec(shape, dtype, argument)])
    module = tf.Module()
    module.serve = signature
    exported = Path(sys.argv[1]) / "saved" / name
    tf.saved_model.save(module, str(exported), signatures={"serving_default": signature})
    model = tf.lite.TFLiteConverter.from_saved_model(str(exported)).convert()
    (Path(sys.argv[1]) / f"{name}.tflite").write_bytes(model)

def evidence(image):
    # Two by two fields; the labels are how red, how green and how blue the picture is.
    return tf.nn.avg_pool2d(tf.cast(image, tf.float32) / 64.0, 4, 4, "VALID")

def answers(image):
    logits = tf.reduce_mean(evidence(image), axis=(1, 2))
    return {"probabilities": tf.nn.softmax(logits), "logits": logits}

def with_map(part):
    return lambda image: {"activation_map": part(evidence(image)), **answers(image)}

save("with_map", with_map(lambda fields: fields))
save("flat_map", with_map(lambda fields: fields[..., 0]))
save("narrow_map", with_map(lambda fields: fields[..., :2]))
save("without_map", answers)
save("unnamed", lambda image: {"scores": answers(image)["probabilities"]})
save("without_logits", lambda image: {"probabilities": answers(image)["probabilities"]})
save("float_input", answers, dtype=tf.float32)
save("grey_input", lambda image: answers(tf.repeat(image, 3, 3)), shape=(1, 8, 8, 1))
save("other_input", lambda pixels: answers(pixels), argument="pixels")
"""


def artifact_of(model: bytes, size: int) -> Artifact:
    return Artifact(
        name="tiny",
        labels=("red", "green", "blue"),
        image_size=size,
        resize=RESIZE_RULE,
        sha256=sha256_of(model),
        precision="float32",
        runtime=runtime_name(),
        temperature=1.0,
        conformal_alpha=0.1,
        conformal_threshold=0.5,
        ood_threshold=-1.5,
    )


@pytest.fixture(scope="module")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("tensorflow") is None:
        pytest.skip("TensorFlow makes the tiny models")
    folder = tmp_path_factory.mktemp("tiny")
    subprocess.run([sys.executable, "-c", MAKE_MODELS, str(folder)], check=True, capture_output=True)
    return folder


GREEN_BELOW = np.zeros((8, 8, 3), np.uint8)
GREEN_BELOW[4:, :, 1] = 128  # pooled: 0 above, 2 below; on average 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["with_map", "without_map"])
def test_models_with_and_without_a_map(tiny_models: Path, name: str) -> None:
    model = (tiny_models / f"{name}.tflite").read_bytes()
    answer = Classifier(model, artifact_of(model, 8)).classify(GREEN_BELOW)
    # softmax of 0, 1, 0: 1, e and 1 in 2 + e
    assert answer.probabilities.tolist() == pytest.approx([0.2119, 0.5761, 0.2119], abs=1e-4)
    assert answer.prediction_set == ["green", "red", "blue"]  # fewer would have less than 95 %
    assert answer.ood_score == pytest.approx(-1.5514, abs=1e-3)  # −log of 2 + e
    assert answer.is_in_distribution
    if name == "without_map":
        assert answer.activation_map is None
    else:
        assert answer.activation_map is not None
        assert answer.activation_map[:, :, 1].tolist() == [[0, 0], [2, 2]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("flat_map", "must give an `activation_map` per label"),
        ("narrow_map", "must give an `activation_map` per label"),
        ("unnamed", "must give `probabilities` for 3 labels, but gives .*scores"),
        ("without_logits", "must give `logits` for 3 labels, but gives .*probabilities"),
        ("float_input", "must take one 8 × 8 uint8 `image`, but takes .*float32"),
        ("grey_input", "must take one 8 × 8 uint8 `image`, but takes .*8, 8, 1"),
        ("other_input", "must take one 8 × 8 uint8 `image`, but takes .*pixels"),
    ],
)
def test_models_that_break_the_contract(tiny_models: Path, name: str, message: str) -> None:
    model = (tiny_models / f"{name}.tflite").read_bytes()
    with pytest.raises(ArtifactError, match=message):
        Classifier(model, artifact_of(model, 8))


@pytest.mark.skipif(not find_spec("tflite_runtime"), reason="ai-edge-litert logs as it likes")
def test_runtime_logs_warnings_and_no_notices() -> None:
    """In a process of its own: what is logged goes to the descriptor of standard error."""
    program = (
        "import ctypes, importlib\nfrom pathlib import Path\n"
        "from lenslet.inference.classifier import LOG_MODULE, Classifier\n"
        f"Classifier.load(Path({str(SHIPPED)!r}))\n"
        "library = ctypes.CDLL(importlib.import_module(LOG_MODULE).__file__)\n"
        "log = library['_ZN6tflite16logging_internal13MinimalLogger3LogENS_11LogSeverityEPKcz']\n"
        "log(1, b'a notice')\nlog(2, b'a warning')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "WARNING: a warning\n")

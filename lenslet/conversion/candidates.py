"""TFLite files of every precision, and the choice between them after their check in the serving runtime."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tqdm import tqdm

from lenslet.config import ConvertParams
from lenslet.dataset.dataset import Dataset
from lenslet.inference.errors import InputError

ROUNDING = 1e-9  # of a difference of two shares that is the limit itself
MUCH_SLOWER = (
    2  # times the time that max_slowdown allows; never chosen as long as a faster file may be served
)
FLOAT32_TOLERANCE = 1e-3  # largest difference of a probability from Keras that rounding may explain


class ConversionRefused(InputError):
    """No candidate agrees with the Keras network."""


@dataclass(frozen=True)
class TFLiteCandidate:
    """The file of one precision and its measurements."""

    precision: str
    model: bytes
    failure: str = ""  # why it did not run on all pictures; then nothing below was measured
    accuracy: float = 0.0  # on the validation photos
    photos: int = 0  # of these
    agreement: float = 0.0  # share of pictures with the same top label as Keras
    difference: float = 0.0  # largest difference of a probability from Keras
    time_ms: float = 0.0  # median of one picture on one thread


def drawn_training_photos(dataset: Dataset, count: int, seed: int) -> NDArray[np.int64]:
    """Positions of some training photos, drawn by the seed, ascending."""
    train = dataset.members("train")
    return np.sort(np.random.default_rng(seed).choice(train, size=min(count, len(train)), replace=False))


def pixels_of(dataset: Dataset, members: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The pictures of the photos at these positions: uint8 RGB, shape (photos, size, size, 3)."""
    pixels: NDArray[np.uint8] = dataset.pixels[dataset.rows[members]]
    return pixels


def convert(
    network: keras.Model, precisions: Sequence[str], calibration: NDArray[np.uint8]
) -> dict[str, bytes]:
    """TFLite files of the network by precision, for one picture at a time, with a signature that names its outputs.

    `precisions`: of float32, float16 (weights), dynamic_range (int8 weights) and int8 (weights and activations, whose
    ranges are taken from the `calibration` pictures, uint8 RGB, shape (photos, size, size, 3)).
    """
    models = {}
    with tempfile.TemporaryDirectory() as folder:
        with _silenced_libraries():
            _save_frozen(network, folder)
        for precision in tqdm(precisions, "converting", unit=" precisions", leave=False, disable=None):
            with _silenced_libraries():
                models[precision] = _tflite_of(folder, precision, calibration)
    return models


def _save_frozen(network: keras.Model, folder: str) -> None:
    """A SavedModel whose weights are constants: as variables, they take most of the time, for each precision again."""
    image = tf.TensorSpec((1, *network.input_shape[1:]), tf.uint8, name="image")
    traced = tf.function(lambda image: network(image, training=False)).get_concrete_function(image)
    frozen = convert_variables_to_constants_v2(traced)
    module = tf.Module()
    module.serve = tf.function(
        lambda image: tf.nest.pack_sequence_as(traced.structured_outputs, frozen(image)),
        input_signature=[image],
    )
    tf.saved_model.save(module, folder, signatures=module.serve)


def _tflite_of(saved_model: str, precision: str, calibration: NDArray[np.uint8]) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = lambda: ([picture[np.newaxis]] for picture in calibration)
    model: bytes = converter.convert()
    return model


@contextmanager
def _silenced_libraries() -> Iterator[None]:
    """Discard standard error, where the converter's C++ writes ten lines a file; failures still raise."""
    standard_error = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)


def compare_with_keras(
    precision: str,
    model: bytes,
    answers: NDArray[np.float32],
    time_ms: float,
    targets: NDArray[np.int64],
    expected: NDArray[np.float32],
) -> TFLiteCandidate:
    """Accuracy of a candidate on the validation photos, and its agreement with Keras's `expected` answers.

    `answers` and `expected`: probabilities, shape (pictures, classes); `targets`: class indices of the first pictures,
    the validation photos, shape (photos,).
    """
    top = answers.argmax(axis=1)
    return TFLiteCandidate(
        precision,
        model,
        accuracy=float(np.mean(top[: len(targets)] == targets)),
        photos=len(targets),
        agreement=float(np.mean(top == expected.argmax(axis=1))),
        difference=float(np.abs(answers - expected).max()),
        time_ms=time_ms,
    )


def reason_to_refuse(candidate: TFLiteCandidate, keras_accuracy: float, params: ConvertParams) -> str:
    """Why the candidate must not be served; empty if it may be.

    A single photo may be lost, however few there are: the agreement, which needs no labels, is measured on more.
    """
    if candidate.failure:
        return candidate.failure
    if candidate.precision == "float32" and candidate.difference > FLOAT32_TOLERANCE:
        return (
            f"a probability differs from Keras by {candidate.difference:.4f}, more than {FLOAT32_TOLERANCE:g}"
        )
    if candidate.agreement < params.min_agreement:
        return f"same top label as Keras on {candidate.agreement:.1%}, less than {params.min_agreement:.1%}"
    one_photo = 1 / candidate.photos if candidate.photos else 0
    if keras_accuracy - candidate.accuracy > max(params.max_accuracy_loss, one_photo) + ROUNDING:
        return f"loses {keras_accuracy - candidate.accuracy:.2%} of accuracy"
    return ""


def slow_candidates(times: Mapping[str, float], params: ConvertParams) -> dict[str, str]:
    """Precisions that are MUCH_SLOWER, by their `times` in milliseconds, than the fastest one; and that in words."""
    fastest = min(times, key=times.__getitem__, default="")
    return {
        name: f"{time / times[fastest]:.1f} times as slow as {fastest}: not tried on all photos"
        for name, time in times.items()
        if time > times[fastest] * (1 + params.max_slowdown) * MUCH_SLOWER
    }


def choose_candidate(
    candidates: Sequence[TFLiteCandidate], keras_accuracy: float, params: ConvertParams
) -> TFLiteCandidate:
    """The smallest file among those at most `max_slowdown` slower than the fastest one that may be served.

    Raises: ConversionRefused if no candidate may be served.
    """
    served = [each for each in candidates if not reason_to_refuse(each, keras_accuracy, params)]
    if not served:
        raise ConversionRefused("no precision answers as the Keras network does; the table above says why")
    limit_ms = min(each.time_ms for each in served) * (1 + params.max_slowdown)
    return min((each for each in served if each.time_ms <= limit_ms), key=lambda each: len(each.model))


def candidate_table(
    candidates: Sequence[TFLiteCandidate], keras_accuracy: float, params: ConvertParams, photos: str
) -> str:
    """A table of size, accuracy, agreement, time and verdict of each precision; `photos`: the split they are of."""
    lines = [f"{'precision':<14}{'MB':>6}{'accuracy':>10}{'as Keras':>10}{'ms':>8}  verdict"]
    for each in candidates:
        verdict = reason_to_refuse(each, keras_accuracy, params) or "fit to serve"
        figures = (
            f"{each.accuracy:>10.4f}{each.agreement:>10.2%}{each.time_ms:>8.2f}"
            if not each.failure
            else " " * 28
        )
        lines.append(f"{each.precision:<14}{len(each.model) / 1e6:>6.2f}{figures}  {verdict}")
    return "\n".join([*lines, f"Keras: accuracy {keras_accuracy:.4f} on the {photos} photos"])

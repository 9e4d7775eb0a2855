"""The classifier of a model folder, run by the TFLite runtime; no other module imports the runtime."""

import ctypes
import importlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenslet.inference.artifact import FEATURE_RESIDUAL, TFLITE_NAME, Artifact, read_model_folder
from lenslet.inference.decode import RESIZE_RULE
from lenslet.inference.errors import ArtifactError
from lenslet.inference.prediction_sets import set_sizes
from lenslet.inference.tflite_file import check_tflite

# Package → module with the same `Interpreter`; the first one installed is used. ai-edge-litert is the successor, for
# Python versions and systems for which tflite-runtime has no wheel.
RUNTIMES = {"tflite-runtime": "tflite_runtime.interpreter", "ai-edge-litert": "ai_edge_litert.interpreter"}
# Of tflite-runtime 2.14: its log, in which each load of a model is a line on standard error (INFO, 1).
LOG_MODULE = "tflite_runtime._pywrap_tensorflow_interpreter_wrapper"
SET_LOG_LEVEL = "_ZN6tflite16logging_internal13MinimalLogger21SetMinimumLogSeverityENS_11LogSeverityE"
WARNING = 2


@dataclass(frozen=True)
class Prediction:
    """The model's output for one picture, and the thresholds to interpret it."""

    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]  # shape (classes,), calibrated, sums to 1
    activation_map: NDArray[np.float32] | None  # shape (height, width, classes); None if the head has none
    conformal_threshold: float
    logits: NDArray[np.float32]  # shape (classes,), before any temperature
    ood_threshold: float
    conformal_alpha: float
    feature_residual: float | None = None  # 0…1; None where the energy is the OOD score

    def ranked(self) -> list[tuple[str, float]]:
        """(label, probability) pairs, the most probable first."""
        order = np.argsort(-self.probabilities, kind="stable")
        return [(self.labels[index], float(self.probabilities[index])) for index in order]

    @property
    def label(self) -> str:
        """The most probable one."""
        return self.labels[int(np.argmax(self.probabilities))]

    @property
    def prediction_set(self) -> list[str]:
        """Labels that include the true one with at least the guaranteed coverage; never empty, ranked: `set_sizes`."""
        size = set_sizes(self.probabilities, self.conformal_threshold, self.conformal_alpha)
        return [label for label, _ in self.ranked()[: int(size)]]

    @property
    def is_certain(self) -> bool:
        """Whether one label alone has a probability of at least 1 − alpha, and no other reaches the threshold."""
        return len(self.prediction_set) == 1

    @property
    def ood_score(self) -> float:
        """The higher, the further out of distribution: the feature residual, else the energy."""
        return self.energy if self.feature_residual is None else self.feature_residual

    @property
    def entropy(self) -> float:
        """Of the probabilities, in nats: 0 where one label is certain."""
        exact = np.maximum(self.probabilities.astype(np.float64), np.finfo(np.float64).tiny)
        return -float((exact * np.log(exact)).sum())

    @property
    def energy(self) -> float:
        """Free energy of the logits, −log Σ exp (Liu et al. 2020)."""
        return -float(np.logaddexp.reduce(self.logits.astype(np.float64)))

    @property
    def is_in_distribution(self) -> bool:
        """Whether the picture resembles the training photos; if not, probably none of the labels applies."""
        return self.ood_score <= self.ood_threshold


class Classifier:
    """A loaded model. `classify` may be called from many threads: each has an interpreter of its own."""

    def __init__(self, model: bytes, artifact: Artifact) -> None:
        """Raises ArtifactError if the model is damaged, or its shapes are not those in `artifact`."""
        if artifact.resize != RESIZE_RULE:
            raise ArtifactError(
                f"the model needs the resize rule {artifact.resize}; this version of Lenslet has {RESIZE_RULE}"
            )
        check_tflite(model)
        self.artifact = artifact
        self._has_residual = artifact.ood_kind == FEATURE_RESIDUAL
        self._model = model
        self._interpreter_class = runtime_module().Interpreter
        _log_warnings_only()
        # As many as ever classified at the same time: 22 MB each for the shipped model. The last one used comes first.
        self._idle: list[Any] = []
        self._check_shapes()

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        """Load a model folder. Raises ArtifactError if the folder is incomplete or inconsistent."""
        artifact, model = read_model_folder(folder)
        return cls(model, artifact)

    def classify(self, pixels: NDArray[np.uint8]) -> Prediction:
        """Classify a picture from `lenslet.inference.decode.decode`: uint8 RGB, shape (image_size, image_size, 3)."""
        outputs = self._run(pixels)
        maps = outputs.get("activation_map")
        return Prediction(
            labels=self.artifact.labels,
            probabilities=outputs["probabilities"][0],
            activation_map=None if maps is None else maps[0],
            conformal_threshold=self.artifact.conformal_threshold,
            logits=outputs["logits"][0],
            ood_threshold=self.artifact.ood_threshold,
            conformal_alpha=self.artifact.conformal_alpha,
            feature_residual=float(outputs[FEATURE_RESIDUAL][0, 0]) if self._has_residual else None,
        )

    def _run(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        # Outputs are found by name, through the signature: converters do not keep their order.
        try:
            runner = self._idle.pop()  # atomic: no two threads get the same
        except IndexError:
            runner = self._new_runner()
        outputs: dict[str, NDArray[np.float32]] = runner(image=pixels[np.newaxis])
        self._idle.append(runner)
        return outputs

    def _new_runner(self) -> Any:
        try:
            interpreter = self._interpreter_class(model_content=self._model, num_threads=1)
            interpreter.allocate_tensors()
            return interpreter.get_signature_runner()
        except (ValueError, RuntimeError) as error:
            raise ArtifactError(
                f"{runtime_name()} cannot load {TFLITE_NAME}: {str(error).strip()}"
            ) from error

    def _check_shapes(self) -> None:
        # The runtime resizes a model to any picture that it is given, so only the signature tells the model's size.
        size, classes = self.artifact.image_size, len(self.artifact.labels)
        runner = self._new_runner()
        takes = {name: (*each["shape"], each["dtype"]) for name, each in runner.get_input_details().items()}
        if takes != {"image": (1, size, size, 3, np.uint8)}:
            raise ArtifactError(
                f"{TFLITE_NAME} must take one {size} × {size} uint8 `image`, but takes {takes}"
            )
        self._idle.append(runner)
        try:
            outputs = self._run(np.zeros((size, size, 3), np.uint8))
        except (ValueError, RuntimeError) as error:
            raise ArtifactError(f"{runtime_name()} cannot run {TFLITE_NAME}: {error}") from error
        gives = {name: output.shape for name, output in outputs.items()}
        for name in ("probabilities", "logits"):
            if gives.get(name) != (1, classes):
                raise ArtifactError(
                    f"{TFLITE_NAME} must give `{name}` for {classes} labels, but gives {gives}"
                )
        if self._has_residual and gives.get(FEATURE_RESIDUAL) != (1, 1):
            raise ArtifactError(f"{TFLITE_NAME} must give one `{FEATURE_RESIDUAL}`, but gives {gives}")
        map_shape = gives.get("activation_map", (1, 1, 1, classes))
        if len(map_shape) != 4 or map_shape[0] != 1 or map_shape[3] != classes:
            raise ArtifactError(f"{TFLITE_NAME} must give an `activation_map` per label, but gives {gives}")
        scale = self.artifact.explanation.get("cell_scale")
        if scale is not None and [len(row) for row in scale] != [map_shape[2]] * map_shape[1]:
            raise ArtifactError(
                f"explanation.cell_scale does not have the {map_shape[1]} × {map_shape[2]} cells of the map"
            )


def runtime_name() -> str:
    """The installed runtime's package and version, as "tflite-runtime 2.14.0"."""
    # Imported here, because it takes 16 ms and only failures and conversion need it.
    from importlib.metadata import version

    package = _installed_runtime()[0]
    return f"{package} {version(package)}"


def runtime_module() -> Any:
    return _installed_runtime()[1]


def _log_warnings_only() -> None:
    """Let tflite-runtime log warnings and errors only; ai-edge-litert has no such function."""
    with suppress(ImportError, OSError, AttributeError):
        library = ctypes.CDLL(importlib.import_module(LOG_MODULE).__file__)
        library[SET_LOG_LEVEL](WARNING)


def _installed_runtime() -> tuple[str, Any]:
    for package, module in RUNTIMES.items():
        try:
            return package, importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name not in (module, module.partition(".")[0]):
                raise
    raise ArtifactError(f"no TFLite runtime is installed; install one of: {', '.join(RUNTIMES)}")

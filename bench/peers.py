"""The subjects of `bench.serving`: each answers base64 in JSON with JSON, with its own libraries.

`bench.serving` runs this module as a fresh process for each subject, and times it.
"""

# Only light imports here: a subject's cold start must include its own imports and no others.
import base64
import io
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

ONNX_NAME = "model.onnx"  # in the temporary folder of the benchmark's photos

Repeat = Callable[[], Any]  # answers one request; called once a measurement


class Subject(NamedTuple):
    """A row of the table."""

    title: str
    modules: tuple[str, ...]  # needed beside the packages of extra `serve`
    start: Callable[
        [Path, Path], Callable[[str], Repeat]
    ]  # model folder, photos folder → request body → call


def start_function(model: Path, photos: Path) -> Callable[[str], Repeat]:
    os.environ["LENSLET_MODEL"] = str(model)
    from lambda_func import handler

    context = SimpleNamespace(aws_request_id="bench")

    def prepare(body: str) -> Repeat:
        event = {
            "version": "2.0",
            "rawPath": "/predict",
            "headers": {"content-type": "application/json"},
            "requestContext": {"http": {"method": "POST", "path": "/predict"}, "stage": "$default"},
            "body": body,
            "isBase64Encoded": False,
        }
        return lambda: _checked(handler(event, context), lambda answer: answer["statusCode"])

    return prepare


def start_interpreter(model: Path, photos: Path) -> Callable[[str], Repeat]:
    """The floor: TFLite inference without decoding; the pixels are decoded before the clock starts."""
    from lenslet.inference.decode import decode

    size, invoke = _interpreter(model)

    def prepare(body: str) -> Repeat:
        pixels = decode(_image_of(body), size)
        return lambda: invoke(pixels)

    return prepare


def start_decode(model: Path, photos: Path) -> Callable[[str], Repeat]:
    """Decoding and inference, without JSON, base64, routes and logs."""
    from lenslet.inference.decode import decode

    size, invoke = _interpreter(model)

    def prepare(body: str) -> Repeat:
        data = _image_of(body)
        return lambda: invoke(decode(data, size))

    return prepare


def start_keras(model: Path, photos: Path) -> Callable[[str], Repeat]:
    """Serving as in most tutorials: Flask, `load_img`, `predict`; called by Flask's test client, without a network.

    Resized as the model was trained (bilinear, antialiased) and not by `load_img`'s default (nearest pixel), so that
    all rows of the table classify the same pixels.
    """
    import flask
    import keras
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    network = keras.models.load_model(model / "model.keras", compile=False)
    labels, size = _labels_and_size(model)
    app = flask.Flask(__name__)

    @app.post("/predict")
    def predict() -> flask.Response:
        data = base64.b64decode(flask.request.get_json()["image"])
        image = keras.utils.load_img(io.BytesIO(data), target_size=(size, size), interpolation="bilinear")
        outputs = network.predict(np.asarray(image)[np.newaxis], verbose=0)
        return flask.jsonify(dict(zip(labels, outputs["probabilities"][0].tolist(), strict=True)))

    client = app.test_client()

    def prepare(body: str) -> Repeat:
        return lambda: _checked(
            client.post("/predict", data=body, content_type="application/json"),
            lambda answer: answer.status_code,
        )

    return prepare


def start_onnx(model: Path, photos: Path) -> Callable[[str], Repeat]:
    """ONNX Runtime without routes or logs; Pillow decodes at full size, then resizes as the model was trained."""
    import numpy as np
    import onnxruntime
    from PIL import Image

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(photos / ONNX_NAME, options, providers=["CPUExecutionProvider"])
    labels, size = _labels_and_size(model)

    def answer(body: str) -> str:
        data = base64.b64decode(json.loads(body)["image"])
        image = Image.open(io.BytesIO(data)).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
        [probabilities] = session.run(None, {"image": np.asarray(image)[np.newaxis]})
        return json.dumps(dict(zip(labels, probabilities[0].tolist(), strict=True)))

    return lambda body: lambda: answer(body)


def convert_to_onnx(model: Path, photos: Path) -> None:
    """Convert the Keras model to an ONNX graph with the output `probabilities`: the same weights for every peer."""
    import keras
    import tensorflow as tf
    import tf2onnx

    network = keras.models.load_model(model / "model.keras", compile=False)
    _, size = _labels_and_size(model)
    signature = [tf.TensorSpec((1, size, size, 3), tf.uint8, name="image")]
    graph = tf.function(lambda image: network(image)["probabilities"])
    tf2onnx.convert.from_function(
        graph, input_signature=signature, opset=17, output_path=str(photos / ONNX_NAME)
    )


FUNCTION, FLOOR, DECODE, KERAS, ONNX = "function", "floor", "decode", "keras", "onnx"
SUBJECTS = {
    FUNCTION: Subject("this function", (), start_function),
    FLOOR: Subject("floor: interpreter alone", (), start_interpreter),
    DECODE: Subject("floor + decode", (), start_decode),
    KERAS: Subject("Keras predict, Flask", ("tensorflow", "keras", "flask"), start_keras),
    ONNX: Subject("ONNX Runtime, Pillow", ("onnxruntime", "tf2onnx", "tensorflow", "keras"), start_onnx),
}


def measure(
    subject: Subject, model: Path, photos: Path, calls: dict[str, int], report: Callable[[str], None]
) -> None:
    """Answer once and report "answered"; then, for each request, report the seconds of its warm calls as JSON.

    `calls`: name of a request in `photos` → how many warm calls are timed; the first one is the cold one.
    """
    prepare = subject.start(model, photos)
    for index, (name, count) in enumerate(calls.items()):
        call = prepare((photos / f"{name}.json").read_text(encoding="ascii"))
        call()
        if index == 0:
            report("answered")
        for _ in range(max(1, count // 10)):  # not timed: caches and lazy imports belong to the cold start
            call()
        report(json.dumps([_seconds(call) for _ in range(count)]))


def _seconds(call: Repeat) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _interpreter(model: Path) -> tuple[int, Callable[[Any], Any]]:
    from lenslet.inference.artifact import read_artifact, read_model
    from lenslet.inference.classifier import runtime_module

    artifact = read_artifact(model)
    interpreter = runtime_module().Interpreter(model_content=read_model(model, artifact), num_threads=1)
    interpreter.allocate_tensors()
    [image] = interpreter.get_input_details()
    outputs = interpreter.get_output_details()

    def invoke(pixels: Any) -> Any:
        interpreter.set_tensor(image["index"], pixels[None])
        interpreter.invoke()
        return [interpreter.get_tensor(output["index"]) for output in outputs]

    return artifact.image_size, invoke


def _labels_and_size(model: Path) -> tuple[list[str], int]:
    content = json.loads((model / "model.json").read_text(encoding="utf-8"))
    return content["labels"], content["image_size"]


def _image_of(body: str) -> bytes:
    return base64.b64decode(json.loads(body)["image"])


def _checked(answer: Any, status_of: Callable[[Any], int]) -> Any:
    """Raises: RuntimeError for an error answer, which would be quicker than a prediction."""
    if status_of(answer) != 200:
        raise RuntimeError(f"the request was not answered but refused: {answer}")
    return answer


def main() -> None:
    match sys.argv[1:]:
        case ["convert", model, photos]:
            convert_to_onnx(Path(model), Path(photos))
        case [name, model, photos, calls, report_fd]:
            with os.fdopen(int(report_fd), "w", buffering=1) as pipe:
                report = partial(print, file=pipe)
                measure(SUBJECTS[name], Path(model), Path(photos), json.loads(calls), report)


if __name__ == "__main__":
    main()

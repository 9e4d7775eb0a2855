"""The subjects of `bench.batch`: each classifies all photos of a folder with its own libraries, on all processors.

`bench.batch` runs this module as a fresh process for each subject and set of photos; it prints photos a second, counted
from the moment when all workers are ready, so that no start-up is in it.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.peers import ONNX_NAME

LENSLET, KERAS, ONNX = "lenslet", "keras", "onnx"
CHUNK = 32


def lenslet_rate(model: Path, photos: Path, graph: Path) -> float:
    """The engine of `lenslet predict`, parts written as CSV; from the first to the last report of its workers."""
    from lenslet.batch.local import run_here
    from lenslet.batch.places import ListOptions
    from lenslet.batch.plan import parts_of_plan
    from lenslet.batch.run import Target, opened_batch
    from lenslet.inference.processors import processors

    times: list[tuple[float, int]] = []
    with TemporaryDirectory() as folder:
        target = Target(f"{folder}/out", None, "csv")
        with opened_batch([str(photos)], model, target, ListOptions(), None) as batch:
            parts: Iterator[Any] = parts_of_plan(batch.photos, batch.plan)
            run_here(
                batch.job, parts, processors(), lambda more, failed: times.append((time.perf_counter(), more))
            )
    first = times[0][0]
    return sum(more for _, more in times[1:]) / (times[-1][0] - first)


def keras_rate(model: Path, photos: Path, graph: Path) -> float:
    """Keras `predict` on a tf.data pipeline: TensorFlow's JPEG decoder, in parallel, batches of 32."""
    import keras
    import tensorflow as tf

    network = keras.models.load_model(model / "model.keras", compile=False)
    size = json.loads((model / "model.json").read_text())["image_size"]

    def read(path: Any) -> Any:
        pixels = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        pixels = tf.image.resize(pixels, (size, size), antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(pixels), 0, 255), tf.uint8)

    def dataset(paths: list[str]) -> Any:
        found = tf.data.Dataset.from_tensor_slices(paths)
        return found.map(read, num_parallel_calls=tf.data.AUTOTUNE).batch(CHUNK).prefetch(tf.data.AUTOTUNE)

    paths = [str(path) for path in sorted(photos.iterdir())]
    network.predict(dataset(paths[:CHUNK]), verbose=0)
    started = time.perf_counter()
    network.predict(dataset(paths), verbose=0)
    return len(paths) / (time.perf_counter() - started)


def onnx_rate(model: Path, photos: Path, graph: Path) -> float:
    """ONNX Runtime in a pool of processes, one thread each; Pillow decodes at full size and resizes."""
    import os
    from multiprocessing import get_context

    size = json.loads((model / "model.json").read_text())["image_size"]
    paths = [str(path) for path in sorted(photos.iterdir())]
    processes = len(os.sched_getaffinity(0))
    with get_context("spawn").Pool(processes, _open_session, (str(graph / ONNX_NAME), size)) as pool:
        pool.map(_classify, paths[: 4 * processes], chunksize=1)
        started = time.perf_counter()
        for _ in pool.imap(_classify, paths, chunksize=4):
            pass
        return len(paths) / (time.perf_counter() - started)


_session: list[Any] = []  # of a process of the pool: the session and the size


def _open_session(graph: str, size: int) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    _session[:] = [onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"]), size]


def _classify(path: str) -> list[float]:
    import numpy as np
    from PIL import Image

    session, size = _session
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
    [probabilities] = session.run(None, {"image": pixels[np.newaxis]})
    return list(map(float, probabilities[0]))


SUBJECTS: dict[str, Callable[[Path, Path, Path], float]] = {
    LENSLET: lenslet_rate,
    KERAS: keras_rate,
    ONNX: onnx_rate,
}
TITLES = {LENSLET: "lenslet predict", KERAS: "Keras predict, tf.data", ONNX: "ONNX Runtime, Pillow pool"}


if __name__ == "__main__":
    _, name, model_folder, photos_folder, graph_folder = sys.argv
    print(json.dumps(SUBJECTS[name](Path(model_folder), Path(photos_folder), Path(graph_folder))))

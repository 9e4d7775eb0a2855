"""What `bench.training` times side by side: one fresh process of one subject, told by a file what to do."""

import os
import sys

os.environ.setdefault(
    "TF_CPP_MIN_LOG_LEVEL", "3"
)  # before TensorFlow loads: its notices are not what is measured

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bench import tutorial
from bench.training import MEMORY, PREPARE, TRIALS, Job
from lenslet.config import AugmentationParams, BackboneParams, ParamsError, TrainParams, read_params
from lenslet.dataset.dataset import Dataset
from lenslet.dataset.reading import read_dataset
from lenslet.inference.atomic import write_text
from lenslet.inference.decode import decode
from lenslet.network.assembly import build_network
from lenslet.network.backbones import build_backbone
from lenslet.training.batches import train_batches
from lenslet.training.features import LabelledFeatures, head_features
from lenslet.training.fine_tuning import fine_tune
from lenslet.training.head_fit import fit_head
from lenslet.tuning.backbones import available_backbones
from lenslet.tuning.learning_rates import features_by_backbone, suggested_rates
from lenslet.tuning.space import search_space
from lenslet.tuning.study import open_study
from lenslet.tuning.trials import run_trials

BACKBONE = "mobilenet_v2"
SHIPPED = Path("model/model.keras")
FINE_TUNE_EPOCHS = 3  # the first one is not counted: graphs are made in it
MEMORY_SIZE = 224  # pixels
MEMORY_STEPS = 4  # of fine-tuning

Figures = Mapping[str, float]  # measure → value


def head(job: Job, params: TrainParams) -> Figures:
    started = time.perf_counter()
    dataset = read_dataset(job.photos, params, job.cache)
    train, validation = head_features(build_backbone(params.backbone), dataset, params, job.cache)
    _, history = fit_head(train, validation, len(dataset.labels), params.head)
    seconds = time.perf_counter() - started
    best = int(np.argmin(history["val_log_loss"]))
    return {
        "head": seconds,
        "head_epochs": len(history["val_log_loss"]),
        "head_accuracy": history["val_accuracy"][best],
        **peak_memory("head_memory"),
    }


def head_again(job: Job, params: TrainParams) -> Figures:
    """The same with everything cached by the run before."""
    return {"head_again": head(job, params)["head"]}


def search(job: Job, params: TrainParams) -> Figures:
    """Decode, extract features, find learning rates, run the trials: nothing is cached before."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    started = time.perf_counter()
    everything = read_params(job.params)
    wanted = replace(
        everything, train=params, tune=replace(everything.tune, trials=TRIALS, backbones=(BACKBONE,))
    )
    with tempfile.TemporaryDirectory(dir=job.cache.parent) as name:
        fresh = Path(name)
        dataset = read_dataset(job.photos, params, fresh)
        study = open_study(str(fresh / "study.db"), search_space(dataset, wanted, [BACKBONE]))
        folds, classes = features_by_backbone(dataset, params, [BACKBONE], fresh), len(dataset.labels)
        run_trials(study, folds, classes, wanted, suggested_rates(study, folds, classes, wanted))
        return {"search": time.perf_counter() - started, **peak_memory("search_memory")}


def fine_tuning(job: Job, params: TrainParams) -> Figures:
    dataset = read_dataset(job.photos, params, job.cache)
    speed = _photos_per_second(dataset, params, job.cache)
    return {"fine_tune": speed, "pixel_cache": speed, **peak_memory("fine_tune_memory")}


class DecodedAnew:
    """What a data set has for pixels if nothing is cached: each photo is read and decoded whenever it is asked for."""

    def __init__(self, dataset: Dataset) -> None:
        self.paths = {int(row): photo.path for row, photo in zip(dataset.rows, dataset.photos, strict=True)}
        self.shape = dataset.pixels.shape

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        size = self.shape[1]
        return np.stack([decode(self.paths[int(row)].read_bytes(), size) for row in rows])


def uncached_fine_tuning(job: Job, params: TrainParams) -> Figures:
    """This trainer's fine-tuning in all but the pixel cache."""
    dataset = read_dataset(job.photos, params, job.cache)
    pixels: Any = DecodedAnew(dataset)
    return {"pixel_cache": _photos_per_second(replace(dataset, pixels=pixels), params, job.cache)}


def _photos_per_second(dataset: Dataset, params: TrainParams, folder: Path) -> float:
    seconds = _fine_tune(dataset, _brief(params), folder)
    return len(dataset.members("train")) / statistics.median(seconds)


def tutorial_head(job: Job, params: TrainParams) -> Figures:
    """Two fits in one process, as in a grid search: the second one finds the photos decoded in memory."""
    started = time.perf_counter()
    photos = tutorial.read_photos(job.photos, params.image_size, is_cached=True)
    reading = time.perf_counter() - started
    epochs = min(job.epochs, job.tutorial_epochs or job.epochs)
    first, accuracy = tutorial.fit_head(photos, params, job.tutorial_weights, epochs)
    second, _ = tutorial.fit_head(photos, params, job.tutorial_weights, epochs)
    totals = [projected(seconds, job.epochs) for seconds in (first, second)]
    found = {
        "head": reading + totals[0],
        "head_again": totals[1],
        "search": reading + totals[0] + (TRIALS - 1) * totals[1],
        **peak_memory("head_memory"),
    }
    return found | ({"head_accuracy": accuracy} if epochs == job.epochs else {})


def projected(seconds: list[float], epochs: int) -> float:
    """Seconds of so many epochs, of which the first few were measured: the others take what the later ones took."""
    missing = epochs - len(seconds)
    return sum(seconds) + (missing * statistics.median(seconds[1:]) if missing else 0)


def tutorial_fine_tuning(job: Job, params: TrainParams) -> Figures:
    """All layers, this trainer's kinds of augmentation, but inside the model; photos are decoded in every epoch."""
    photos = tutorial.read_photos(job.photos, params.image_size, is_cached=False)
    seconds = tutorial.fine_tune(photos, params, job.tutorial_weights, FINE_TUNE_EPOCHS)
    count = sum(1 for path in (job.photos / "train").glob("*/*"))
    return {"fine_tune": count / statistics.median(seconds[1:]), **peak_memory("fine_tune_memory")}


def memory(job: Job, params: TrainParams) -> Figures:
    """Every step of training whose memory could grow with the photos, on drawn ones of 224 px.

    All are read, decoded, compared and then read as an epoch of fine-tuning reads them; a head is fitted to as many
    features. The network itself is fine-tuned on a few: its memory depends on the batch alone.
    """
    sized = replace(params, image_size=MEMORY_SIZE, head=replace(params.head, epochs=2))
    plain = replace(sized, augmentation=AugmentationParams("none", 0, 0, 0, 0, 0))
    with tempfile.TemporaryDirectory(dir=job.cache.parent) as name:
        photos, cache = Path(name) / "photos", Path(name) / "cache"
        draw_photos(photos, job.memory_photos)
        dataset = read_dataset(photos, sized, cache)
        for _ in train_batches(dataset, plain):
            pass
        random = np.random.default_rng(0)
        folds = [
            LabelledFeatures(random.random((len(members), 1280), np.float32), dataset.targets[members])
            for members in (dataset.members("train"), dataset.members("validation"))
        ]
        fit_head(folds[0], folds[1], len(dataset.labels), sized.head)
        few = _with_few(dataset, MEMORY_STEPS * sized.fine_tune.batch_size)
        _fine_tune(few, _brief(sized, epochs=1), cache)
    return peak_memory("memory")


def draw_photos(folder: Path, count: int) -> None:
    """Different small JPEGs in two classes: `count` to train on, a few to validate and test."""
    random = np.random.default_rng(0)
    for split, photos in (("train", count), ("val", 32), ("test", 2)):
        for number in range(photos):
            path = folder / split / "ab"[number % 2] / f"{number:06}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(path)


def _with_few(dataset: Dataset, count: int) -> Dataset:
    """The same data set with all but `count` training photos out of every split."""
    left_out = set(dataset.members("train")[count:].tolist())
    photos = [
        replace(photo, split=None) if number in left_out else photo
        for number, photo in enumerate(dataset.photos)
    ]
    return replace(dataset, photos=tuple(photos))


def _brief(params: TrainParams, epochs: int = FINE_TUNE_EPOCHS) -> TrainParams:
    """Each photo once in an epoch, and no early stop."""
    tuned = replace(params.fine_tune, epochs=epochs, min_steps_per_epoch=1, patience=epochs)
    return replace(params, fine_tune=tuned)


def _fine_tune(dataset: Dataset, params: TrainParams, folder: Path) -> list[float]:
    """Fine-tune a new network as train.py does; seconds of each epoch but the first, by its TensorBoard log."""
    network = build_network(build_backbone(params.backbone), len(dataset.labels), params)
    with tempfile.TemporaryDirectory(dir=folder) as run:
        fine_tune(network, dataset, params, Path(run))
        log = EventAccumulator(str(Path(run) / "tensorboard" / "train")).Reload()
        ends = [event.wall_time for event in log.Tensors("epoch_loss")]
    return [later - earlier for earlier, later in pairwise(ends)]


def peak_memory(measure: str) -> Figures:
    """Megabytes that this process had resident at most, under the name `measure`; nothing where /proc has no answer.

    `resource.getrusage` would not do: its maximum begins with that of the process that started this one.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return {}
    [line] = [line for line in status.read_text("ascii").splitlines() if line.startswith("VmHWM:")]
    return {measure: int(line.split()[1]) * 1024 / 1e6}  # /proc counts in KiB


RUNS: dict[str, Callable[[Job, TrainParams], Figures]] = {
    "head": head,
    "head_again": head_again,
    "search": search,
    "fine_tuning": fine_tuning,
    "uncached_fine_tuning": uncached_fine_tuning,
    "tutorial_head": tutorial_head,
    "tutorial_fine_tuning": tutorial_fine_tuning,
    MEMORY: memory,
}


def chosen_params(job: Job) -> TrainParams:
    """Those of params.yaml, with the backbone that both sides have."""
    params = read_params(job.params).train
    return replace(params, backbone=BackboneParams(BACKBONE, str(job.weights), "all"))


def write_weights(job: Job) -> str:
    """Write the same initial weights for both sides; says which: ImageNet's if they are on this disk."""
    try:
        available_backbones(BackboneParams(BACKBONE, "imagenet", "all"), (BACKBONE,))
        wanted, said = "imagenet", "ImageNet weights"
    except ParamsError:
        wanted, said = str(SHIPPED), f"weights of {SHIPPED.parent.name}/, which has seen more than ImageNet"
    backbone = build_backbone(BackboneParams(BACKBONE, wanted, "all"))
    build_network(backbone, 2, chosen_params(job)).save(job.weights)
    backbone.save_weights(job.tutorial_weights)
    return said


def main(argv: list[str]) -> None:
    """NAME JOB RESULT: do what the file JOB says, and write what was found, as JSON, to RESULT."""
    name, job_path, result_path = argv
    content = json.loads(Path(job_path).read_text(encoding="utf-8"))
    fields: dict[str, Any] = {
        key: Path(value) if isinstance(value, str) else value for key, value in content.items()
    }
    job = Job(**fields)
    found = write_weights(job) if name == PREPARE else RUNS[name](job, chosen_params(job))
    write_text(Path(result_path), json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])

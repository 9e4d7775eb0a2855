"""Subjects of `bench.training`: one fresh process of this trainer, or of a usual Keras tutorial.

In the tutorial, photos come from `image_dataset_from_directory`, augmentation is layers inside the model, and the
frozen backbone runs over every photo of every epoch. Decoded photos are kept in memory and batches are prefetched.
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
from keras import layers
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lenslet.config import BackboneParams, TrainParams, read_params
from lenslet.dataset.image_size import LEAST
from lenslet.dataset.layouts import find_photos
from lenslet.dataset.photos import DatasetError
from lenslet.dataset.reading import read_dataset
from lenslet.inference.errors import InputError
from lenslet.network.assembly import build_network
from lenslet.network.backbones import build_backbone
from lenslet.training.features import head_features
from lenslet.training.fine_tuning import fine_tune
from lenslet.training.head_fit import fit_head
from lenslet.tuning.backbones import available_backbones

BACKBONE = "mobilenet_v2"
SHIPPED = Path("model/model.keras")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif")  # Keras's folder reader skips others silently
EPOCHS = 3  # of fine-tuning; the first is not counted: graphs are built in it
Figures = dict[str, float]  # measure → value


def prepare(job: SimpleNamespace, params: TrainParams) -> str:
    """Lay out the photos and write the initial weights, the same for both sides. Returns what they are, in words."""
    counts = lay_out(Path(job.data), job.photos, params.seed, Path(job.folder, "photos"))
    try:
        available_backbones(BackboneParams(BACKBONE, "imagenet", "all"), (BACKBONE,))
        wanted = "imagenet"
    except InputError:  # they are not on this disk
        wanted = str(SHIPPED)
    backbone = build_backbone(BackboneParams(BACKBONE, wanted, "all"))
    build_network(backbone, 2, params).save(Path(job.folder, "weights.keras"))
    backbone.save_weights(Path(job.folder, "tutorial.weights.h5"))
    photos = f"{job.data}: {counts['train']} photos to train on, {counts['val']} to validate"
    return f"{photos}; {BACKBONE} from {wanted}, {params.image_size} px"


def lay_out(data: Path, per_class: int, seed: int, folder: Path) -> dict[str, int]:
    """Links to photos drawn by the seed, as train/, val/ (a tenth) and test/ (one) with a folder per class.

    Returns: split → number of photos. Raises: DatasetError if a class has too few that Keras reads.
    """
    found = [photo for photo in find_photos(data).photos if photo.split != "test"]
    counts = {"train": 0, "val": 0, "test": 0}
    for label in sorted({photo.label for photo in found}):
        paths = [each.path for each in found if each.label == label and each.path.suffix.lower() in SUFFIXES]
        if len(paths) < 3:
            raise DatasetError(f"class {label!r} needs 3 photos to train on, ending in {', '.join(SUFFIXES)}")
        order = np.random.default_rng(seed).permutation(len(paths))[: per_class + 1]
        validation = max(1, (len(order) - 1) // 10)
        for number, row in enumerate(order):
            split = "test" if number == 0 else "val" if number <= validation else "train"
            link = folder / split / label / f"{number:06}{paths[row].suffix.lower()}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(paths[row].resolve())
            counts[split] += 1
    return counts


def head(job: SimpleNamespace, params: TrainParams) -> Figures:
    """From photos to a fitted head."""
    started = time.perf_counter()
    dataset = read_dataset(Path(job.folder, "photos"), params, Path(job.cache))
    folds = head_features(build_backbone(params.backbone), dataset, params, Path(job.cache))
    _, history = fit_head(*folds, len(dataset.labels), params.head)
    losses = history["val_log_loss"]
    best = int(np.argmin(losses))
    found = {"head": time.perf_counter() - started, "head_epochs": len(losses)}
    return {**found, "head_accuracy": history["val_accuracy"][best]}


def fine_tuning(job: SimpleNamespace, params: TrainParams) -> Figures:
    """Epochs are timed by the TensorBoard log; the first is left out."""
    dataset, run = read_dataset(Path(job.folder, "photos"), params, Path(job.cache)), Path(job.cache, "run")
    network = build_network(build_backbone(params.backbone), len(dataset.labels), params)
    brief = replace(params, fine_tune=replace(params.fine_tune, epochs=EPOCHS, min_steps_per_epoch=1))
    fine_tune(network, dataset, brief, run)
    log = EventAccumulator(str(run / "tensorboard" / "train")).Reload()
    ends = [event.wall_time for event in log.Tensors("epoch_loss")]
    return {"fine_tune": len(dataset.members("train")) / float(median(np.diff(ends)))}


def tutorial_head(job: SimpleNamespace, params: TrainParams) -> Figures:
    started = time.perf_counter()
    train, validation = (split.cache() for split in tutorial_photos(job, params.input_size))
    epochs = min(job.epochs, job.tutorial_epochs or job.epochs)
    model, reading = tutorial_model(job, params, [layers.RandomRotation(0.2)]), time.perf_counter()
    adam = keras.optimizers.Adam(params.head.learning_rate)
    ends, history = tutorial_fit(model, adam, train, validation, epochs)
    found = {"head": reading - started + projected(np.diff([reading, *ends]).tolist(), job.epochs)}
    return found | ({"head_accuracy": history["val_accuracy"][-1]} if epochs == job.epochs else {})


def tutorial_fine_tuning(job: SimpleNamespace, params: TrainParams) -> Figures:
    """All layers but BatchNorm, with this trainer's kinds of augmentation; photos are decoded in every epoch."""
    settings, fill = params.augmentation, {"fill_mode": "reflect"}
    augmentation = [
        layers.RandomTranslation(settings.shift, settings.shift, **fill),
        layers.RandomZoom(settings.zoom, **fill),
        layers.RandomContrast(settings.contrast, value_range=(0, 255)),
    ]
    model, train = tutorial_model(job, params, augmentation), params.fine_tune
    backbone = next(layer for layer in model.layers if layer.name.startswith("mobilenet"))
    backbone.trainable = True
    for layer in backbone.layers:
        layer.trainable = not isinstance(layer, layers.BatchNormalization)
    adamw = keras.optimizers.AdamW(learning_rate=train.learning_rate, weight_decay=train.weight_decay)
    train_photos, validation = tutorial_photos(job, params.input_size)
    ends, _ = tutorial_fit(model, adamw, train_photos, validation, EPOCHS)
    count = len(list(Path(job.folder, "photos", "train").glob("*/*")))
    return {"fine_tune": count / float(median(np.diff(ends)))}


def tutorial_photos(job: SimpleNamespace, size: int) -> list[Any]:
    """Prefetched batches to train on and to validate."""
    options: dict[str, Any] = {"image_size": (size, size), "batch_size": 32, "seed": 1}
    folders = [Path(job.folder, "photos", split) for split in ("train", "val")]
    return [keras.utils.image_dataset_from_directory(folder, **options).prefetch(2) for folder in folders]


def tutorial_model(job: SimpleNamespace, params: TrainParams, augmentation: list[Any]) -> Any:
    """Augmentation, scaling, a frozen backbone and a linear head in one model. Output: logits."""
    size, classes = params.input_size, len(list(Path(job.folder, "photos", "train").iterdir()))
    backbone = keras.applications.MobileNetV2(input_shape=(size, size, 3), include_top=False, weights=None)
    backbone.load_weights(Path(job.folder, "tutorial.weights.h5"))
    backbone.trainable = False
    inputs = keras.Input((size, size, 3))
    images = keras.Sequential([layers.RandomFlip("horizontal"), *augmentation])(inputs)
    features = backbone(layers.Rescaling(1 / 127.5, offset=-1)(images), training=False)
    dropped = layers.Dropout(params.head.dropout)(layers.GlobalAveragePooling2D()(features))
    return keras.Model(inputs, layers.Dense(classes)(dropped))


def tutorial_fit(
    model: Any, optimizer: Any, train: Any, validation: Any, epochs: int
) -> tuple[list[float], Any]:
    """Seconds at which each epoch ended, and Keras's history."""
    ends: list[float] = []
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.perf_counter()))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
    fitted = model.fit(train, validation_data=validation, epochs=epochs, callbacks=[clock], verbose=0)
    return ends, fitted.history


def projected(seconds: list[float], epochs: int) -> float:
    """Seconds of so many epochs, of which the first few were measured: the others take what the later ones took."""
    missing = epochs - len(seconds)
    return sum(seconds) + (missing * median(seconds[1:]) if missing else 0)


def main(name: str, text: str) -> None:
    job = SimpleNamespace(**json.loads(text))
    params = read_params(Path(job.params)).train
    if params.image_size == "auto":  # both sides need the same
        params = replace(params, image_size=LEAST)
    if name != prepare.__name__:
        weights = str(Path(job.folder, "weights.keras"))
        params = replace(params, backbone=BackboneParams(BACKBONE, weights, "all"))
    print(json.dumps(globals()[name](job, params)))


if __name__ == "__main__":
    main(*sys.argv[1:])

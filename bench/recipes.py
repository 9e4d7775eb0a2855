"""Ways to fine-tune that cost nothing at serving time, each beside the way train.py goes: which of them pay?

    python -m bench.recipes --data photos/intel --photos 300 --unlabelled photos/intel/seg_pred

Draws so many training photos of each class as bench.few_photos does, and fine-tunes on them by the numbers of
params.yaml, once for each recipe, from the same weights to the last epoch. Judged on training photos that were not
drawn: accuracy, and log loss at the temperature that the validation photos want. Expect two to ten minutes for each
recipe, a line after each, and a table in the end.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow loads: its notices drown the table

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.metrics import log_loss

from bench.console import at_least_one
from bench.few_photos import add_draws, draws
from evaluation.calibration import fit_temperature
from evaluation.metrics import accuracy
from training.augmentation import VALUE_RANGE, Augmentation, reseed
from training.backbones import WeightsUnavailable, build_backbone
from training.dataset import Dataset, DatasetError
from training.fit import fit_head, head_folds, optimizer_for
from training.network import build_network, logits_of, set_head, unfreeze
from training.params import AugmentationParams, ParamsError, TrainParams, read_params
from training.pixels import CacheFull, cached_pixels, read_all

SMALL, LARGE = 0.7, 1.4  # sides of the pictures, times those of params.yaml
SURE = 0.9  # what the network must give a label that it teaches itself
AVERAGED = 0.98  # of the moving average stays at each step


@dataclass(frozen=True)
class Lesson:
    pixels: NDArray[np.uint8]  # RGB, shape (photos, size, size, 3)
    targets: NDArray[np.float32]  # shape (photos, classes), each row sums to 1


@dataclass(frozen=True)
class Setting:
    """What all recipes share: the drawn photos, the numbers, and unlabelled photos."""

    read: Callable[[TrainParams], Dataset]
    params: TrainParams
    unlabelled: Sequence[Path]
    cache: Path

    @cached_property
    def dataset(self) -> Dataset:
        return self.read(self.params)

    @cached_property
    def taught(self) -> keras.Model:
        """The network as train.py would leave it."""
        return fine_tuned(self, self.lesson())

    @cached_property
    def strangers(self) -> NDArray[np.uint8]:
        """Pixels of the unlabelled photos, at the size of params.yaml."""
        pixels, unreadable = cached_pixels(read_all(self.unlabelled), self.params.image_size, self.cache)
        found: NDArray[np.uint8] = pixels[[row for row in range(len(pixels)) if row not in unreadable]]
        return found

    def lesson(self) -> Lesson:
        return lesson_of(self.dataset)

    def resized(self, factor: float) -> "Setting":
        """The same with pictures of other size, a multiple of the backbone's stride."""
        size = round(self.params.image_size * factor / 32) * 32
        return replace(self, params=replace(self.params, image_size=size))

    def with_params(self, section: str, **values: Any) -> "Setting":
        changed = replace(getattr(self.params, section), **values)
        return replace(self, params=replace(self.params, **{section: changed}))


def lesson_of(dataset: Dataset) -> Lesson:
    members = dataset.members("train")
    targets = keras.utils.to_categorical(dataset.targets[members], len(dataset.labels))
    return Lesson(dataset.pixels[dataset.rows[members]], targets)


def fine_tuned(
    setting: Setting,
    *lessons: Lesson,
    blending: keras.layers.Layer | None = None,
    averaged: float = 0.0,
) -> keras.Model:
    """A network of logits after so many epochs of each lesson as params.yaml says in sum, under one schedule.

    `blending` changes photos and targets after the usual augmentation; with `averaged`, the network gets the moving
    average of its weights over the steps.
    """
    params, dataset = setting.params, setting.dataset
    keras.utils.set_random_seed(params.seed)
    backbone = build_backbone(params.backbone)
    folds = head_folds(backbone, dataset, params, setting.cache)
    weights, _ = fit_head(*folds, len(dataset.labels), params.head, params.class_weights)
    any_size: Any = None
    network = build_network(backbone, len(dataset.labels), replace(params, image_size=any_size))
    set_head(network, weights)
    unfreeze(network, params.backbone)
    trained = logits_of(network)
    steps = math.ceil(max(len(lesson.targets) for lesson in lessons) / params.fine_tune.batch_size)
    optimizer = optimizer_for(params, steps)
    if averaged:
        optimizer.use_ema, optimizer.ema_momentum = True, averaged
    smoothing = params.fine_tune.label_smoothing
    trained.compile(
        optimizer, keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    )
    epochs = params.fine_tune.epochs // len(lessons)
    parts = [batches(lesson, params, epochs, blending) for lesson in lessons]
    trained.fit(
        joined(parts),
        epochs=epochs * len(lessons),
        steps_per_epoch=steps,
        shuffle=False,  # the batches come in an order of their own
        verbose=0,
    )
    if averaged:
        optimizer.finalize_variable_values(trained.trainable_variables)
    return trained


def batches(
    lesson: Lesson, params: TrainParams, epochs: int, blending: keras.layers.Layer | None
) -> tf.data.Dataset:
    augment = Augmentation(params.augmentation, params.seed)

    def read(members: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        return lesson.pixels[members], lesson.targets[members].astype(np.float32)

    def changed(step: tf.Tensor, members: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, targets = tf.numpy_function(read, [members], (tf.uint8, tf.float32), stateful=False)
        images = tf.ensure_shape(images, (None, *lesson.pixels.shape[1:]))
        targets = tf.ensure_shape(targets, (None, lesson.targets.shape[1]))
        reseed(augment, params.seed, draw=step)
        images, targets = augment(images, targets)
        if blending:
            floats = {"images": tf.cast(images, tf.float32), "labels": targets}
            blended = blending(floats, training=True)
            images = tf.cast(tf.clip_by_value(tf.round(blended["images"]), *VALUE_RANGE), tf.uint8)
            targets = blended["labels"]
        return images, targets

    order = tf.data.Dataset.range(len(lesson.targets)).shuffle(len(lesson.targets), seed=params.seed)
    return order.batch(params.fine_tune.batch_size).repeat(epochs).enumerate().map(changed).prefetch(2)


def joined(parts: Sequence[tf.data.Dataset]) -> tf.data.Dataset:
    whole, *rest = parts
    for part in rest:
        whole = whole.concatenate(part)
    return whole


def probabilities(network: keras.Model, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = softmax(network.predict(pixels, batch_size=64, verbose=0), axis=1)
    return found


def as_train(setting: Setting) -> keras.Model:
    return setting.taught


def twice_as_long(setting: Setting) -> keras.Model:
    longer = setting.with_params("fine_tune", epochs=2 * setting.params.fine_tune.epochs)
    return fine_tuned(longer, setting.lesson())


def moving_average(setting: Setting) -> keras.Model:
    """Of the weights (Polyak and Juditsky 1992)."""
    return fine_tuned(setting, setting.lesson(), averaged=AVERAGED)


def mixup(setting: Setting) -> keras.Model:
    """Zhang et al. 2018."""
    return fine_tuned(setting, setting.lesson(), blending=keras.layers.MixUp(0.2, seed=setting.params.seed))


def cutmix(setting: Setting) -> keras.Model:
    """Yun et al. 2019."""
    return fine_tuned(setting, setting.lesson(), blending=keras.layers.CutMix(1.0, seed=setting.params.seed))


def random_augmentation(setting: Setting) -> keras.Model:
    """Two changes out of a long list for each photo (Cubuk et al. 2020), instead of all but the flip."""
    flips = replace(
        setting, params=replace(setting.params, augmentation=AugmentationParams("horizontal", 0, 0, 0, 0, 0))
    )
    layer = keras.layers.RandAugment(VALUE_RANGE, num_ops=2, factor=0.3, seed=setting.params.seed)
    return fine_tuned(flips, setting.lesson(), blending=layer)


def growing_pictures(setting: Setting) -> keras.Model:
    """Smaller pictures in the first half: progressive resizing (Howard 2018)."""
    return fine_tuned(setting, setting.resized(SMALL).lesson(), setting.lesson())


def self_training(setting: Setting) -> keras.Model:
    """The taught network labels unlabelled photos; a new one learns from those it is sure of, too (Lee 2013).

    As many epochs over more photos: more steps, whose share in a gain "twice as long" tells.
    """
    labels = probabilities(setting.taught, setting.strangers)
    is_sure = labels.max(1) >= SURE
    hard = keras.utils.to_categorical(labels[is_sure].argmax(1), labels.shape[1])
    mine = setting.lesson()
    return fine_tuned(
        setting,
        Lesson(
            np.concatenate([mine.pixels, setting.strangers[is_sure]]), np.concatenate([mine.targets, hard])
        ),
    )


def distilled(setting: Setting) -> keras.Model:
    """A teacher that learned from larger pictures says half of each label (Hinton et al. 2015)."""
    larger = setting.resized(LARGE)
    teacher = fine_tuned(larger, larger.lesson())
    mine = setting.lesson()
    said = probabilities(teacher, larger.lesson().pixels)
    return fine_tuned(setting, Lesson(mine.pixels, (mine.targets + said) / 2))


RECIPES: dict[str, Callable[[Setting], keras.Model]] = {
    "as train.py": as_train,
    "twice as long": twice_as_long,
    "moving average": moving_average,
    "mixup": mixup,
    "CutMix": cutmix,
    "RandAugment": random_augmentation,
    "growing pictures": growing_pictures,
    "self-training": self_training,
    "distilled": distilled,
}


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        compare(arguments, read_params(arguments.params).train)
    except (CacheFull, DatasetError, OSError, ParamsError, WeightsUnavailable) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def compare(arguments: argparse.Namespace, params: TrainParams) -> None:
    unlabelled = sorted(arguments.unlabelled.iterdir())[: arguments.unlabelled_photos]
    lines = []
    for _, draw, read in draws(arguments, params):
        setting = Setting(read, params, unlabelled, arguments.cache)
        setting = setting.with_params("augmentation", mixup=0.0)
        for name in arguments.recipes:
            started = time.monotonic()
            reached, loss = judge(RECIPES[name](setting), setting.dataset)
            minutes = (time.monotonic() - started) / 60
            lines.append(f"{draw:>4}  {name:<20}{reached:>10.4f}{loss:>10.4f}{minutes:>10.1f}")
            print(lines[-1], flush=True)
    print(f"\n{'draw':>4}  {'recipe':<20}{'accuracy':>10}{'log loss':>10}{'minutes':>10}", *lines, sep="\n")


def judge(network: keras.Model, dataset: Dataset) -> tuple[float, float]:
    """Accuracy and log loss on the photos that were not drawn."""
    validation, test = dataset.members("validation"), dataset.members("test")
    left = test[[dataset.photos[number].path.name.startswith("left") for number in test]]
    wanted, given = (
        network.predict(dataset.pixels[dataset.rows[members]], verbose=0) for members in (validation, left)
    )
    tempered = softmax(given / fit_temperature(wanted, dataset.targets[validation]), axis=1)
    return accuracy(dataset.targets[left], tempered), log_loss(dataset.targets[left], tempered)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add_draws(parser, photos=[300], draws=1)
    add("--unlabelled", type=Path, required=True, help="folder of photos of the same kind, without labels")
    add(
        "--unlabelled-photos", type=at_least_one, default=1500, help="taken from there, at most (%(default)s)"
    )
    add("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES), metavar="NAME", help="all by default")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())

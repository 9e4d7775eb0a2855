"""Data parallelism and mixed precision, chosen from the detected GPUs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import keras
import tensorflow as tf

Capability = tuple[int, int]  # NVIDIA's compute capability: (8, 0) is an A100


@dataclass(frozen=True)
class Acceleration:
    is_mirrored: bool = False  # a copy of the network on every GPU, each taking its share of a batch
    precision: str = "float32"  # a Keras dtype policy

    @property
    def strategy(self) -> tf.distribute.Strategy:
        """Variables that are made in its scope live on every GPU."""
        return tf.distribute.MirroredStrategy() if self.is_mirrored else tf.distribute.get_strategy()


def acceleration(gpus: Sequence[Capability], first_batch: int) -> Acceleration:
    """Data parallelism over several GPUs, and the precision that the oldest of them computes fastest in.

    bfloat16 has been in hardware since 8.0; it has the range of float32, so that no loss needs scaling. Before
    it, from 7.0, there was float16 alone; older ones and other makers' GPUs gain nothing that we know of.
    `first_batch` is the number of photos in an epoch's first batch: Keras builds a mirrored network from the mean
    of the shares of that one, and fails where they are of different sizes.
    """
    oldest = min(gpus, default=(0, 0))
    table = {(8, 0): "mixed_bfloat16", (7, 0): "mixed_float16", (0, 0): "float32"}
    precision = next(name for least, name in table.items() if oldest >= least)
    return Acceleration(is_mirrored=len(gpus) > 1 and first_batch % len(gpus) == 0, precision=precision)


def acceleration_here(photos: Mapping[str, int], batch_size: int) -> Acceleration:
    """`acceleration` for the GPUs of this machine; `photos`: split → number of its photos."""
    return acceleration(
        found_gpus(), first_batch=min(photos["train"], photos.get("validation", batch_size), batch_size)
    )


def found_gpus() -> list[Capability]:
    """The compute capability of each GPU that TensorFlow sees; (0, 0) where it does not say."""
    devices = tf.config.list_physical_devices("GPU")
    return [
        tf.config.experimental.get_device_details(each).get("compute_capability", (0, 0)) for each in devices
    ]


@contextmanager
def computing_in(precision: str, backbone: keras.Model) -> Iterator[None]:
    """Set the Keras dtype policy of the backbone's layers; afterwards they are float32 again, and saved as such.

    Weights stay float32. Head and loss are excluded: they cost little, and rounding would change them visibly.
    """
    try:
        for layer in backbone.layers:
            layer.dtype_policy = precision
        yield
    finally:
        for layer in backbone.layers:
            layer.dtype_policy = "float32"

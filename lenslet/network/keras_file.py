"""Reading the .keras files of trained networks, which come from anywhere."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

# Keras stores weights as they are: what unpacks to much more than the file was made to fill the memory.
MOST_GROWTH = 4
SMALL_BYTES = 64 << 20  # unpacked, that any file may have


class KerasFileError(Exception):
    """The file holds no network of lenslet; the message is one sentence."""


def check_keras_file(path: Path) -> None:
    """Look at a .keras file without unpacking it. Raises: KerasFileError."""
    if not path.is_file():
        raise KerasFileError(f"{path} does not exist")
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(each.file_size for each in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise KerasFileError(f"{path} is damaged, or not a .keras file") from error
    if unpacked > max(SMALL_BYTES, MOST_GROWTH * path.stat().st_size):
        raise KerasFileError(f"{path} would unpack to {unpacked >> 20:,} MB, which no network does")


def load_keras_file(path: Path) -> Any:
    """The network of `assembly.build_network` in a .keras file. Raises: KerasFileError if it is none, or damaged."""
    check_keras_file(path)
    import keras  # here only: what reads records does without it

    try:
        network = keras.models.load_model(path, compile=False)
        layers, gives = {layer.name for layer in network.layers}, network.output
        is_ours = {"backbone", "logits"} <= layers and isinstance(gives, Mapping) and "probabilities" in gives
    except Exception as error:  # Keras raises whatever h5py, zipfile and its own loaders do
        raise KerasFileError(f"{path} cannot be read: {(str(error).splitlines() or [''])[0]}") from error
    if not is_ours:
        raise KerasFileError(f"{path} holds another network than lenslet train writes")
    if not all(np.isfinite(weight).all() for weight in network.get_weights()):
        raise KerasFileError(f"{path} holds weights that are not finite numbers: its training failed")
    return network

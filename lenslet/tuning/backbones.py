"""The backbones that a search may try: those whose weights are on this disk."""

import os
import tempfile
from pathlib import Path

from lenslet.config import BackboneParams, ParamsError
from lenslet.network.backbones import BACKBONES


def available_backbones(params: BackboneParams, wanted: tuple[str, ...]) -> list[str]:
    """The `wanted` backbones whose initial weights are on this disk; nothing is downloaded.

    A .keras file holds the weights of one row only, `params.name`.
    Raises: ParamsError if a row is unknown or none is at hand.
    """
    unknown = [name for name in wanted if name not in BACKBONES]
    if unknown:
        raise ParamsError(f"tune.backbones: {unknown[0]!r} is unknown; known are: {', '.join(BACKBONES)}")
    if params.weights == "none":
        raise ParamsError(
            "a backbone without weights has nothing to search a head on: set train.backbone.weights"
        )
    if params.weights != "imagenet":
        return [params.name]
    folder = _keras_folder() / "models"
    files = {name: BACKBONES[name].imagenet_file for name in wanted}
    found = [name for name, file in files.items() if file and (folder / file).is_file()]
    if not found:
        raise ParamsError(
            f"the weights of none of tune.backbones are in {folder}: train once with one of them, "
            "which downloads its weights, or search on the shipped model's with --weights model/model.keras"
        )
    return found


def _keras_folder() -> Path:
    """The folder of Keras's downloads. Keras ignores a home that it cannot write to, even for reading."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    return home if os.access(home, os.W_OK) else Path(tempfile.gettempdir()) / ".keras"

"""Where the files that come with Lenslet are: the shipped model, `params.yaml`, `openapi.yaml`, the sample photos.

In a checkout they lie at the root, and this folder holds links to them, which `make wheel` follows: in the wheel, the
files themselves are here. In an image they lie beside the package, and this folder holds nothing else.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
# Name → place below the root of a checkout or an image.
PLACES = {
    "model": "model",
    "params.yaml": "params.yaml",
    "openapi.yaml": "openapi.yaml",
    "sample": "data/sample",
}


def shipped(name: str) -> Path:
    """Path of the shipped file or folder `name`, a key of `PLACES`; relative where it is below the working folder.

    Whether it exists is for its reader to say: an image holds no sample photos.
    """
    installed = FOLDER / name
    path = installed.resolve() if installed.exists() else FOLDER.parents[1] / PLACES[name]
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

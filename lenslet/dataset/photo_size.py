"""Width and height of photos, from their headers."""

from pathlib import Path

from PIL import Image

from lenslet.inference.decode import HEIF_FORMATS, format_of
from lenslet.inference.errors import LensletError
from lenslet.inference.heif import upright_size

SIGNATURE_BYTES = 64


def photo_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels; no pixel is decoded. Raises: OSError if it is gone, or no photo."""
    with path.open("rb") as file:
        try:
            if format_of(file.read(SIGNATURE_BYTES)) in HEIF_FORMATS:
                file.seek(0)
                return upright_size(file.read())
        except LensletError as error:
            raise OSError(str(error)) from error
    try:
        with Image.open(path) as image:
            return image.size
    except (ValueError, Image.DecompressionBombError) as error:
        raise OSError(str(error)) from error

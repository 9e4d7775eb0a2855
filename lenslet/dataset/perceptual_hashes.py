"""Perceptual hashes: 256 bits of a photo that survive new encodings, sizes and light."""

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from lenslet.dataset.array_file import ArrayFile

HASH_SIDE = 16
BITS = HASH_SIDE**2


def perceptual_hashes(
    pixels: ArrayFile, rows: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Perceptual hash, shape (photos, BITS), and mean colour, shape (photos, 3), of each photo.

    The hash says which of the lowest frequencies of the grey picture are above their median (Zauner 2010).
    """
    bits = np.zeros((len(rows), BITS), np.bool_)
    colours = np.zeros((len(rows), 3), np.float32)
    for number, row in enumerate(tqdm(rows, "comparing", unit=" photos", leave=False, disable=None)):
        picture = Image.fromarray(pixels[row])
        bits[number] = imagehash.phash(picture, HASH_SIDE).hash.ravel()
        colours[number] = picture.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    return bits, colours

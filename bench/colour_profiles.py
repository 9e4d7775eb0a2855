"""Whether photos with a wide-gamut colour profile should be converted to sRGB before they are classified.

    python -m bench.colour_profiles --data photos/intel/seg_test --photos 200

Each photo, taken as sRGB, is converted to Display P3 and to Adobe RGB, as a phone or a camera would have stored it. Its
answer as sRGB is compared with the answers without regard to the profile and with a conversion back, which is timed.
"""

import argparse
import struct
import time
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from bench.console import at_least_one, bench_parser
from lenslet.inference.classifier import Classifier
from lenslet.inference.decode import decode
from lenslet.shipped import shipped

# Columns of the matrix to XYZ, adapted to D50, and the tone curve (ICC.1:2022, sections 10.6 and 10.18).
SRGB_CURVE = b"para\0\0\0\0\0\3\0\0" + struct.pack(
    ">5i", *(round(each * 65536) for each in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
)
GAMMA_CURVE = b"curv\0\0\0\0" + struct.pack(">IH", 1, 563) + b"\0\0"  # 2.2, as 563 / 256
SPACES = {
    "Display P3": (
        ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
        SRGB_CURVE,
    ),
    "Adobe RGB": (
        ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
        GAMMA_CURVE,
    ),
}
D50 = (0.9642, 1.0, 0.8249)


def main(argv: list[str] | None = None) -> None:
    arguments = read_arguments(argv)
    classifier = Classifier.load(arguments.model)
    found = sorted(
        path for path in arguments.data.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png")
    )
    paths = [found[index] for index in np.linspace(0, len(found) - 1, arguments.photos).astype(int)]
    photos = [Image.open(path).convert("RGB") for path in paths]
    print(f"{len(photos)} photos, model {classifier.artifact.name}")
    print(f"{'space':<12}{'pixels as':<14}{'other first label':>18}{'mean change of its probability':>32}")
    for name in SPACES:
        compare(classifier, photos, name)


def compare(classifier: Classifier, photos: list[Image.Image], name: str) -> None:
    """Print how the answers of wide-gamut photos differ from those of the same photos in sRGB."""
    size = classifier.artifact.image_size
    wide = profile(*SPACES[name])
    plain = [answer_of(classifier, decode(png(photo), size)) for photo in photos]
    stored = [decode(png(converted(photo, SRGB, wide)), size) for photo in photos]
    back, times_s = [], []
    for pixels in stored:
        started = time.perf_counter()
        # At the model's size, where it costs least; it is not the same as before the resizing, but near.
        back.append(np.asarray(converted(Image.fromarray(pixels), wide, SRGB)))
        times_s.append(time.perf_counter() - started)
    for kind, pictures in (("stored", stored), ("converted", back)):
        others = [answer_of(classifier, pixels) for pixels in pictures]
        changed = sum(int(a.argmax() != b.argmax()) for a, b in zip(plain, others, strict=True))
        change = np.mean([abs(a.max() - b[a.argmax()]) for a, b in zip(plain, others, strict=True)])
        print(f"{name:<12}{kind:<14}{changed:>18}{change:>32.4f}")
    print(f"{name:<12}conversion of {size} × {size} pixels: {1000 * median(times_s):.2f} ms (median)")


def answer_of(classifier: Classifier, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return classifier.classify(pixels).probabilities


def png(photo: Image.Image) -> bytes:
    file = BytesIO()
    photo.save(file, "PNG", compress_level=1)
    return file.getvalue()


def converted(photo: Image.Image, source: Any, target: Any) -> Image.Image:
    result = ImageCms.profileToProfile(photo, source, target, outputMode="RGB")
    assert result
    return result


def profile(columns: tuple[tuple[float, float, float], ...], curve: bytes) -> ImageCms.ImageCmsProfile:
    """A matrix profile for displays, version 4 (ICC.1:2022, sections 7 and 8)."""
    tags = {
        b"desc": b"mluc\0\0\0\0"
        + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 2, 28)
        + "x".encode("utf-16-be"),
        b"wtpt": xyz(D50),
        **{name: xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    place = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", place + len(data), len(content))
        data += padded
    size = place + len(data)
    head = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x04400000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + xyz(D50)[8:]
    return ImageCms.ImageCmsProfile(BytesIO(head + bytes(128 - len(head)) + table + data))


def xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


SRGB = ImageCms.createProfile("sRGB")


def read_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = bench_parser("colour_profiles", __doc__)
    add = parser.add_argument
    add("--data", type=Path, default=shipped("sample"), help="folder of photos (%(default)s)")
    add("--model", type=Path, default=shipped("model"), help="model folder (%(default)s)")
    add("--photos", type=at_least_one, default=50, metavar="N", help="how many (%(default)s)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()

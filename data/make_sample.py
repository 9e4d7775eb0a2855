"""Draw the sample: small pictures of six kinds of scene, enough to try every command on.

    python data/make_sample.py
    python train.py --data data/sample --out out/sample

Takes a minute. The pictures are drawn from random numbers and are no photos: they serve tests and first
steps, and are no measure of a model. The same seed gives the same bytes.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from drawing.brushes import Array, photograph
from drawing.mountains import glacier, mountain
from drawing.seaside import sea
from drawing.towns import buildings, street
from drawing.woods import forest
from numpy.random import Generator, SeedSequence, default_rng
from tqdm import tqdm

SCENES: dict[str, Callable[[Generator], Array]] = {
    "buildings": buildings,
    "forest": forest,
    "glacier": glacier,
    "mountain": mountain,
    "sea": sea,
    "street": street,
}
TRAIN, TEST, UNLABELLED = 30, 10, 2  # pictures of each scene
QUALITY = 80  # of JPEG: about 6 KB a picture
SEED = 6


@dataclass(frozen=True)
class Drawing:
    """A picture still to be drawn: where it goes, what it shows, and the key of its own random numbers."""

    path: Path
    scene: str
    key: tuple[int, int, int]


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    drawings = plan(arguments.seed)
    for drawing in tqdm(drawings, unit="picture"):
        write(arguments.out / drawing.path, draw(drawing, arguments.seed))
    print(f"{len(drawings)} pictures: {arguments.out}")
    return 0


def plan(seed: int) -> list[Drawing]:
    """All pictures of the sample, their paths relative to its folder."""
    drawings = []
    for kind, (split, count) in enumerate([("train", TRAIN), ("test", TEST)]):
        for place, scene in enumerate(SCENES):
            for number in range(count):
                drawings.append(Drawing(Path(split, scene, f"{number:02}.jpg"), scene, (kind, place, number)))
    secret = [(2, place, number) for place in range(len(SCENES)) for number in range(UNLABELLED)]
    default_rng(SeedSequence(seed, spawn_key=(3,))).shuffle(secret)
    for number, key in enumerate(secret):
        drawings.append(Drawing(Path("unlabelled", f"{number:02}.jpg"), list(SCENES)[key[1]], key))
    return drawings


def draw(drawing: Drawing, seed: int) -> bytes:
    """The JPEG file of one picture: the same bytes whichever pictures are drawn before it."""
    random = default_rng(SeedSequence(seed, spawn_key=drawing.key))
    image = photograph(random, SCENES[drawing.scene](random))
    file = BytesIO()
    image.save(file, "JPEG", quality=QUALITY, optimize=True)
    return file.getvalue()


def write(path: Path, data: bytes) -> None:
    """Write a file so that it is either whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_bytes(data)
    temporary.replace(path)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sample = Path(__file__).parent / "sample"
    parser.add_argument("--out", type=Path, default=sample, help="folder to write (default: data/sample)")
    parser.add_argument("--seed", type=int, default=SEED, help="another one, other pictures (%(default)s)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())

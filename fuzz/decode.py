"""Fuzz `lenslet.inference.decode` with damaged pictures: it must return pixels or raise a LensletError, in time.

    python -m fuzz.decode --inputs 200000
    python -m fuzz.decode --inputs 20000 --formats HEIC AVIF

Atheris mutates tiny pictures of every format (`fuzz.seeds`) and keeps those that reach new lines of Pillow's plugins or
of Lenslet. It stops at the first input that raises another error, takes more than five seconds or more than 512 MB,
writes it to tests/crashes/, names the file, and ends with exit code 77. The tests decode the files there: fix the code
and commit the file with it.
"""

import argparse
import importlib
import struct
import sys
import tempfile
import time
import zlib
from pathlib import Path

import atheris
import numpy as np

from bench.console import at_least_one

PLUGINS = ("Avif", "Bmp", "Gif", "Jpeg", "Mpo", "Png", "Tiff", "WebP")

with atheris.instrument_imports(include=["PIL", "lenslet.inference"]):
    for plugin in PLUGINS:  # plugins that are imported later would not be instrumented
        importlib.import_module(f"PIL.{plugin}ImagePlugin")
    from fuzz.seeds import write_seeds
    from lenslet.inference.decode import FORMATS, decode
    from lenslet.inference.errors import LensletError

SIZE = 16
MAX_SECONDS = 5.0
MAX_MEMORY_MB = 512
MAX_BYTES = 4096
CRASHES = Path(__file__).parents[1] / "tests" / "crashes"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m fuzz.decode",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--inputs", type=at_least_one, default=20_000, metavar="N", help="how many (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers (default: %(default)s)")
    parser.add_argument(
        "--formats", nargs="+", choices=FORMATS, default=FORMATS, help="of the seeds (default: all)"
    )
    parser.add_argument(
        "--findings",
        type=Path,
        default=CRASHES,
        metavar="FOLDER",
        help="for inputs that fail (tests/crashes)",
    )
    given = parser.parse_args(argv)
    given.findings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        print(f"{write_seeds(Path(folder), given.formats)} seeds", flush=True)
        options = [
            f"-runs={given.inputs}",
            f"-seed={given.seed}",
            f"-max_len={MAX_BYTES}",
            f"-rss_limit_mb={MAX_MEMORY_MB}",
            f"-timeout={MAX_SECONDS:.0f}",
            f"-artifact_prefix={given.findings}/",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], *options, folder], decode_one, custom_mutator=mutate)
        atheris.Fuzz()  # ends the process


def decode_one(data: bytes) -> None:
    started = time.perf_counter()
    try:
        pixels = decode(data, SIZE)
    except LensletError as error:
        assert error.status in (413, 415, 422), error.status
    else:
        assert pixels.shape == (SIZE, SIZE, 3)
        assert pixels.dtype == np.uint8
    assert time.perf_counter() - started < MAX_SECONDS, "too slow"


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """A mutation by libFuzzer; the checksums of a PNG are corrected, else decoding would end at the first of them.

    Every other mutation of a HEIC or AVIF file leaves the container as it is, whose reader refuses most of them.
    """
    place = data.find(b"mdat") + 4
    if data[4:8] == b"ftyp" and place > 4 and seed % 2:
        coded: bytes = atheris.Mutate(data[place:], len(data) - place)
        return data[:place] + coded[: len(data) - place].ljust(len(data) - place, b"\0")
    changed = atheris.Mutate(data, len(data))
    return with_right_checksums(changed)[:max_size] if changed.startswith(b"\x89PNG\r\n\x1a\n") else changed


def with_right_checksums(data: bytes) -> bytes:
    whole, place = bytearray(data), 8
    while place + 12 <= len(whole):
        (length,) = struct.unpack_from(">I", whole, place)
        end = place + 8 + length
        if end + 4 > len(whole):
            break
        struct.pack_into(">I", whole, end, zlib.crc32(whole[place + 4 : end]))
        place = end + 4
    return bytes(whole)


if __name__ == "__main__":
    main()

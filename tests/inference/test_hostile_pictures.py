"""Hostile and damaged pictures: each is refused early, with its error."""

import base64
import json
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lenslet.inference import budget
from lenslet.inference.decode import decode
from lenslet.inference.errors import BrokenImage, ImageTooLarge, LensletError, NotAnImage
from tests.support.bombs import BOMBS
from tests.support.link_server import serving_links
from tests.support.photos import all_pixels, chunk, flat, png, quadrants, saved, tiff

# pytest undoes the filter that `lenslet.inference.decode` sets; that it works is tested in a process of its own.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

WHITE = (255, 255, 255)
PHOTO = quadrants("RGBY")
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8))
WHOLE = {
    "JPEG": saved(NOISE, "JPEG"),
    "progressive JPEG": saved(NOISE, "JPEG", progressive=True),
    "MPO": saved(NOISE, "MPO", save_all=True, append_images=[NOISE]),
    "PNG": saved(NOISE, "PNG"),
    "APNG": saved(NOISE, "PNG", save_all=True, append_images=[PHOTO.resize(NOISE.size)]),
    "WEBP": saved(NOISE, "WEBP"),
    "animated WEBP": saved(NOISE, "WEBP", save_all=True, append_images=[PHOTO.resize(NOISE.size)]),
    "GIF": saved(NOISE, "GIF"),
    "BMP": saved(NOISE, "BMP"),
    "TIFF": saved(NOISE, "TIFF"),
    "TIFF, deflate": saved(NOISE, "TIFF", compression="tiff_deflate"),
    "TIFF, LZW": saved(NOISE, "TIFF", compression="tiff_lzw"),
}


@pytest.mark.parametrize("share", [0.02, 0.1, 0.45])
@pytest.mark.parametrize("name", WHOLE)
def test_truncated(name: str, share: float) -> None:
    data = WHOLE[name]
    with pytest.raises(BrokenImage, match="truncated"):
        decode(data[: max(12, int(share * len(data)))], 16)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_truncated_inside_the_header(name: str) -> None:
    with pytest.raises(BrokenImage, match="truncated"):
        decode(WHOLE[name][:13], 16)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\xff\xd8",
        b"GIF",
        b"not an image",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"RIFF\x10\0\0\0WAVEfmt ",
        b"P6 1 1 255 \xff\0\0",
        bytes(100),
        saved(PHOTO, "PPM"),
        saved(PHOTO, "ICO"),
        saved(PHOTO, "TGA"),
        b"\0\0\0\x1cftypqt  " + bytes(100),
    ],
)
def test_not_an_image(data: bytes) -> None:
    with pytest.raises(NotAnImage, match="not an image we read"):
        decode(data, 16)


@pytest.mark.parametrize(
    "data",
    [
        tiff(4, 4, 32, 1, struct.pack("<16f", *[0.5] * 16), t339=3),
        saved(Image.new("F", (4, 4), 0.5), "TIFF", compression="tiff_deflate"),
        tiff(4, 4, 32, 1, struct.pack("<16I", *[2**31] * 16)),
        tiff(4, 4, 8, 1, bytes(16), t339=2),
        tiff(4, 4, 16, 1, bytes(32), t339=2),
    ],
    ids=["float", "float, deflate", "32-bit integer", "signed 8-bit", "signed 16-bit"],
)
def test_samples_without_an_8_bit_meaning(data: bytes) -> None:
    with pytest.raises(BrokenImage, match="no 8-bit colours"):
        decode(data, 16)


def resized(data: bytes, **places: tuple[int, str]) -> bytes:
    """`data` with 10,000 written over its width and 6,000 over its height: 60 million pixels."""
    changed = bytearray(data)
    for name, (place, layout) in places.items():
        struct.pack_into(layout, changed, place, {"width": 10_000, "height": 6_000}[name])
    return bytes(changed)


SOF = WHOLE["JPEG"].index(b"\xff\xc0")  # length, precision, then height and width
HUGE = {
    "JPEG": resized(WHOLE["JPEG"], height=(SOF + 5, ">H"), width=(SOF + 7, ">H")),
    "PNG": png(10_000, 6_000, 8, 2, b""),
    "WEBP": resized(WHOLE["WEBP"], width=(26, "<H"), height=(28, "<H")),
    "GIF": resized(WHOLE["GIF"], width=(6, "<H"), height=(8, "<H")),
    "BMP": resized(WHOLE["BMP"], width=(18, "<I"), height=(22, "<I")),
    "TIFF": tiff(10_000, 6_000, 8, 3, b"\0"),
    "TIFF, 6,000 × 10,000 turned": tiff(6_000, 10_000, 8, 3, b"\0", t274=6),
    "TIFF with one tile of 60 million": tiff(
        10, 10, 8, 1, b"\0", t259=8, t322=10_000, t323=6_000, t324=8, t325=1
    ),
}


@pytest.mark.parametrize("name", HUGE)
def test_too_many_pixels(name: str) -> None:
    with pytest.raises(ImageTooLarge, match="has 60,000,000 pixels; the limit is 50,000,000"):
        decode(HUGE[name], 16)


def test_far_too_many_pixels() -> None:
    with pytest.raises(ImageTooLarge, match="far more than 50,000,000 pixels"):
        decode(png(60_000, 60_000, 8, 2, b""), 16)


def test_limit_itself_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_PIXELS", 100)
    assert all_pixels(png(10, 10, 8, 0, bytes([5] * 10))) == [[5, 5, 5]]
    with pytest.raises(ImageTooLarge, match="has 110 pixels; the limit is 100"):
        decode(png(10, 11, 8, 0, bytes([5] * 10)), 16)


# --- what is refused for what it would take

AS_PICTURE = {"Content-Type": "image/png"}  # the type is not believed

# Sends the JSON of its standard input to the handler, with links to the loopback; prints the codes of the answer, its
# seconds and the process's peak in MB. Seconds of the processor: those of the clock would measure what else the machine
# does while the tests run.
IN_A_PROCESS = """
import json, os, sys, time
os.environ["LENSLET_METRICS_DISABLED"] = "true"
os.environ["LENSLET_LOG_LEVEL"] = "CRITICAL"
import lambda_func
from lenslet.serving.links import address

address.is_public = lambda text: text == "127.0.0.1"
event = json.load(sys.stdin)
started = time.process_time()
answer = lambda_func.handler(event, None)
seconds = time.process_time() - started
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024
print(json.dumps([[each.get("error", {}).get("code") for each in answer.get("results", [answer])], seconds, peak]))
"""


def in_a_process(event: dict[str, Any]) -> tuple[list[str | None], float, int, str]:
    """The answer's codes, one for each photo; seconds, peak of memory in MB, standard error."""
    command = [sys.executable, "-W", "default", "-c", IN_A_PROCESS]
    given = json.dumps(event).encode()
    done = subprocess.run(command, input=given, capture_output=True, check=True, timeout=60)
    codes, seconds, peak_mb = json.loads(done.stdout)
    return codes, seconds, peak_mb, done.stderr.decode()


def sent(data: bytes) -> dict[str, Any]:
    return {"image": base64.b64encode(data).decode()}


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="peak memory is read from /proc"
)


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_decompression_bomb_takes_little_memory_and_time(name: str) -> None:
    bomb = BOMBS[name]
    codes, seconds, peak_mb, _ = in_a_process(sent(bomb.build()))
    assert codes == [bomb.code]
    assert peak_mb < 512
    assert seconds < 5


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "PNG, 38 million pixels with alpha",
        "PNG, 38 million pixels with alpha, 19 MB of a private chunk",
        "WEBP, 18 million pixels, 19 MB of EXIF",
        "HEIC, 49 million pixels in tiles",
    ],
)
def test_sixteen_links_to_a_decompression_bomb_take_little_memory_and_time(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_links(BOMBS[name].build()) as links:
        monkeypatch.setenv("LENSLET_LINK_HOSTS", links.host)
        codes, seconds, peak_mb, _ = in_a_process({"images": [{"url": f"{links.address}/photo"}] * 16})
    assert None in codes  # there is room for some
    assert set(codes) <= {None, "request_too_large", "image_too_large"}
    assert peak_mb < 512
    assert seconds < 5


@needs_proc
@pytest.mark.slow
def test_memory_of_the_server_stays_bounded() -> None:
    command = [sys.executable, "-m", "lenslet", "serve", "--port", "0", "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            url = re.search(r"http://[\w.:]+", server.stdout.readline())[0]  # type: ignore[index]
            bombs = [bomb.build() for bomb in BOMBS.values()]
            # Twice: what is kept of one must not come on top of the next.
            codes = {
                requests.post(f"{url}/predict", data=bomb, headers=AS_PICTURE).status_code
                for bomb in bombs * 2
            }
            status = Path(f"/proc/{server.pid}/status").read_text()
        finally:
            server.terminate()
    assert 413 in codes and 500 not in codes
    assert int(re.search(r"VmHWM:\s+(\d+)", status)[1]) < 512 * 1024  # type: ignore[index]


@pytest.mark.parametrize("name", [name for name, bomb in BOMBS.items() if bomb.code == "image_too_large"])
def test_decompression_bomb_is_refused_before_decoding(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(*_: object) -> None:
        raise AssertionError("was decoded")

    data = BOMBS[name].build()
    if "run lengths" not in name or "million" in name:  # how many runs there are shows only in decoding them
        monkeypatch.setattr(Image.Image, "load", decoded)
    with pytest.raises(ImageTooLarge, match=r"; the limit is|, the limit$|too many pieces"):
        decode(data, 160)


def test_overlapping_strips() -> None:
    with pytest.raises(BrokenImage, match="do not lie side by side"):
        decode(BOMBS["TIFF, strips that lie in one another"].build(), 160)


def test_tile_whose_sides_only_libtiff_would_read() -> None:
    with pytest.raises(BrokenImage, match="tag 322 is not one whole number"):
        decode(BOMBS["TIFF, the same, in a type that Pillow skips and libtiff reads"].build(), 160)


def test_compression_that_is_not_read() -> None:
    with pytest.raises(BrokenImage, match="in a way that is not read: zstd"):
        decode(saved(NOISE, "TIFF", compression="zstd"), 160)


def test_number_of_pieces_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    data = png(4, 4, 8, 2, bytes(12), *[chunk(b"abCd", b"")] * 100)
    assert all_pixels(data) == [[0, 0, 0]]
    monkeypatch.setattr(budget.CountedReader, "pieces_left", 150)
    with pytest.raises(ImageTooLarge, match="too many pieces"):
        decode(data, 16)


@needs_proc
@pytest.mark.slow
def test_pillows_warnings_are_not_printed() -> None:
    data = saved(flat(WHITE), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01")
    codes, _, _, stderr = in_a_process(sent(data))
    assert codes == [None]
    assert "Warning" not in stderr


def test_canvas_of_an_animation_is_refused_before_it_is_made() -> None:
    # An animated WEBP names its canvas apart from its frames: bytes 24 to 29, width − 1 and height − 1.
    data = bytearray(WHOLE["animated WEBP"])
    assert data[12:16] == b"VP8X"
    data[24:30] = (12_999).to_bytes(3, "little") * 2
    with pytest.raises(ImageTooLarge):
        decode(bytes(data), 16)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    name=st.sampled_from(sorted(WHOLE)),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=12),
)
def test_damaged_bytes_give_pixels_or_a_lenslet_error(name: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE[name])
    for place, value in changes:
        data[place] = value
    try:
        assert decode(bytes(data), 8).shape == (8, 8, 3)
    except LensletError as error:
        assert error.status in (413, 415, 422)


@pytest.mark.parametrize(("brand", "name"), [(b"heic", "HEIC"), (b"mif1", "HEIC"), (b"avif", "AVIF")])
def test_format_that_is_not_read_is_named(brand: bytes, name: str) -> None:
    with pytest.raises(NotAnImage, match=f"the data are {name}, which is not read here; convert it"):
        decode(b"\0\0\0\x1cftyp" + brand + bytes(100), 16, ("JPEG", "PNG"))

"""What the page does to a photo before it is sent, and the colours of the map."""

import re
import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import photos
from lenslet.inference.budget import CountedReader, check
from lenslet.inference.decode import decode
from lenslet.serving.gateway import MAX_BODY_BYTES
from photos import MAX_BYTES, PhotoError, colours, heat_map, prepare
from tests.support.endpoint import ROOT
from tests.support.heif import heic
from tests.support.photos import flat, plain, png, quadrants, read_quadrants, saved, tiff

ORIENTATION = 0x0112


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


def turned(image: Image.Image, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return saved(image, "JPEG", exif=exif, quality=95)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_photo_that_fits_goes_as_it_is(kind):
    data = plain((10, 200, 30), kind)
    prepared = prepare(data)
    assert (prepared.data, prepared.note) == (data, "") and prepared.preview


@pytest.mark.parametrize(("orientation", "shown"), [(1, "RGBY"), (6, "BRYG")])
def test_photo_of_a_phone_has_an_upright_preview(orientation, shown):
    data = heic(quadrants("RGBY"), orientation)
    prepared = prepare(data)
    assert (prepared.data, prepared.note) == (data, "")
    assert read_quadrants(np.asarray(opened(prepared.preview).resize((32, 32)))) == shown


def test_photo_of_a_phone_that_is_too_large_is_scaled(monkeypatch):
    monkeypatch.setitem(photos.MAX_PIXELS, "HEIF, 8 bits, 4:2:0", (1000, 50_000_000))
    prepared = prepare(heic(quadrants("RGBY"), 6))
    assert prepared.note.startswith(
        "Saved again as JPEG before sending: the endpoint may not accept more than 0 mega"
    )
    assert read_quadrants(decode(prepared.data, 32)) == "BRYG"


def test_photo_with_too_many_pixels_is_scaled_and_the_page_says_so(monkeypatch):
    monkeypatch.setitem(photos.MAX_PIXELS, "JPEG", (8_000_000, 60_000_000))
    assert prepare(saved(flat(90, "L", (4000, 2000)), "JPEG")).note == ""
    prepared = prepare(saved(flat(90, "L", (4000, 2001)), "JPEG"))
    assert opened(prepared.data).size == (2048, 1025)
    assert prepared.note == (
        "Scaled down from 4,000 × 2,001 to 2,048 × 1,025 pixels before sending: "
        "the endpoint may not accept more than 8 megapixels of JPEG."
    )


def test_other_formats_may_have_fewer_pixels(monkeypatch):
    monkeypatch.setattr(photos, "MAX_OTHER_PIXELS", (1_000_000, 2_000_000))
    assert prepare(png(1000, 1000, 8, 2, bytes(3000))).note == ""
    assert "not accept more than 1 megapixels of PNG" in prepare(png(1000, 1001, 8, 2, bytes(3000))).note
    assert prepare(saved(flat(90, "L", (1000, 1001)), "JPEG")).note == ""


# (format and mode, its most pixels with which a photo goes as it is)
MOST = [
    ("PNG", "RGB", (6000, 6000)),
    ("BMP", "RGB", (6000, 6000)),
    ("GIF", "P", (6000, 6000)),
    ("JPEG", "RGB", (10_000, 5000)),
    ("MPO", "RGB", (10_000, 5000)),
    ("WEBP", "RGB", (6000, 3000)),
    ("TIFF", "RGB", (6000, 3000)),
]


@pytest.mark.parametrize(("kind", "mode", "size"), MOST)
def test_what_goes_as_it_is_the_endpoint_takes(kind, mode, size):
    """By its own budget; and a pixel more goes no more as it is. Only the header is made."""
    width, height = size
    most, _ = photos.MAX_PIXELS.get(kind, photos.MAX_OTHER_PIXELS)
    assert width * height == most
    small = saved(Image.new(mode, (8, 8)), kind, **({"save_all": True} if kind == "MPO" else {}))
    reader = CountedReader(small)
    image = Image.open(reader)
    image._size = size
    check(image, reader, 160)


def test_noise_is_scaled_until_its_bytes_fit(monkeypatch):
    monkeypatch.setattr(photos, "MAX_BYTES", 100_000)
    noise = np.random.default_rng(1).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    prepared = prepare(saved(Image.fromarray(noise), "PNG"))
    assert len(prepared.data) <= 100_000 and max(opened(prepared.data).size) < 600
    assert "from 600 × 600 to" in prepared.note and "at most 0.1 MB" in prepared.note


def test_bytes_that_fit_as_jpeg(monkeypatch):
    monkeypatch.setattr(photos, "MAX_BYTES", 4000)
    data = saved(flat((10, 20, 30), size=(60, 60)), "BMP")
    assert prepare(data).note == "Saved again as JPEG before sending: the endpoint accepts at most 0.0 MB."


def test_what_is_sent_fits_into_a_body():
    """With 400 KB left for what a gateway wraps around it. The limits are those that the contract tells."""
    assert -(-MAX_BYTES // 3) * 4 + 400_000 <= MAX_BODY_BYTES
    contract = " ".join((ROOT / "openapi.yaml").read_text().split())
    assert "Limits: 50 million pixels" in contract and photos.MAX_PIXELS["JPEG"][0] == 50_000_000
    assert "about 4.4 MB of photo" in contract and MAX_BYTES == 4_400_000


def test_orientation_is_kept(monkeypatch):
    """Orientation 6: the stored picture is turned a quarter to the right to stand upright."""
    monkeypatch.setitem(photos.MAX_PIXELS, "JPEG", (1000, 60_000_000))
    monkeypatch.setattr(photos, "SCALED_SIDE", 48)
    data = turned(quadrants("RGBY"), 6)
    prepared = prepare(data)
    assert "from 64 × 96 to 32 × 48" in prepared.note
    assert opened(prepared.data).getexif().get(ORIENTATION, 1) == 1
    assert read_quadrants(decode(prepared.data, 32)) == read_quadrants(decode(data, 32)) == "BRYG"


def test_alpha_lies_over_white_and_16_bits_are_scaled(monkeypatch):
    monkeypatch.setattr(photos, "MAX_OTHER_PIXELS", (10, 1000))
    clear = saved(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "PNG")
    assert opened(prepare(clear).data).getpixel((4, 4)) == (255, 255, 255)
    grey = png(8, 8, 16, 0, b"\x80\x00" * 8)
    assert opened(prepare(grey).data).getpixel((4, 4)) == (128, 128, 128)


def test_what_is_no_picture_goes_as_it_is():
    assert prepare(b"no picture") == photos.Prepared(b"no picture", "", None)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "The file is empty"),
        (
            b"x" * (MAX_BYTES + 1),
            r"The file is larger than the 4\.4 MB that the endpoint accepts, and this page cannot scale it down",
        ),
        # Red, cut off: the header promises more than there is.
        (saved(flat((255, 0, 0)), "JPEG")[:200] + bytes(MAX_BYTES), "cannot scale it down"),
    ],
)
def test_what_cannot_be_sent(data, sentence):
    with pytest.raises(PhotoError, match=sentence):
        prepare(data)


def test_picture_that_is_too_large_for_the_page_too():
    """60 million pixels are what this page decodes; the file itself is small, so the endpoint may say no."""
    data = png(9000, 8000, 8, 0, bytes(9000))
    assert prepare(data) == photos.Prepared(data, "", None)


@pytest.mark.slow
def test_picture_that_costs_much_takes_little_memory():
    """59 million pixels with alpha, 240 MB decoded; a second copy would need as much again."""
    source = """
import re, sys
sys.path.insert(0, "frontend")
import photos
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
before = peak()
print(photos.prepare(sys.stdin.buffer.read()).note[:11], (peak() - before) // 1000)
"""
    data = png(7700, 7700, 8, 6, bytes(4 * 7700))
    run = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, input=data, capture_output=True, check=True
    )
    assert re.fullmatch(rb"Scaled down ([12]\d\d|3[0-4]\d)\n", run.stdout), run.stdout


def test_bands_leave_no_seams(monkeypatch):
    """Many bands, the last one shorter than the others, and as one band: the same pixels."""
    gradient = np.arange(301 * 200 * 3).reshape(301, 200, 3) // 709
    data = saved(Image.fromarray(gradient.astype(np.uint8)), "PNG")
    monkeypatch.setattr(photos, "MAX_OTHER_PIXELS", (10, 1_000_000))
    monkeypatch.setattr(photos, "SCALED_SIDE", 100)
    whole = prepare(data).data
    monkeypatch.setattr(photos, "BAND_PIXELS", 1)
    assert prepare(data).data == whole


def test_preview_is_small_upright_jpeg():
    small = prepare(turned(quadrants("RGBY", (1600, 800)), 6)).preview
    assert (opened(small).format, opened(small).size) == ("JPEG", (360, 720))
    assert read_quadrants(decode(small, 32)) == "BRYG"


def test_preview_of_what_browsers_cannot_show():
    assert opened(prepare(tiff(8, 8, 8, 3, bytes([0, 0, 255]) * 64)).preview).format == "JPEG"


def test_colours_are_lighter_with_each_step():
    """Read rightly in grey: luminance (Rec. 709) grows all along."""
    luminance = colours(np.linspace(0, 1, 64)).astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > 0).all()
    assert colours(np.array(0.0)).tolist() == [87, 16, 110]
    assert colours(np.array([1.0])).tolist() == [[252, 255, 164]]


def test_heat_map_is_clear_where_nothing_speaks_for_the_label():
    rgba = np.asarray(opened(heat_map(((0.0, 0.0), (0.0, 1.0)))))
    assert rgba.shape == (192, 192, 4)
    assert max(rgba[0, 0, 3], rgba[0, -1, 3], rgba[-1, 0, 3]) < 8
    assert rgba[-1, -1].tolist() == [252, 255, 164, 255]

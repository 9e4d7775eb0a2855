"""HEIC and AVIF: what is shown is what is decoded, once turned and once cut, and nothing costly is decoded at all."""

import subprocess
import sys
from dataclasses import replace
from io import BytesIO

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from lenslet.inference import heif
from lenslet.inference.coded_size import coded_size
from lenslet.inference.decode import decode, format_of
from lenslet.inference.errors import BrokenImage, ImageTooLarge, NotAnImage
from lenslet.inference.heif import upright_size
from lenslet.inference.heif_container import read_still, rewritten
from tests.support.heif import avif, boxes_of, deep_heic, grid, heic, with_property
from tests.support.photos import BLUE, GREEN, RED, YELLOW, flat, quadrants, read_quadrants

PHOTO = quadrants("RGBY")
HEIC, AVIF = heic(PHOTO), avif(PHOTO)
# EXIF 2.32, section 4.6.4: what the stored quadrants RGBY show when turned upright.
SHOWN = {1: "RGBY", 2: "GRYB", 3: "YBGR", 4: "BYRG", 5: "RBGY", 6: "BRYG", 7: "YGBR", 8: "GYRB"}


def avif_turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return avif(PHOTO, exif=exif)


def near(data: bytes, colour: tuple[int, int, int], size: int = 8) -> bool:
    return bool(np.abs(decode(data, size).astype(int) - colour).max() <= 3)


@pytest.mark.parametrize("orientation", SHOWN)
def test_picture_is_turned_once(orientation: int) -> None:
    turned = heic(PHOTO, orientation)
    assert b"irot" in turned or b"imir" in turned or orientation == 1
    assert read_quadrants(decode(turned, 32)) == SHOWN[orientation]
    assert read_quadrants(decode(avif_turned(orientation), 32)) == SHOWN[orientation]
    assert upright_size(turned) == ((64, 96) if orientation > 4 else (96, 64))


def test_exif_orientation_without_a_rotation_of_the_container_is_ignored() -> None:
    assert read_quadrants(decode(heic(PHOTO, 6).replace(b"irot", b"free"), 32)) == "RGBY"


def test_mirroring_before_rotation_is_applied_in_this_order() -> None:
    # irot 1 (anticlockwise), imir 0 (top and bottom): RG/BY → GY/RB → RB/GY. Exchanged: BY/RG → YG/BR.
    turned = heic(PHOTO, 5)
    names = [kind for kind, _, _ in boxes_of(turned) if kind in (b"irot", b"imir")]
    assert names == [b"irot", b"imir"]
    exchanged = turned.replace(b"irot", b"    ").replace(b"imir", b"irot").replace(b"    ", b"imir")
    contents = [exchanged[start + 8] for kind, start, _ in boxes_of(exchanged) if kind in (b"imir", b"irot")]
    assert contents == [1, 0] or contents == [3, 1]
    # 90° × its new content after a flip by its new content
    flip, quarters = contents
    picture = PHOTO.transpose(
        Image.Transpose.FLIP_LEFT_RIGHT if flip & 1 else Image.Transpose.FLIP_TOP_BOTTOM
    ).rotate(90 * quarters, expand=True)
    assert read_quadrants(decode(exchanged, 32)) == read_quadrants(np.asarray(picture.resize((32, 32))))


def test_odd_sides_are_cut_where_the_file_says() -> None:
    odd = heic(Image.new("RGB", (97, 65), RED))
    assert read_still(odd).crop == (0, 0, 97, 65)  # x265 stores 98 × 66
    assert near(odd, (254, 0, 0)) and upright_size(odd) == (97, 65)


@pytest.mark.parametrize("chroma", [420, 422, 444])
def test_chroma(chroma: int) -> None:
    assert read_quadrants(decode(heic(PHOTO, chroma=chroma), 32)) == "RGBY"
    name = {420: "4:2:0", 422: "4:2:2", 444: "4:4:4"}[chroma]
    assert read_quadrants(decode(avif(PHOTO, subsampling=name), 32)) == "RGBY"


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
@pytest.mark.parametrize("write", [heic, avif])
def test_grey_and_alpha(write, mode: str) -> None:
    grey = flat((90, 90, 90)).convert(mode)
    assert near(write(grey), (90, 90, 90))
    if mode in ("LA", "RGBA"):
        grey.putalpha(0)
        assert near(write(grey), (255, 255, 255))
        grey.putalpha(128)  # 90 × 128/255 + 255 × 127/255
        assert near(write(grey), (172, 172, 172))


def test_premultiplied_alpha() -> None:
    file = BytesIO()
    half = np.full((64, 64, 4), (45, 45, 45, 128), np.uint8)  # 90 at alpha 128
    pillow_heif.encode("RGBa", (64, 64), half.tobytes(), file, quality=95)
    assert read_still(file.getvalue()).is_premultiplied
    assert near(file.getvalue(), (172, 172, 172))


@pytest.mark.parametrize("bits", [10, 12])
def test_deep_colours_are_scaled(bits: int) -> None:
    colours = np.zeros((64, 96, 3), np.uint16)
    colours[:] = (65_535, 32_896, 0)  # 255, 128, 0
    assert near(deep_heic(colours, bits), (255, 128, 0))


def test_first_picture_of_a_sequence() -> None:
    moving = avif(PHOTO, save_all=True, append_images=[PHOTO.transpose(Image.Transpose.ROTATE_180)])
    assert moving[8:12] == b"avis"
    assert read_quadrants(decode(moving, 32)) == "RGBY"
    start, end = next((start, end) for kind, start, end in boxes_of(moving) if kind == b"meta")
    with pytest.raises(BrokenImage, match="a sequence without a cover picture"):
        decode(moving[:start] + moving[end:], 32)


def test_primary_picture_of_several() -> None:
    several = pillow_heif.HeifFile()
    for picture in (PHOTO, PHOTO.transpose(Image.Transpose.FLIP_LEFT_RIGHT), PHOTO):
        several.add_from_pillow(picture)
    file = BytesIO()
    several.save(file, quality=95, primary_index=1)
    assert read_quadrants(decode(file.getvalue(), 32)) == "GRYB"


@pytest.mark.parametrize("write", [heic, avif])
def test_grid(write) -> None:
    tiles = [write(flat(colour, size=(64, 64))) for colour in (RED, GREEN, BLUE, YELLOW)]
    assert read_quadrants(decode(grid(tiles, 2, (128, 128)), 32)) == "RGBY"
    clear = Image.new("RGBA", (64, 64), (10, 20, 30, 0))
    assert near(grid([write(clear)] * 4, 2, (128, 128)), (255, 255, 255))


def test_large_picture_is_reduced_as_a_whole() -> None:
    """In bands of 512 rows, and at the edge of the picture, like Pillow's own `reduce`."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (1030, 260, 3), np.uint8))
    data = heic(noise)
    image, orientation = heif.open_still(data, 16, ("HEIC",))
    whole = pillow_heif.open_heif(data).to_pillow()
    assert orientation == 1 and image.size == (33, 129)
    assert np.array_equal(np.asarray(image), np.asarray(whole.reduce(8)))


def test_narrowed_formats() -> None:
    with pytest.raises(
        NotAnImage, match=r"the data are HEIC, which is not read here; convert .* \(JPEG, AVIF\)"
    ):
        decode(HEIC, 16, ("JPEG", "AVIF"))
    with pytest.raises(NotAnImage, match="the data are AVIF, which is not read here"):
        decode(AVIF, 16, ("JPEG", "HEIC"))
    # Both may have the brand of HEIF; the codec tells.
    assert read_quadrants(decode(HEIC.replace(b"ftypheic", b"ftypmif1"), 32, ("HEIC",))) == "RGBY"
    anonymous = AVIF.replace(b"ftypavif", b"ftypmif1")
    assert format_of(anonymous) == "AVIF"
    disguised = AVIF.replace(b"avif", b"heic")
    assert format_of(disguised) == "HEIC"
    with pytest.raises(NotAnImage, match="the data are AVIF, which is not read here"):
        decode(disguised, 16, ("HEIC",))


@pytest.mark.parametrize("data", [HEIC, AVIF], ids=["HEIC", "AVIF"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.85])
def test_truncated_heif(data: bytes, share: float) -> None:
    with pytest.raises(BrokenImage, match=r"truncated|damaged"):
        decode(data[: int(share * len(data))], 16)


def test_other_codecs_are_named() -> None:
    with pytest.raises(BrokenImage, match="coded in a way that is not read: jpeg"):
        decode(HEIC.replace(b"hvc1", b"jpeg"), 16)


@pytest.mark.parametrize("data", [HEIC, AVIF], ids=["HEIC", "AVIF"])
def test_declared_size_is_refused_before_decoding(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(*_: object) -> None:
        raise AssertionError("was decoded")

    monkeypatch.setattr(heif, "rewritten", decoded)
    huge = with_property(data, b"ispe", bytes(4) + (10_000).to_bytes(4, "big") + (6_000).to_bytes(4, "big"))
    with pytest.raises(ImageTooLarge, match="has 60,000,000 pixels; the limit is 50,000,000"):
        decode(huge, 16)


@pytest.mark.parametrize("data", [HEIC, AVIF], ids=["HEIC", "AVIF"])
def test_size_in_the_bitstream_counts_too(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    small = with_property(data, b"ispe", bytes(7) + b"\x08" + bytes(3) + b"\x08")
    picture = read_still(small).picture
    assert picture.size == (8, 8)
    assert (coded_size(picture).width, coded_size(picture).height) == (96, 64)
    monkeypatch.setattr(heif, "MAX_PIXELS", 6000)
    with pytest.raises(ImageTooLarge, match="has 6,144 pixels; the limit is 6,000"):
        decode(small, 16)


@pytest.mark.parametrize("data", [HEIC, AVIF], ids=["HEIC", "AVIF"])
def test_frames_that_are_never_shown_are_counted(data: bytes) -> None:
    still = read_still(data)
    many = replace(still, picture=replace(still.picture, data=still.picture.data * 20_000))
    with pytest.raises(ImageTooLarge, match=r"has [234],\d{3} milliseconds to decode; the limit is 2,000"):
        decode(rewritten(many), 16)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("AVIF 4:4:4", (avif(PHOTO, subsampling="4:4:4"), 3.0)),
        ("AVIF 4:2:0", (AVIF, 1.5)),
        ("HEIC 4:2:0", (HEIC, 1.5)),
        ("HEIC 4:4:4", (heic(PHOTO, chroma=444), 3.0)),
        ("HEIC grey", (heic(PHOTO.convert("L")), 1.0)),
        ("HEIC 10 bits", (deep_heic(np.zeros((64, 96, 3), np.uint16), chroma=420), 3.0)),
    ],
)
def test_bytes_of_a_pixel(name: str, size: tuple[bytes, float]) -> None:
    data, expected = size
    assert coded_size(read_still(data).picture).bytes_per_pixel == expected


def test_metadata_does_not_reach_the_decoder() -> None:
    exif = Image.Exif()
    exif[0x010E] = "SECRET" * 1000
    file = BytesIO()
    pillow_heif.from_pillow(PHOTO).save(file, exif=exif.tobytes())
    assert file.getvalue().count(b"SECRET") == 1000
    assert b"SECRET" not in rewritten(read_still(file.getvalue()))


@pytest.mark.slow
def test_decoders_are_loaded_by_the_first_such_picture() -> None:
    script = (
        "import sys, lambda_func; print({'pi_heif', 'PIL.AvifImagePlugin'} & set(sys.modules)); "
        "from lenslet.inference.decode import decode; decode(sys.stdin.buffer.read(), 8); "
        "print({'pi_heif', 'PIL.AvifImagePlugin'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], input=HEIC, capture_output=True, check=True)
    assert done.stdout.decode().splitlines() == ["set()", "{'pi_heif'}"]

"""data/sample: is it whole, small, and what data/make_sample.py draws?"""

import platform
import sys
from collections import Counter
from pathlib import Path

import PIL
import pytest
from PIL import Image

DATA = Path(__file__).parent.parent / "data"
SAMPLE = DATA / "sample"
# As when it runs: the folder of a command is where its imports start.
sys.path.append(str(DATA))

import make_sample  # noqa: E402

CLASSES = ["buildings", "forest", "glacier", "mountain", "sea", "street"]


def drawing_of(path: str) -> make_sample.Drawing:
    (found,) = [drawing for drawing in make_sample.plan(make_sample.SEED) if drawing.path == Path(path)]
    return found


@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64") or int(PIL.__version__.split(".")[0]) < 13,
    reason="on other processors, and drawn by an older Pillow, a pixel may differ by a shade",
)
@pytest.mark.parametrize(
    "path",
    [
        "train/buildings/00.jpg",
        "train/forest/29.jpg",
        "train/street/17.jpg",
        "test/glacier/09.jpg",
        "test/mountain/03.jpg",
        "test/sea/05.jpg",
        "unlabelled/07.jpg",
    ],
)
def test_a_picture_drawn_again_by_itself_has_the_committed_bytes(path: str) -> None:
    assert make_sample.draw(drawing_of(path), make_sample.SEED) == (SAMPLE / path).read_bytes()


def test_another_seed_draws_another_picture() -> None:
    committed = (SAMPLE / "train/sea/00.jpg").read_bytes()
    assert make_sample.draw(drawing_of("train/sea/00.jpg"), make_sample.SEED + 1) != committed


@pytest.mark.parametrize(("split", "count"), [("train", 30), ("test", 10)])
def test_every_class_has_its_pictures(split: str, count: int) -> None:
    folders = {folder.name: len(list(folder.glob("*.jpg"))) for folder in (SAMPLE / split).iterdir()}
    assert folders == dict.fromkeys(CLASSES, count)


def test_unlabelled_pictures_are_two_of_each_class_and_their_order_tells_nothing() -> None:
    unlabelled = [
        drawing for drawing in make_sample.plan(make_sample.SEED) if drawing.path.parts[0] == "unlabelled"
    ]
    scenes = [drawing.scene for drawing in unlabelled]
    assert Counter(scenes) == dict.fromkeys(CLASSES, 2)
    assert scenes != sorted(scenes)
    assert sorted(path.name for path in (SAMPLE / "unlabelled").iterdir()) == [
        "00.jpg", "01.jpg", "02.jpg", "03.jpg", "04.jpg", "05.jpg",
        "06.jpg", "07.jpg", "08.jpg", "09.jpg", "10.jpg", "11.jpg",
    ]  # fmt: skip


def test_pictures_are_all_different_small_rgb_jpegs_of_2_mb_in_all() -> None:
    paths = [path for path in SAMPLE.rglob("*") if path.is_file()]
    for path in paths:
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (150, 150)), path
    assert len(paths) == len({path.read_bytes() for path in paths}) == 252
    assert sum(path.stat().st_size for path in paths) <= 2_000_000


def test_the_command_writes_the_plan_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    two = [drawing_of("train/sea/00.jpg"), drawing_of("unlabelled/00.jpg")]
    monkeypatch.setattr(make_sample, "plan", lambda seed: two)
    assert make_sample.main(["--out", str(tmp_path)]) == 0
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {"train/sea/00.jpg", "unlabelled/00.jpg"}
    assert capsys.readouterr().out == f"2 pictures: {tmp_path}\n"

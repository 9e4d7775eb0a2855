"""The arithmetic of the training benchmark on numbers written by hand; what trains is slow."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import training
from bench.goals import judge, verdicts_text
from lenslet.dataset.photos import DatasetError
from lenslet.inference.decode import decode
from tests.support.photos import BLUE, GREEN, RED, plain

MEDIANS = {
    "head": {"here": 20.0, "tutorial": 99.0},
    "fine_tune": {"here": 30.0, "tutorial": 24.0},
    "head_epochs": {"here": 12.0},
}


def test_goals_are_judged_by_ratios():
    verdicts = [(verdict.value, verdict.is_kept) for verdict in judge(training.GOALS, MEDIANS)]
    assert verdicts == [
        (pytest.approx(4.95), False),  # 99 / 20: not quite five times
        (1.25, True),  # 30 / 24: photos per second, more is better
    ]


def test_goal_without_its_figures_is_not_measured():
    [_, verdict] = judge(training.GOALS, {"head": MEDIANS["head"]})
    assert (verdict.value, verdict.is_kept) == (None, False)
    assert verdicts_text([verdict]).splitlines() == ["not measured fine-tuning: at least 1.2 × the tutorial"]


def test_table_shows_both_sides_and_how_many_times_faster():
    lines = [line.split("  ") for line in training.table(MEDIANS).splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells == [
        ["this trainer", "tutorial", "ratio"],
        ["head, nothing cached (s)", "20.0", "99.0", "4.95×"],
        ["fine-tuning (photos/s)", "30.0", "24.0", "1.25×"],
        ["epochs of the head", "12"],
    ]


@pytest.fixture
def found(tmp_path: Path) -> Path:
    for label, colour in (("blue", BLUE), ("red", RED)):
        for split, count in (("train", 15), ("test", 4)):
            folder = tmp_path / "photos" / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.PNG").write_bytes(plain(colour if split == "train" else GREEN))
    (tmp_path / "photos" / "train" / "red" / "a.webp").write_bytes(plain(GREEN, "WEBP"))
    return tmp_path / "photos"


@pytest.mark.slow
def test_both_sides_get_the_same_training_photos(found: Path, tmp_path: Path):
    from bench.trainers import lay_out

    counts = lay_out(found, 10, 3, tmp_path / "links")
    assert counts == {"train": 18, "val": 2, "test": 2}
    links = sorted((tmp_path / "links").glob("*/*/*"))
    assert {path.suffix for path in links} == {".png"}
    assert len({path.resolve() for path in links}) == 22  # none in two splits
    colours = {"blue": [0, 0, 255], "red": [255, 0, 0]}  # no green one: test photos and what Keras skips
    assert all(decode(path.read_bytes(), 8)[0, 0].tolist() == colours[path.parent.name] for path in links)


@pytest.mark.slow
def test_as_many_as_there_are_is_enough_and_too_few_are_refused(found: Path, tmp_path: Path):
    from bench.trainers import lay_out

    counts = lay_out(found, 1000, 3, tmp_path / "all")
    assert counts == {"train": 26, "val": 2, "test": 2}
    for number in range(13):
        (found / "train" / "blue" / f"{number}.PNG").unlink()
    with pytest.raises(DatasetError, match=r"class 'blue' needs 3 photos to train on, ending in \.jpg"):
        lay_out(found, 10, 3, tmp_path / "few")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "nosuch"], "nosuch does not exist"),
        (["--params", "nosuch.yaml"], "nosuch.yaml cannot be read"),
    ],
)
def test_bad_input_is_one_sentence(options: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert training.main(options) == 2
    assert capsys.readouterr().err.startswith(message)


def test_tutorial_epochs_are_not_negative(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        training.main(["--tutorial-epochs", "-1"])
    assert "'-1' is not a whole number" in capsys.readouterr().err


@pytest.mark.slow
def test_epochs_that_did_not_run_take_what_the_later_ones_took():
    from bench.trainers import projected

    assert projected([9.0, 2.0, 4.0, 3.0], epochs=4) == 18.0
    assert projected([9.0, 2.0, 4.0, 3.0], epochs=10) == 18.0 + 6 * 3.0


@pytest.mark.slow
def test_both_sides_start_from_the_same_network(found: Path, tmp_path: Path):
    """Augmentation rests outside of training: the tutorial's head must see this trainer's features."""
    import numpy as np

    from bench import trainers
    from lenslet.config import BackboneParams, read_params
    from lenslet.network.assembly import build_feature_extractor
    from lenslet.network.backbones import build_backbone

    job = SimpleNamespace(data=found, params="params.yaml", folder=tmp_path, photos=10)
    shipped = replace(read_params(Path("params.yaml")).train, image_size=160)
    assert trainers.prepare(job, shipped).endswith("160 px")
    backbone = BackboneParams("mobilenet_v2", str(tmp_path / "weights.keras"), "all")
    params = replace(shipped, backbone=backbone)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 160, 160, 3), np.uint8)
    ours = build_feature_extractor(build_backbone(params.backbone), params).predict(pixels, verbose=0)
    model = trainers.tutorial_model(job, params, [])
    kernel, bias = model.layers[-1].get_weights()
    np.testing.assert_allclose(model.predict(pixels, verbose=0), ours @ kernel + bias, atol=1e-3)

"""Data lint on drawn photos: what is found, what is not, what is refused, and how labels are suspected."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import imagehash
import numpy as np
import pytest
import yaml
from PIL import Image, ImageEnhance

from lenslet.cli import main
from lenslet.config import TrainParams, read_params
from lenslet.dataset import hash_pairs
from lenslet.dataset.duplicates import cluster_names
from lenslet.dataset.hash_pairs import similar_pairs
from lenslet.dataset.label_errors import confident_disagreement
from lenslet.dataset.lint import KINDS, Finding, lint, summarize, write_findings
from lenslet.dataset.reading import read_dataset
from tests.support.photos import BLUE, GREEN, RED, plain

GREY = (128, 128, 128)


def scene(seed: int, side: int = 96, colour: tuple[int, int, int] = GREY) -> Image.Image:
    """Blotches of light and shade around a colour, with grain: every seed another scene."""
    generator = np.random.default_rng(seed)
    blotches = generator.integers(-60, 61, (8, 8, 1)) + np.array(colour) * 0.5 + 60
    picture = Image.fromarray(np.clip(blotches, 0, 255).astype(np.uint8))
    soft = np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray(
        np.clip(soft + generator.integers(-25, 26, (side, side, 1)), 0, 255).astype(np.uint8)
    )


def save(picture: Image.Image, path: Path, quality: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=quality)


def draw_class(folder: Path, count: int, first_seed: int) -> None:
    for number in range(count):
        save(scene(first_seed + number), folder / f"{number:02}.jpg")


def cropped(picture: Image.Image) -> Image.Image:
    """Without 2 % at each side."""
    edge = round(0.02 * picture.width)
    return picture.crop((edge, edge, picture.width - edge, picture.height - edge))


@pytest.fixture
def params() -> TrainParams:
    return replace(read_params(Path("params.yaml")).train, image_size=64, validation_fraction=0.1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of twelve different scenes in each of the three splits."""
    for number, split in enumerate(("train", "val", "test")):
        draw_class(tmp_path / "photos" / split / "hill", 12, first_seed=1000 * number)
        draw_class(tmp_path / "photos" / split / "lake", 12, first_seed=1000 * number + 500)
    return tmp_path / "photos"


@pytest.fixture
def found(folder: Path, params: TrainParams, tmp_path: Path) -> Callable[[], list[tuple[str, str, str]]]:
    """Lints the folder as it is when called: kind, path and other of each finding, without the folder's name."""

    def names() -> list[tuple[str, str, str]]:
        dataset = read_dataset(folder, params, tmp_path / "cache")
        return [
            (
                each.kind,
                str(each.path.relative_to(folder)),
                str(each.other.relative_to(folder)) if each.other else "",
            )
            for each in lint(dataset, tmp_path / "cache")
        ]

    return names


def test_different_photos_give_no_finding(found) -> None:
    assert found() == []


def test_every_kind_of_copy_is_found_beside_its_original(found, folder: Path) -> None:
    hill, lake = folder / "train" / "hill", folder / "train" / "lake"
    shutil.copy(hill / "00.jpg", hill / "exact.jpg")
    save(scene(1), hill / "recoded.jpg", quality=30)
    save(scene(2).resize((50, 40)), hill / "smaller.png")
    save(ImageEnhance.Brightness(scene(3)).enhance(1.2), hill / "brighter.webp")
    save(cropped(scene(4)), hill / "cropped.jpg")
    save(scene(5).convert("L"), hill / "grey.jpg")
    shutil.copy(hill / "06.jpg", lake / "moved.jpg")
    shutil.copy(hill / "07.jpg", folder / "test" / "hill" / "leaked.jpg")
    save(scene(8), folder / "val" / "hill" / "leaked.jpg", quality=40)
    (lake / "broken.jpg").write_bytes((lake / "00.jpg").read_bytes()[:500])
    assert sorted(found()) == sorted(
        [
            ("unreadable", "train/lake/broken.jpg", ""),
            ("leak", "train/hill/07.jpg", "test/hill/leaked.jpg"),
            ("leak", "train/hill/08.jpg", "val/hill/leaked.jpg"),
            ("two labels", "train/hill/06.jpg", "train/lake/moved.jpg"),
            ("exact copy", "train/hill/exact.jpg", "train/hill/00.jpg"),
            ("near copy", "train/hill/recoded.jpg", "train/hill/01.jpg"),
            ("near copy", "train/hill/smaller.png", "train/hill/02.jpg"),
            ("near copy", "train/hill/brighter.webp", "train/hill/03.jpg"),
            ("near copy", "train/hill/cropped.jpg", "train/hill/04.jpg"),
            ("near copy", "train/hill/grey.jpg", "train/hill/05.jpg"),
        ]
    )


def test_a_leak_under_another_label_is_two_findings(found, folder: Path) -> None:
    shutil.copy(folder / "test" / "lake" / "03.jpg", folder / "val" / "hill" / "twice.jpg")
    assert found() == [
        ("leak", "val/hill/twice.jpg", "test/lake/03.jpg"),
        ("two labels", "val/hill/twice.jpg", "test/lake/03.jpg"),
    ]


def test_a_photo_that_is_there_three_times_is_two_findings(found, folder: Path) -> None:
    hill = folder / "train" / "hill"
    shutil.copy(hill / "00.jpg", hill / "x.jpg")
    shutil.copy(hill / "00.jpg", hill / "y.jpg")
    assert [finding[:2] for finding in found()] == [
        ("exact copy", "train/hill/x.jpg"),
        ("exact copy", "train/hill/y.jpg"),
    ]


def test_pictures_without_detail_and_of_other_colours_are_no_copies(found, folder: Path) -> None:
    hill = folder / "train" / "hill"
    for name, colour in (("red", RED), ("green", GREEN), ("blue", BLUE)):
        (hill / f"flat-{name}.png").write_bytes(plain(colour, side=64))
        save(scene(77, colour=colour), hill / f"scene-{name}.png")
    (hill / "flat-darker.png").write_bytes(plain((240, 0, 0), side=64))
    assert {finding[0] for finding in found()} == {"blank"}
    shutil.copy(hill / "flat-red.png", hill / "flat-red-again.png")
    assert [finding for finding in found() if finding[0] != "blank"] == [
        ("exact copy", "train/hill/flat-red.png", "train/hill/flat-red-again.png")
    ]


def test_odd_sizes_are_judged_against_the_model_s_input(found, folder: Path) -> None:
    hill = folder / "train" / "hill"
    save(scene(300).resize((32, 40)), hill / "half.png")  # 64 / 2: just large enough
    save(scene(301).resize((31, 40)), hill / "less.png")
    save(scene(302).resize((8, 9)), hill / "tiny.png")
    save(scene(303).resize((300, 100)), hill / "three.png")  # 3 to 1: just square enough
    save(scene(304).resize((301, 100)), hill / "wide.png")
    save(scene(305).resize((100, 900)), hill / "tall.png")
    assert [finding for finding in found() if finding[0] != "blurred"] == [
        ("small", "train/hill/tiny.png", ""),
        ("small", "train/hill/less.png", ""),
        ("narrow", "train/hill/tall.png", ""),
        ("narrow", "train/hill/wide.png", ""),
    ]


@pytest.mark.parametrize(("photos", "is_rare"), [(9, True), (10, False)])
def test_class_of_few_photos_is_rare(photos: int, is_rare: bool, params: TrainParams, tmp_path: Path) -> None:
    draw_class(tmp_path / "photos" / "hill", 20, first_seed=0)
    draw_class(tmp_path / "photos" / "lake", photos, first_seed=500)
    findings = lint(read_dataset(tmp_path / "photos", params, tmp_path / "cache"), tmp_path / "cache")
    rare = Finding("rare class", tmp_path / "photos" / "lake", "9 photos of lake, 20 of hill")
    assert findings == ([rare] if is_rare else [])


@pytest.mark.parametrize(("photos", "is_rare"), [(121, True), (120, False)])
def test_class_below_a_tenth_of_the_largest_is_rare(
    photos: int, is_rare: bool, params: TrainParams, tmp_path: Path
) -> None:
    draw_class(tmp_path / "photos" / "hill", photos, first_seed=0)
    draw_class(tmp_path / "photos" / "lake", 12, first_seed=500)
    findings = lint(read_dataset(tmp_path / "photos", params, tmp_path / "cache"), tmp_path / "cache")
    assert [finding.kind for finding in findings] == ["rare class"] * is_rare


def test_class_is_not_called_rarer_than_itself(params: TrainParams, tmp_path: Path) -> None:
    for number, name in enumerate(("hill", "lake")):
        draw_class(tmp_path / "photos" / name, 9, first_seed=500 * number)
    findings = lint(read_dataset(tmp_path / "photos", params, tmp_path / "cache"), tmp_path / "cache")
    assert [finding.detail for finding in findings] == ["9 photos of hill", "9 photos of lake"]


def test_similar_pairs_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_pairs, "BLOCK", 2)  # pairs within a block and across blocks
    bits = np.random.default_rng(0).random((6, 256)) < 0.5
    bits[3] = bits[0]
    bits[3, :64] ^= True  # 64 of 256 bits: still alike
    bits[4] = bits[5] = bits[1]
    bits[4:, :65] ^= True  # one bit more: not alike, but for the two of them
    colours = np.full((6, 3), 100, np.float32)
    assert similar_pairs(bits, colours).tolist() == [[0, 3, 64], [4, 5, 0]]
    colours[3] = (164, 164, 164)
    assert similar_pairs(bits, colours).tolist() == [[0, 3, 64], [4, 5, 0]]
    colours[3] = (165, 164, 164)
    assert similar_pairs(bits, colours).tolist() == [[4, 5, 0]]


def test_many_hashes_are_compared_by_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 3,000 hashes, 200 have a copy 20 bits apart: all are found, as by comparing all with all."""
    generator = np.random.default_rng(1)
    bits = generator.random((3000, 256)) < 0.5
    for number in range(200):
        bits[2800 + number] = bits[number]
        bits[2800 + number, generator.choice(256, 20, replace=False)] ^= True
    colours = np.full((3000, 3), 100, np.float32)
    expected = [[number, 2800 + number, 20] for number in range(200)]
    assert similar_pairs(bits, colours).tolist() == expected
    monkeypatch.setattr(hash_pairs, "MOST_COMPARED_ALL", 100)
    assert similar_pairs(bits, colours).tolist() == expected


def test_pairs_are_bounded_where_all_pictures_look_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_pairs, "MAX_PAIRS", 10)
    bits = np.tile(np.arange(256) % 2 == 0, (100, 1))
    bits[1, 0] ^= True
    for most in (100, 10):
        monkeypatch.setattr(hash_pairs, "MOST_COMPARED_ALL", most)
        pairs = similar_pairs(bits, np.zeros((100, 3), np.float32))
        assert len(pairs) == 10
        assert pairs[:, 2].max() == 0


def test_clusters_are_named_by_their_smallest_checksum() -> None:
    # 4 is alike to 0, 0 to 2; the second "dd" is a copy of the first; "bb" is alone.
    hashes = ["cc", "dd", "aa", "bb", "ee", "dd"]
    pairs = np.array([[0, 4, 10], [0, 2, 20]])
    assert cluster_names(hashes, pairs) == ["aa", "dd", "aa", "bb", "aa", "dd"]


def test_hashes_are_made_once(found, monkeypatch: pytest.MonkeyPatch) -> None:
    first = found()

    def fail(*arguments: object) -> None:
        raise AssertionError("hashed again")

    monkeypatch.setattr(imagehash, "phash", fail)
    assert found() == first


def test_confident_disagreement_by_hand() -> None:
    # Mean self-confidence: class 0: (0.9 + 0.7 + 0.2 + 0.6) / 4 = 0.6; class 1: (0.8 + 0.6 + 0.1) / 3 = 0.5.
    first_class = [0.9, 0.7, 0.2, 0.6, 0.2, 0.4, 0.9]
    probabilities = np.array([[each, 1 - each] for each in first_class], np.float32)
    targets = np.array([0, 0, 0, 0, 1, 1, 1])
    # The seventh by a margin of 0.8, the third by 0.6.
    assert confident_disagreement(probabilities, targets) == [(6, 0), (2, 1)]
    # Of three classes: photo 3 is likelier 1 than 0, but less than class 1 usually is of its own: not suspected.
    probabilities = np.array(
        [[0.8, 0.1, 0.1], [0.1, 0.9, 0.0], [0.1, 0.0, 0.9], [0.30, 0.45, 0.25]], np.float32
    )
    assert confident_disagreement(probabilities, np.array([0, 1, 2, 0])) == []


def test_files_that_are_left_out_are_findings_with_a_meaning(params: TrainParams, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for number, name in enumerate(("hill", "lake")):
            seed = 500 * number + 100 * len(split)
            draw_class(tmp_path / "photos" / split / name, 12, first_seed=seed)
    draw_class(tmp_path / "photos" / "unlabelled", 2, first_seed=2000)
    findings = lint(read_dataset(tmp_path / "photos", params, tmp_path / "cache"), tmp_path / "cache")
    left_out = [finding for finding in findings if finding.kind == "no label"]
    assert len(left_out) == 2
    assert all(finding.kind in KINDS for finding in findings)


def test_csv_and_summary(tmp_path: Path) -> None:
    findings = [
        Finding("leak", Path("a, b.jpg"), "train and test, 3 of 256 bits differ", Path("ü.jpg")),
        Finding("small", Path("c.jpg"), "8 × 9 pixels"),
        Finding("small", Path("d.jpg"), "9 × 9 pixels"),
    ]
    write_findings(findings, tmp_path / "new" / "lint.csv")
    with (tmp_path / "new" / "lint.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["kind", "path", "detail", "other"],
            ["leak", "a, b.jpg", "train and test, 3 of 256 bits differ", "ü.jpg"],
            ["small", "c.jpg", "8 × 9 pixels", ""],
            ["small", "d.jpg", "9 × 9 pixels", ""],
        ]
    assert [line.split()[:2] for line in summarize(findings).splitlines()] == [["leak", "1"], ["small", "2"]]
    lines = [line.strip() for line in summarize(findings, shown=1).splitlines()]
    assert lines[1] == "a, b.jpg | ü.jpg: train and test, 3 of 256 bits differ"
    assert lines[3:] == ["c.jpg: 8 × 9 pixels"]
    assert summarize([]) == "nothing was found"
    assert summarize([Finding("no label", Path("e.jpg"), "in no class folder")]) == "nothing else was found"


def test_command_refuses_leaks_in_one_sentence(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "lint.csv"
    options = ["--weights", "none", "--cache", str(tmp_path / "cache"), "--lint-csv", str(table)]
    assert main(["lint", str(folder), *options]) == 0
    assert "nothing was found" in capsys.readouterr().out

    shutil.copy(folder / "train" / "hill" / "07.jpg", folder / "test" / "hill" / "leaked.jpg")
    assert main(["lint", str(folder), *options, "--leaks", "refuse"]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert (
        f"{folder}/train/hill/07.jpg and {folder}/test/hill/leaked.jpg (train and test, every byte"
        in said.err
    )
    assert (
        f"remove those of kind leak in {table}, column path, or leave them out of training with --leaks drop"
        in said.err
    )
    assert "labels are not checked: that takes a backbone with weights" in said.out
    assert table.read_text(encoding="utf-8").splitlines()[1].startswith(f"leak,{folder}/train/hill/07.jpg,")

    assert main(["lint", str(folder), *options, "--leaks", "keep"]) == 0
    assert "\nleak                1  " in capsys.readouterr().out
    assert main(["lint", str(folder), *options]) == 0
    assert "73 files found (split folders): 72 photos used, 1 left out" in capsys.readouterr().out
    assert main(["lint", str(folder / "nowhere"), *options]) == 2
    assert "nowhere does not exist" in capsys.readouterr().err


@pytest.mark.slow
def test_weights_that_are_asked_for_must_be_there(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--cache", str(tmp_path / "cache"), "--lint-csv", str(tmp_path / "lint.csv")]
    assert main(["lint", str(folder), "--weights", "typo.keras", *places]) == 2
    assert "lenslet lint: --weights typo.keras cannot be had: " in capsys.readouterr().err
    assert not (tmp_path / "lint.csv").exists()


def mixed_up_drawings(folder: Path) -> set[str]:
    """The training drawings, three of them in a wrong class; returns the names of these."""
    shutil.copytree("data/sample/train", folder)
    names = set()
    for label, wrong in (("forest", "street"), ("sea", "buildings"), ("glacier", "forest")):
        path = min((folder / label).iterdir())
        path.rename(folder / wrong / f"was-{label}.jpg")
        names.add(f"was-{label}.jpg")
    return names


@pytest.mark.slow
def test_wrong_labels_head_the_list(tmp_path: Path) -> None:
    names = mixed_up_drawings(tmp_path / "photos")
    table = tmp_path / "lint.csv"
    command = [sys.executable, "-m", "lenslet", "lint", tmp_path / "photos", "--lint-csv", table]
    command += ["--weights", "model/model.keras", "--cache", tmp_path / "cache"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "mislabelled" in printed
    with table.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "mislabelled"]
    assert {Path(row["path"]).name for row in rows[:3]} == names
    assert any("was-sea.jpg" in row["path"] and row["detail"].startswith("sea 0.") for row in rows)
    assert len(rows) <= 10


@pytest.mark.slow
def test_training_and_tuning_leave_leaks_out_or_refuse_them(
    folder: Path, params: TrainParams, tmp_path: Path
) -> None:
    content = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    content["train"]["image_size"] = 64
    content["train"]["backbone"] = {"name": "small_cnn", "weights": "none", "layers_unfrozen": "all"}
    content["train"]["fine_tune"] |= {"epochs": 1, "min_steps_per_epoch": 1}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    shutil.copy(folder / "train" / "hill" / "07.jpg", folder / "test" / "hill" / "leaked.jpg")
    places = ["--data", folder, "--params", tmp_path / "params.yaml", "--cache", tmp_path / "cache"]
    places += ["--runs", tmp_path / "runs", "--lint-csv", tmp_path / "lint.csv"]
    train = [sys.executable, "-m", "lenslet", "train", *places, "--out", tmp_path / "model"]
    tune = [sys.executable, "-m", "lenslet", "tune", *places, "--lr-finder", "--report", tmp_path / "report"]
    for command in (train, tune):
        refused = subprocess.run([*command, "--leaks", "refuse"], capture_output=True, text=True, check=False)
        assert refused.returncode == 2
        assert "photos that are in two splits: 1, the first: " in refused.stderr
    assert not (tmp_path / "model").exists()
    dropped = subprocess.run(train, capture_output=True, text=True, check=True)
    assert "\nleak                1  " in dropped.stdout
    assert json.loads((tmp_path / "model" / "training.json").read_text())["photos"]["train"] == 23


def test_names_that_no_file_can_have_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_class(tmp_path / "cat", 12, 0)
    draw_class(tmp_path / "dog", 12, 50)
    rows = [
        {"image": f"{path.parent.name}/{path.name}", "label": path.parent.name}
        for path in sorted(tmp_path.glob("*/*"))
    ]
    rows += [{"image": name, "label": "cat"} for name in ("x\0.jpg", "y" * 300, "\ud800.jpg", "a\nb.jpg")]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.chdir(tmp_path)
    assert main(["lint", "list.jsonl", "--weights", "none", "--set", "train.image_size=16"]) == 0
    with Path("report/lint-list.jsonl/lint.csv").open(newline="", encoding="utf-8") as file:
        missing = [row for row in csv.DictReader(file) if row["kind"] == "missing"]
    assert len(missing) == 4

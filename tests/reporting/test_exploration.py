"""Numbers about photos that can be worked out by hand, and what the pictures of them hold."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lenslet.reporting.exploration import (
    REPEATS,
    file_sizes,
    flat_map,
    learning_curve,
    mean_picture,
    neighbours_alike,
    statistics,
)
from lenslet.reporting.exploration_plots import (
    balance_figure,
    grid_figure,
    history_figure,
    jpeg,
    learning_curve_figure,
    map_figure,
    statistics_figure,
)
from tests.support.photos import RED

NUMBERS = ["brightness", "contrast", "saturation", "warmth (red − blue)", "edges (change per pixel)"]
UPRIGHT = "upright share of the edges"


def step() -> np.ndarray:
    """Black on the left half, white on the right: one upright edge."""
    picture = np.zeros((10, 10, 3), np.uint8)
    picture[:, 5:] = 255
    return picture


def test_statistics_of_one_colour_and_of_one_edge() -> None:
    red = np.full((10, 10, 3), RED, np.uint8)
    found = statistics([red, step(), step().swapaxes(0, 1)])
    assert list(found) == [*NUMBERS, UPRIGHT]
    assert {name: values[0] for name, values in found.items()} == pytest.approx(
        dict(zip(found, [1 / 3, 0, 1, 1, 0, 0.5], strict=True)), abs=1e-6
    )
    # Of ten columns two change by half of the range: the Sobel weights 1, 2, 1 on both sides, over 8.
    assert {name: values[1] for name, values in found.items()} == pytest.approx(
        dict(zip(found, [0.5, 0.5, 0, 0, 0.1, 1], strict=True)), abs=1e-6
    )
    assert found[UPRIGHT][2] == pytest.approx(0)


def test_grey_counts_every_colour_alike() -> None:
    found = statistics([step() * np.array(colour, np.uint8) for colour in np.eye(3, dtype=np.uint8)])
    assert found["contrast"].tolist() == pytest.approx([1 / 6] * 3)
    assert found["edges (change per pixel)"].tolist() == pytest.approx([0.1 / 3] * 3)


def test_black_has_no_saturation() -> None:
    assert statistics([np.zeros((4, 4, 3), np.uint8)])["saturation"].tolist() == [0]


def test_sizes_are_those_of_the_file(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (30, 20)).save(photo)
    found = file_sizes([photo, photo])
    assert (found["width"].tolist(), found["height"].tolist()) == ([30, 30], [20, 20])
    assert found["kilobytes"][0] == photo.stat().st_size / 1000


def test_average() -> None:
    pictures = np.stack([np.full((2, 2, 3), value, np.uint8) for value in (10, 250)])
    assert mean_picture(pictures).tolist() == np.full((2, 2, 3), 130).tolist()


def noise(photos: int = 80, numbers: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Numbers that say nothing of their two labels, and enough of them to learn every label by heart."""
    return np.random.default_rng(3).normal(size=(photos, numbers)).astype(np.float32), np.arange(photos) % 2


def test_learning_curve_tells_learning_from_knowing_by_heart() -> None:
    sizes, fitted, unseen = learning_curve(*noise(), points=3)
    assert sizes.tolist() == [4, 15, 60]
    assert fitted.shape == unseen.shape == (3, REPEATS)
    assert fitted.min() == 1
    assert 0.3 < unseen.mean() < 0.7


def test_learning_curve_rises_with_the_photos() -> None:
    values, targets = noise(200, 20)
    _, _, unseen = learning_curve(values + 0.7 * targets[:, np.newaxis], targets)
    assert unseen[-1].mean() > unseen[0].mean() + 0.1


@pytest.mark.slow
def test_map_keeps_neighbours_together() -> None:
    values, targets = noise(40, 20)
    places = flat_map(values + 20 * targets[:, np.newaxis])
    assert places.shape == (40, 2)
    centres = np.stack([places[targets == number].mean(axis=0) for number in (0, 1)])
    distances = np.linalg.norm(places[:, np.newaxis] - centres, axis=2)
    assert (distances.argmin(axis=1) == targets).all()


def test_neighbours() -> None:
    # Two groups on a line; the last photo of the first group has the other group's label.
    features = np.array([[0], [1], [2], [100], [101], [102]], np.float32)
    targets = np.array([0, 0, 1, 1, 1, 1])
    assert neighbours_alike(features, targets, neighbours=2).tolist() == [0.5, 0.5, 0, 1, 1, 1]


def test_grid_holds_every_picture_under_its_caption() -> None:
    pictures = [np.full((8, 16, 3), value, np.uint8) for value in (0, 100, 200)]
    figure = grid_figure(pictures, ["a", "b\nc", ""], columns=2)
    assert [len(axes.images) for axes in figure.axes] == [1, 1, 1, 0]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a", "b\nc", "", ""]
    with Image.open(BytesIO(jpeg(figure))) as image:
        assert image.format == "JPEG"
        # Two columns of pictures twice as wide as high, two rows: wider than high, in spite of the captions.
        assert image.width > image.height
        grey = np.asarray(image.convert("L"))
    assert {0, 100, 200, 255} <= {value for value in np.unique(grey) if (grey == value).sum() > 500}


def test_bars_of_a_class_stand_one_behind_another() -> None:
    [axes] = balance_figure(["a", "b"], {"train": [3, 5], "test": [1, 2]}).axes
    bars = [(bar.get_x(), bar.get_width()) for bar in axes.patches]
    assert bars == [(0, 3), (0, 5), (3, 1), (5, 2)]


def test_statistics_have_a_box_per_class() -> None:
    values = {name: np.arange(6.0) for name in "abcd"}
    figure = statistics_figure(["no", "yes"], np.array([0, 0, 0, 1, 1, 1]), values)
    drawn = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in drawn] == list("abcd")
    assert [len(axes.patches) for axes in drawn] == [2, 2, 2, 2]
    assert {(1, 1), (4, 4)} <= {tuple(line.get_xdata()) for line in drawn[0].lines}  # the medians


def test_map_rings_mistakes() -> None:
    places, targets = np.arange(8, dtype=np.float32).reshape(4, 2), np.array([0, 0, 1, 1])
    mistaken = np.array([False, False, True, False])
    [axes] = map_figure(["no", "yes"], targets, places, mistaken).axes
    assert axes.collections[-1].get_offsets().tolist() == [[4, 5]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["no", "yes", "mistake"]
    [axes] = map_figure(["no", "yes"], targets, places, np.zeros(4, bool)).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["no", "yes"]


def test_curves_show_means_and_epochs() -> None:
    fitted, unseen = np.array([[1.0, 1.0], [1.0, 1.0]]), np.array([[0.2, 0.4], [0.6, 0.8]])
    [axes] = learning_curve_figure(np.array([10, 20]), fitted, unseen).axes
    assert axes.lines[1].get_ydata().tolist() == pytest.approx([0.3, 0.7])
    metrics = {"accuracy": [0.5, 0.6], "val_accuracy": [0.4, 0.5], "loss": [2, 1], "val_loss": [3, 2]}
    averaged = {"share": [0, 1], "accuracy": [0.5, 0.6], "log_loss": [2, 1]}
    figure = history_figure({"head": {}, "fine_tune": metrics, "average": averaged})
    assert [axes.get_title() for axes in figure.axes] == ["fine tune: accuracy", "fine tune: loss"]
    assert [line.get_ydata().tolist() for line in figure.axes[1].lines] == [[2, 1], [3, 2]]

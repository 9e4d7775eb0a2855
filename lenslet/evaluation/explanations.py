"""Judging explanations: does hiding what they name change the answer more than hiding a circle at the centre?

Deletion and insertion curves: Petsiuk et al. 2018. Grid pointing game: Böhle et al. 2021.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from lenslet.inference.classifier import Classifier, Prediction
from lenslet.inference.explanation import KINDS, margin, stretched, without_details
from lenslet.inference.judged_explanation import NORMALISED_MAP, OCCLUSION

SHARES = (0.1, 0.2, 0.3)  # of the picture's area that is hidden, or shown, at each point of a curve
CIRCLE, RANDOM = "circle at the centre", "random cells"
MOSAICS = 20  # of the pointing game
DIGITS, TINY = 4, 1e-4


@dataclass(frozen=True)
class Judgement:
    """How well one kind of explanation does; in logits, means over the pictures and SHARES."""

    deletion: float  # margin lost when what is named is blurred
    insertion: float  # margin won when only that is sharp
    deletion_gain: float  # deletion less that of the circle
    gain_error: float  # standard error of that difference
    pointing: float  # share of mosaics of four photos whose strongest quadrant is the label's
    time_ms: float  # of one explanation, beside the prediction

    @property
    def beats_circle(self) -> bool:
        return self.deletion_gain > self.gain_error


def judge(
    classifier: Classifier, pixels: NDArray[np.uint8]
) -> tuple[dict[str, Judgement], NDArray[np.float32]]:
    """Judge every kind that the model allows, a circle at the centre, and random cells.

    `pixels`: uint8 RGB, shape (pictures, size, size, 3), of any label. Returns: kind → judgement, and the mean size of
    the activation map in each cell, shape (height, width), which `normalised_map` needs; empty without a map.
    """
    predictions = [classifier.classify(picture) for picture in pixels]
    maps = [each.activation_map for each in predictions if each.activation_map is not None]
    # A cell that is zero in all pictures stays zero.
    scale = np.maximum(np.abs(maps).mean(axis=(0, 3)), TINY) if maps else np.empty((0, 0), np.float32)
    kinds = [kind for kind in KINDS if kind == OCCLUSION or maps]
    random = np.random.default_rng(0)
    curves: dict[str, list[tuple[float, float]]] = {kind: [] for kind in (*kinds, CIRCLE, RANDOM)}
    seconds = dict.fromkeys(curves, 0.0)
    pairs = zip(pixels, predictions, strict=True)
    for picture, prediction in tqdm(
        pairs, "explaining", len(pixels), unit=" photos", leave=False, disable=None
    ):
        index = int(prediction.probabilities.argmax())
        grids: dict[str, NDArray[Any]] = {CIRCLE: _circle(len(picture)), RANDOM: random.normal(size=(5, 5))}
        for kind in kinds:
            started = time.perf_counter()
            grids[kind] = KINDS[kind](classifier.classify, picture, prediction, index, scale)
            seconds[kind] += time.perf_counter() - started
        blurred = without_details(picture)
        nothing = margin(classifier.classify(blurred), index)
        whole = margin(prediction, index)
        for kind, grid in grids.items():
            hidden, shown = _margins(classifier, picture, blurred, index, grid)
            curves[kind].append((whole - hidden, shown - nothing))
    pointing = _pointing(classifier, pixels, predictions, kinds, scale)
    deletions = {kind: np.array(found)[:, 0] for kind, found in curves.items()}
    return {
        kind: Judgement(
            deletion=float(deletions[kind].mean()),
            insertion=float(np.mean(found, axis=0)[1]),
            deletion_gain=float((deletions[kind] - deletions[CIRCLE]).mean()),
            gain_error=float((deletions[kind] - deletions[CIRCLE]).std() / np.sqrt(len(pixels))),
            pointing=pointing.get(kind, 0.25),
            time_ms=1000 * seconds[kind] / len(pixels),
        )
        for kind, found in curves.items()
    }, scale


def choose_explanation(judgements: Mapping[str, Judgement]) -> str | None:
    """The kind with the highest deletion, among those that beat the circle by more than a standard error."""
    fit = [kind for kind in KINDS if kind in judgements and judgements[kind].beats_circle]
    return max(fit, key=lambda kind: judgements[kind].deletion, default=None)


def explanation_table(judgements: Mapping[str, Judgement]) -> str:
    """A table of what was measured, and of what was chosen."""
    circle = judgements[CIRCLE].deletion
    lines = [f"{'explanation':<28}{'deletion':>9}{'circle':>9}{'insertion':>11}{'pointing':>10}{'ms':>8}"]
    for kind, each in judgements.items():
        times = f"{each.deletion / circle:.2f} ×" if circle > 0 else "-"
        lines.append(
            f"{kind.replace('_', ' '):<28}{each.deletion:>9.2f}{times:>9}"
            f"{each.insertion:>11.2f}{each.pointing:>10.2f}{each.time_ms:>8.1f}"
        )
    chosen = choose_explanation(judgements) or "none says more than a circle at the centre"
    return "\n".join([*lines, f"chosen: {chosen.replace('_', ' ')}"])


def explanation_of(
    judgements: Mapping[str, Judgement], scale: NDArray[np.float32], photos: int
) -> dict[str, Any]:
    """As `model.json` keeps it: the chosen kind, what it needs, and how it did beside the circle."""
    kind = choose_explanation(judgements)
    found: dict[str, Any] = {
        "kind": kind,
        "photos": photos,
        "circle_deletion": round(judgements[CIRCLE].deletion, DIGITS),
    }
    if kind:
        found |= {name: round(value, DIGITS) for name, value in asdict(judgements[kind]).items()}
    if kind == NORMALISED_MAP:
        found["cell_scale"] = scale.astype(float).round(DIGITS).tolist()
    return found


def judge_in_subprocess(folder: Path, pixels: NDArray[np.uint8]) -> dict[str, Any]:
    """`judge` a model folder in a process without TensorFlow, for `runtime_check`'s reason; prints the table."""
    with tempfile.TemporaryDirectory() as name:
        np.save(Path(name) / "pixels.npy", pixels)
        command = [sys.executable, "-m", "lenslet.evaluation.explanations", name, str(folder.resolve())]
        subprocess.run(command, cwd=Path(__file__).parents[2], check=True)
        found: dict[str, Any] = json.loads((Path(name) / "explanation.json").read_text(encoding="utf-8"))
    print(found.pop("table"))
    return found


def _circle(size: int) -> NDArray[np.float64]:
    rows, columns = np.mgrid[:size, :size]
    closeness: NDArray[np.float64] = -np.hypot(rows - (size - 1) / 2, columns - (size - 1) / 2)
    return closeness


def _margins(
    classifier: Classifier,
    picture: NDArray[np.uint8],
    blurred: NDArray[np.uint8],
    index: int,
    grid: NDArray[Any],
) -> tuple[float, float]:
    """Means over SHARES of the margin where the strongest part is blurred, and where only that is not."""
    order = np.argsort(-stretched(grid, len(picture)), axis=None, kind="stable")
    margins = []
    for share in SHARES:
        named = np.zeros(picture.shape[:2], bool)
        named.flat[order[: round(share * named.size)]] = True
        hidden = np.where(named[:, :, np.newaxis], blurred, picture)
        shown = np.where(named[:, :, np.newaxis], picture, blurred)
        margins.append([margin(classifier.classify(each), index) for each in (hidden, shown)])
    without, alone = np.mean(margins, axis=0)
    return float(without), float(alone)


def _pointing(
    classifier: Classifier,
    pixels: NDArray[np.uint8],
    predictions: Sequence[Prediction],
    kinds: Sequence[str],
    scale: NDArray[np.float32],
) -> dict[str, float]:
    """Kind → share of mosaics in which the quadrant of a label has the most evidence for it; 0.25 is chance."""
    tops = np.array([int(each.probabilities.argmax()) for each in predictions])
    size = pixels.shape[1] // 2
    random = np.random.default_rng(0)
    hits: dict[str, list[bool]] = {kind: [] for kind in kinds}
    for _ in range(MOSAICS if len(set(tops)) > 1 else 0):
        first = int(random.integers(len(pixels)))
        # Photos of other labels, perhaps one twice.
        others = random.choice(np.flatnonzero(tops != tops[first]), 3)
        place = int(random.integers(4))
        four = [*others[:place], first, *others[place:]]
        small = [np.asarray(Image.fromarray(pixels[each]).resize((size, size))) for each in four]
        mosaic = np.zeros_like(pixels[0])
        mosaic[: 2 * size, : 2 * size] = np.vstack([np.hstack(small[:2]), np.hstack(small[2:])])
        prediction = classifier.classify(mosaic)
        for kind in kinds:
            found = KINDS[kind](classifier.classify, mosaic, prediction, int(tops[first]), scale)
            grid = stretched(found, 2 * size)
            quadrants = grid.reshape(2, size, 2, size).mean(axis=(1, 3))
            hits[kind].append(int(quadrants.argmax()) == place)
    return {kind: float(np.mean(rows)) for kind, rows in hits.items() if rows}


def _main(exchange: Path, folder: Path) -> None:
    """The new process: reads pixels.npy from `exchange`, writes explanation.json into it."""
    pixels = np.load(exchange / "pixels.npy")
    judgements, scale = judge(Classifier.load(folder), pixels)
    found = {**explanation_of(judgements, scale, len(pixels)), "table": explanation_table(judgements)}
    (exchange / "explanation.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]))

"""Drawings for a second model: a first one that has never seen a negative, and negatives with their right labels.

python -m tests.support.retraining loop
"""

import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image, ImageOps

from lenslet.dataset.csv_file import write_cells
from lenslet.labelling.annotations import COLUMNS

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample"
LABELS = "labels.csv"
# Of each class: negatives that are labelled, and others that judge the second model.
LABELLED, JUDGING = 8, 6


def make_drawings(place: Path) -> None:
    """photos/ (the drawings), new/ (negatives without labels) and negatives/ (others, a folder a class)."""
    shutil.copytree(SAMPLE, place / "photos", ignore=shutil.ignore_patterns("unlabelled"))
    (place / "new").mkdir()
    for scene in sorted((SAMPLE / "train").iterdir()):
        for path in sorted(scene.iterdir())[:LABELLED]:
            negative(path, place / "new" / f"{scene.name}-{path.name}")
        for path in sorted((SAMPLE / "test" / scene.name).iterdir())[:JUDGING]:
            negative(path, place / "negatives" / scene.name / path.name)


def negative(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(path) as image:
        ImageOps.invert(image.convert("RGB")).save(target, quality=95)


def first_model(place: Path) -> None:
    """first/, trained on the drawings and evaluated; takes a minute or two."""
    make_drawings(place)
    data, cache = ["--data", str(place / "photos")], ["--cache", str(place / ".cache")]
    model = ["--model", str(place / "first")]
    head = ["--weights", "model/model.keras", "--no-fine-tune", "--name", "drawings"]
    lenslet("train", *data, *cache, "--out", str(place / "first"), "--runs", str(place / "runs"), *head)
    quick = ["--set", "convert.explanation_photos=0", "--set", "convert.precisions=[float16]"]
    lenslet("convert", *data, *cache, *model, *quick)
    lenslet("evaluate", *data, *cache, *model, "--set", "evaluate.corruption_photos=0")


def lenslet(*words: str) -> str:
    """What a command prints, which must end well."""
    done = subprocess.run(
        [sys.executable, "-m", "lenslet", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def write_labels(path: Path) -> None:
    """The list that `lenslet label pull` would write, had somebody labelled all of new/."""
    photos = sorted((path.parent / "new").iterdir())
    rows = [
        (str(photo), photo.name.rpartition("-")[0], "1", "2026-11-28T10:00:00Z", "1.00", "drawings")
        for photo in photos
    ]
    write_cells(path, COLUMNS, rows)


def main() -> None:
    place = Path(sys.argv[1])
    place.mkdir()  # an existing one may hold something else
    first_model(place)


if __name__ == "__main__":
    main()

"""Retraining on photos that people have labelled since: what is new, the list to train on, and how far a run has come.

A run lives in a folder: labels.csv (the annotations), photos.csv (what is trained on), model/, training.log and
state.json, which `lenslet serve --with-training` shows.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lenslet.config import TrainParams
from lenslet.dataset.csv_file import write_cells
from lenslet.dataset.lists import is_link
from lenslet.dataset.photos import DatasetError
from lenslet.dataset.pixel_cache import read_all
from lenslet.dataset.reading import read_dataset
from lenslet.inference.artifact import sha256_of
from lenslet.inference.atomic import write_text
from lenslet.inference.errors import InputError
from lenslet.inference.json_text import parse_json
from lenslet.labelling.annotations import Row
from lenslet.labelling.labelled import find_labelled

STATE_NAME, LOG_NAME = "state.json", "training.log"  # in the folder of a run
STAGES = ("train", "convert", "evaluate", "register")
REGISTERED, REFUSED, FAILED = "registered", "refused", "failed"
LIST_COLUMNS = ("image", "label", "split")
SHRUNK = 0.5  # of the labels of the last training: fewer are taken for an accident


@dataclass(frozen=True)
class State:
    """How far the last run has come; `ended` is "" while it is running, or was killed."""

    id: str
    labels: str  # fingerprint of the labels
    rows: int
    model: str = ""  # name
    stage: str = STAGES[0]
    started: str = ""
    ended: str = ""
    result: str = ""
    figures: dict[str, Any] = field(default_factory=dict)  # "before", "after": of the test photos
    last_labels: str = ""  # of the last run that ended with a model, registered or refused
    last_rows: int = 0

    def save(self, folder: Path) -> None:
        write_text(folder / STATE_NAME, json.dumps(asdict(self), indent=2) + "\n")

    def ended_as(self, result: str, figures: dict[str, Any]) -> "State":
        is_judged = result in (REGISTERED, REFUSED)
        return replace(
            self,
            ended=now(),
            result=result,
            figures=figures,
            last_labels=self.labels if is_judged else self.last_labels,
            last_rows=self.rows if is_judged else self.last_rows,
        )


def read_state(folder: Path) -> State | None:
    """None if there was no run. Raises: InputError if the file is damaged."""
    path = folder / STATE_NAME
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        state = State(**content)
        rows = (state.rows, state.last_rows)
        is_whole = all(type(each) is int and 0 <= each < 1 << 63 for each in rows) and state.stage in STAGES
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read: {error}; remove it to start over") from error
    if not is_whole:
        raise InputError(f"{path} is damaged; remove it to start over")
    return state


def begin(
    before: State | None, rows: Sequence[Row], identity: str, model: str, accepts_fewer: bool
) -> State | None:
    """The run for these labels: a new one, or the interrupted one; None if there is nothing new.

    Raises: InputError if there are fewer than half as many labels as at the last training, unless `accepts_fewer`.
    """
    if not rows:
        raise InputError("there is no label yet: annotate photos, and pull them")
    labels = fingerprint(rows)
    if before and before.last_labels == labels:
        return None
    last_rows = before.last_rows if before else 0
    if len(rows) < SHRUNK * last_rows and not accepts_fewer:
        raise InputError(
            f"there are {len(rows):,} labels, and at the last training there were {last_rows:,}: if that is right, "
            "say --yes"
        )
    is_same = before is not None and before.labels == labels and before.model == model
    if before and is_same and before.result in ("", FAILED):
        return replace(before, ended="", result="")
    last_labels = before.last_labels if before else ""
    return State(
        identity, labels, len(rows), model, started=now(), last_labels=last_labels, last_rows=last_rows
    )


def fingerprint(rows: Sequence[Row]) -> str:
    """Of photos and labels; who gave them, and when, changes nothing."""
    lines = sorted(f"{row.image}\0{row.label}\n" for row in rows)
    return sha256_of("".join(lines).encode(errors="surrogateescape"))


@dataclass(frozen=True)
class Composed:
    """What the list holds: photos of the data, and labelled ones, each once: added + corrected + judging."""

    photos: int
    added: int
    corrected: int  # training photos of the data whose label is now another, or the same
    judging: int  # in the test split or a validation split of the data's own, which stay: models are compared on them

    def text(self) -> str:
        kept = f", {self.judging:,} judge models and stay as they are" if self.judging else ""
        return (
            f"{self.photos:,} photos of the data; of the labels {self.added:,} are added to the training photos, "
            f"{self.corrected:,} replace a label{kept}"
        )


def compose(
    path: Path,
    data: Path,
    rows: Sequence[Row],
    params: TrainParams,
    cache: Path,
    relative_to: Path | None = None,
) -> Composed:
    """Write the list: the photos of `data`, those that only a draw made validate among those to train, and the labelled
    ones to train.

    A labelled photo is one of the data if it has the same content, wherever it lies. Photos below `relative_to` are
    named relative to it, so that folder and list can be moved together. Raises: DatasetError.
    """
    dataset = read_dataset(data, params, cache)
    labelled = find_labelled(rows, cache)
    contents = read_all([photo.path for photo in dataset.photos])
    cells: list[tuple[str, str, str]] = []
    corrected: set[str] = set()
    judging: set[str] = set()
    for photo, content in zip(dataset.photos, contents, strict=True):
        # A training draws its validation photos itself, or needs none (train.calibration).
        is_drawn = photo.split == "validation" and "validation" not in dataset.given_splits
        split = "train" if is_drawn or not photo.split else photo.split
        row = labelled.by_content.get(content.sha256)
        if row is not None:
            (corrected if split == "train" else judging).add(content.sha256)
        label = photo.label if row is None or split != "train" else row.label
        cells.append((str(photo.path.resolve()), label, split))
    of_data = corrected | judging
    added = [row for content, row in labelled.by_content.items() if content not in of_data]
    added += labelled.unreadable  # training leaves them out, and says why
    taken = [*added, *(labelled.by_content[content] for content in corrected)]
    unknown = {row.label for row in taken} - set(dataset.labels)
    if unknown:
        raise DatasetError(
            f"the labels have {', '.join(sorted(unknown))}, of which {data} has no photo: add some for each split"
        )
    cells += [
        (row.image if is_link(row.image) else str(Path(row.image).resolve()), row.label, "train")
        for row in added
    ]
    if relative_to:
        cells = [(path_below(relative_to, place), label, split) for place, label, split in cells]
    write_cells(path, LIST_COLUMNS, cells)
    return Composed(len(dataset.photos), len(added), len(corrected - judging), len(judging))


def path_below(folder: Path, place: str) -> str:
    """The path of a photo in the folder, relative to it; the place itself of others."""
    path, root = Path(place), folder.resolve()
    return str(path.relative_to(root)) if path.is_relative_to(root) else place


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

"""Photos with their labels, and files that are left out with their reasons: what every way in gives."""

from dataclasses import dataclass
from pathlib import Path

from lenslet.inference.errors import InputError

SPLITS = ("train", "validation", "test")
# Reason to leave a file out → what it means, in the order in which they are counted on the screen.
LEFT_OUT = {
    "unreadable": "no photo that can be read",
    "missing": "named in the list, but not found",
    "no label": "in no class folder, or without a label in the list",
    "labels disagree": "listed under several labels",
    "listed twice": "listed before, under the same label",
    "unlisted": "not named in the list",
    "leak": "the same photo is in a split that judges the model",
    "not in training": "not among the photos that the model was trained and judged on",
    "small class": "its class has too few photos",
    "hidden": "the name of the file or of a folder above it begins with a dot",
    "system": "written by an operating system or a tool",
    "link": "a link that leads nowhere, or back to where it lies",
    "special": "no regular file",
    "archive": "an entry that could not be unpacked safely",
}


@dataclass(frozen=True)
class Photo:
    path: Path
    label: str
    split: str | None  # one of SPLITS; None until `assign_splits` has drawn it
    group: str = ""  # photos of one group (a patient, a scene) stay in one split; "": none is known


@dataclass(frozen=True)
class LeftOut:
    """A file that is no photo of the dataset, and why."""

    path: Path
    reason: str  # a key of LEFT_OUT
    detail: str = ""
    other: Path | None = None  # the photo that a leak is a copy of
    labels: str = ""  # of the two, if they differ


@dataclass(frozen=True)
class Listing:
    """Content of a folder, a list or an archive. Every file found is either in `photos` or in `left_out`."""

    root: Path  # paths are printed relative to it
    layout: str  # title of the row of LAYOUTS that it was read by
    photos: tuple[Photo, ...]
    left_out: tuple[LeftOut, ...]
    classes: frozenset[str] = frozenset()  # of the folders, those that hold no file among them
    notes: tuple[str, ...] = ()  # sentences about a choice that the reader made


class DatasetError(InputError):
    """The folder cannot be trained on; the message is one sentence that names the folder and the remedy."""

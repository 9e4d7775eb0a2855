"""Labelled photos, as they are and damaged, sent to a running endpoint one by one: what it answers and how fast."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import requests
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from lenslet.checks.endpoint import CheckError, Endpoint, connect, encoded, expect, look_up, send_counting
from lenslet.dataset.photos import DatasetError, Photo
from lenslet.dataset.sampling import evenly_spaced
from lenslet.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from lenslet.inference.classifier import Classifier
from lenslet.inference.decode import decode
from lenslet.inference.errors import LensletError

CLEAN = ("clean", 0)

Probabilities = NDArray[np.float64]  # shape (classes,), in the order of the model's labels


@dataclass(frozen=True)
class Shot:
    """One request, and what is known of its photo."""

    cell: tuple[str, int]  # kind of damage and severity, or CLEAN
    photo: Photo
    data: bytes  # a picture file
    target: int  # class index
    expected: Probabilities  # what the local model says


@dataclass(frozen=True)
class Outcome:
    """What came of a shot: probabilities, or an error in one sentence."""

    shot: Shot
    served: Probabilities | None
    error: str
    seconds: float  # of the last attempt, 0 if nothing came back
    refusals: int  # attempts before it that a busy endpoint turned away

    @property
    def is_right(self) -> bool:
        return self.served is not None and int(self.served.argmax()) == self.shot.target

    def agrees(self, tolerance: float) -> bool:
        """Whether the endpoint says what the local model says: the label, and each probability within `tolerance`."""
        if self.served is None or self.served.argmax() != self.shot.expected.argmax():
            return False
        return bool(np.abs(self.served - self.shot.expected).max() <= tolerance)


def prepare(photos: Sequence[Photo], corruption_photos: int, classifier: Classifier) -> list[Shot]:
    """Every photo as it is, then some of them under each kind of damage, each with the local model's answer.

    Damaged pictures are PNG of the model's own size: `decode` gives exactly these pixels again.
    Raises: DatasetError, naming the file, if a photo cannot be read.
    """
    labels, size = classifier.artifact.labels, classifier.artifact.image_size

    def shot(cell: tuple[str, int], photo: Photo, data: bytes, picture: NDArray[np.uint8]) -> Shot:
        probabilities = classifier.classify(picture).probabilities.astype(np.float64)
        return Shot(cell, photo, data, labels.index(photo.label), probabilities)

    files = [photo.path.read_bytes() for photo in photos]
    pictures = [read(photo, data, size) for photo, data in zip(photos, files, strict=True)]
    clean = [shot(CLEAN, *each) for each in zip(photos, files, pictures, strict=True)]
    some = evenly_spaced(len(photos), corruption_photos)
    cells = [(kind, severity) for kind in CORRUPTIONS for severity in SEVERITIES]
    damaged = []
    for kind, severity in tqdm(cells, "damaging photos", unit=" cells", leave=False, disable=None):
        for seed, number in enumerate(some):
            picture = corrupt(pictures[number], kind, severity, seed)
            damaged.append(shot((kind, severity), photos[number], png(picture), picture))
    return clean + damaged


def read(photo: Photo, data: bytes, size: int) -> NDArray[np.uint8]:
    try:
        return decode(data, size)
    except LensletError as error:
        raise DatasetError(f"{photo.path}: {error}") from error


def png(picture: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def fire(
    url: str,
    key: str | None,
    shots: Sequence[Shot],
    labels: Sequence[str],
    clients: int,
    errors_allowed: float,
) -> list[Outcome]:
    """Send the shots, `clients` at a time, and judge each answer by the model's `labels`.

    Ends early when more than `errors_allowed` have failed: an endpoint that broke down would cost a time-out for each
    of the others.
    """
    outcomes: list[Outcome] = []
    lock, is_over = threading.Lock(), threading.Event()
    bar = tqdm(
        total=len(shots), desc="asking", unit=" requests", leave=False, disable=None
    )  # a log gets no bar

    def ask_in_turn(mine: Sequence[Shot]) -> None:
        endpoint = connect(
            url, key
        )  # one for each thread: requests does not promise that a session may be shared
        for shot in mine:
            if is_over.is_set():
                break
            outcome = ask(endpoint, shot, labels)
            with lock:
                outcomes.append(outcome)
                bar.update()
                if sum(each.served is None for each in outcomes) > errors_allowed:
                    is_over.set()

    with bar, ThreadPoolExecutor(clients) as pool:
        try:
            list(pool.map(ask_in_turn, [shots[first::clients] for first in range(clients)]))
        finally:
            is_over.set()  # after Ctrl-C the clients must not go on
    return outcomes


def ask(endpoint: Endpoint, shot: Shot, labels: Sequence[str]) -> Outcome:
    """One prediction, with patience for an endpoint that says that it is busy."""
    seconds, refusals = 0.0, 0
    try:
        response, refusals = send_counting(endpoint, "POST", "/predict", json={"image": encoded(shot.data)})
        seconds = response.elapsed.total_seconds()
        return Outcome(shot, probabilities_of(response, labels), "", seconds, refusals)
    except CheckError as failure:
        return Outcome(shot, None, str(failure), seconds, refusals)


def probabilities_of(response: requests.Response, labels: Sequence[str]) -> Probabilities:
    """Raises CheckError if the response is not a whole prediction of these labels."""
    expect(response.status_code == 200, f"status {response.status_code}: {response.text[:200]}")
    try:
        predictions = look_up(response.json(), "predictions")
        found = {look_up(each, "label"): float(look_up(each, "probability")) for each in predictions}
    except (TypeError, ValueError):
        raise CheckError(f"the answer makes no sense: {response.text[:200]}") from None
    expect(set(found) == set(labels), f"the answer's labels are {', '.join(map(str, found))}")
    probabilities = np.array([found[label] for label in labels])
    expect(bool(np.isfinite(probabilities).all()), f"the answer makes no sense: {response.text[:200]}")
    return probabilities

"""Labelled photos, as they are and corrupted, sent to a running endpoint: its answers and latencies."""

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

from lenslet.checks.endpoint import (
    CheckError,
    Endpoint,
    encoded,
    expect,
    look_up,
    open_endpoint,
    send_counting,
)
from lenslet.dataset.photos import DatasetError, Photo
from lenslet.dataset.sampling import evenly_spaced
from lenslet.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from lenslet.inference.classifier import Classifier
from lenslet.inference.decode import decode
from lenslet.inference.errors import LensletError

CLEAN = ("clean", 0)

Probabilities = NDArray[np.float64]  # shape (classes,), in the order of the model's labels


@dataclass(frozen=True)
class LabelledRequest:
    """One request, and the expected answer to it."""

    cell: tuple[str, int]  # corruption and severity, or CLEAN
    photo: Photo
    data: bytes  # a picture file
    target: int  # class index
    expected: Probabilities  # probabilities of the local model


@dataclass(frozen=True)
class Outcome:
    """Result of a request: probabilities, or an error in one sentence."""

    request: LabelledRequest
    served: Probabilities | None
    error: str
    seconds: float  # of the last attempt, 0 if nothing came back
    refusals: int  # earlier attempts that a busy endpoint refused

    @property
    def is_right(self) -> bool:
        return self.served is not None and int(self.served.argmax()) == self.request.target

    def agrees(self, tolerance: float) -> bool:
        """Whether the answer equals the local model's: the label, and each probability within `tolerance`."""
        if self.served is None or self.served.argmax() != self.request.expected.argmax():
            return False
        return bool(np.abs(self.served - self.request.expected).max() <= tolerance)


def prepare(photos: Sequence[Photo], corruption_photos: int, classifier: Classifier) -> list[LabelledRequest]:
    """Requests for every photo as it is, then for some of them under each corruption, with the expected answers.

    Corrupted pictures are PNGs of the model's input size, which `decode` reproduces exactly.
    Raises: DatasetError, naming the file, if a photo cannot be read.
    """
    labels, size = classifier.artifact.labels, classifier.artifact.image_size

    def request(
        cell: tuple[str, int], photo: Photo, data: bytes, picture: NDArray[np.uint8]
    ) -> LabelledRequest:
        probabilities = classifier.classify(picture).probabilities.astype(np.float64)
        return LabelledRequest(cell, photo, data, labels.index(photo.label), probabilities)

    files = [photo.path.read_bytes() for photo in photos]
    pictures = [read(photo, data, size) for photo, data in zip(photos, files, strict=True)]
    clean = [request(CLEAN, *each) for each in zip(photos, files, pictures, strict=True)]
    some = evenly_spaced(len(photos), corruption_photos)
    cells = [(kind, severity) for kind in CORRUPTIONS for severity in SEVERITIES]
    corrupted = []
    for kind, severity in tqdm(cells, "corrupting photos", unit=" cells", leave=False, disable=None):
        for seed, number in enumerate(some):
            picture = corrupt(pictures[number], kind, severity, seed)
            corrupted.append(request((kind, severity), photos[number], png(picture), picture))
    return clean + corrupted


def read(photo: Photo, data: bytes, size: int) -> NDArray[np.uint8]:
    try:
        return decode(data, size)
    except LensletError as error:
        raise DatasetError(f"{photo.path}: {error}") from error


def png(picture: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def send_requests(
    url: str,
    key: str | None,
    labelled_requests: Sequence[LabelledRequest],
    labels: Sequence[str],
    clients: int,
    errors_allowed: float,
) -> list[Outcome]:
    """Send the labelled_requests, `clients` at a time; `labels` are those of the model.

    Stops early when more than `errors_allowed` have failed: an endpoint that broke down would cost a time-out for
    each of the others.
    """
    outcomes: list[Outcome] = []
    lock, is_over = threading.Lock(), threading.Event()
    # disable=None: no progress bar in log files.
    bar = tqdm(total=len(labelled_requests), desc="asking", unit=" requests", leave=False, disable=None)

    def ask_in_turn(mine: Sequence[LabelledRequest]) -> None:
        # One for each thread: a session of requests is not documented as thread-safe.
        endpoint = open_endpoint(url, key)
        for request in mine:
            if is_over.is_set():
                break
            outcome = ask(endpoint, request, labels)
            with lock:
                outcomes.append(outcome)
                bar.update()
                if sum(each.served is None for each in outcomes) > errors_allowed:
                    is_over.set()

    with bar, ThreadPoolExecutor(clients) as pool:
        try:
            list(pool.map(ask_in_turn, [labelled_requests[first::clients] for first in range(clients)]))
        finally:
            is_over.set()  # after Ctrl-C the clients must stop
    return outcomes


def ask(endpoint: Endpoint, request: LabelledRequest, labels: Sequence[str]) -> Outcome:
    """One prediction; a busy endpoint is asked again, as in `send_counting`."""
    seconds, refusals = 0.0, 0
    try:
        response, refusals = send_counting(
            endpoint, "POST", "/predict", json={"image": encoded(request.data)}
        )
        seconds = response.elapsed.total_seconds()
        return Outcome(request, probabilities_of(response, labels), "", seconds, refusals)
    except CheckError as failure:
        return Outcome(request, None, str(failure), seconds, refusals)


def probabilities_of(response: requests.Response, labels: Sequence[str]) -> Probabilities:
    """Raises CheckError if the response is not a whole prediction of these labels."""
    expect(response.status_code == 200, f"status {response.status_code}: {response.text[:200]}")
    try:
        predictions = look_up(response.json(), "predictions")
        found = {look_up(each, "label"): float(look_up(each, "probability")) for each in predictions}
    except (TypeError, ValueError):
        raise CheckError(f"the answer is not a prediction: {response.text[:200]}") from None
    expect(set(found) == set(labels), f"the answer's labels are {', '.join(map(str, found))}")
    probabilities = np.array([found[label] for label in labels])
    expect(bool(np.isfinite(probabilities).all()), f"the answer is not a prediction: {response.text[:200]}")
    return probabilities

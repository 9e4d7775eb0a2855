"""A small real endpoint for tests of the page: gives recorded answers, one after another, and keeps the requests."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from tests.support.json_server import Reply, Request, answering

GRID = [
    [0.0, 0.0, 0.0],
    [0.0, 0.0, 0.25],
    [0.0, 0.25, 1.0],
]  # what speaks for the label is in the lower right
PREDICTION = {
    "predictions": [
        {"label": "forest", "probability": 0.55},
        {"label": "mountain", "probability": 0.4},
        {"label": "sea", "probability": 0.05},
    ],
    "is_certain": False,
    "prediction_set": ["forest", "mountain"],
    "is_in_distribution": True,
    "ood_score": -5.25,
    "model": {"name": "recorded", "version": "0123456789ab"},
    "explanation": {"kind": "activation_map", "label": "forest", "grid": GRID},
}
DESCRIPTION = {
    "name": "recorded",
    "version": "0123456789ab",
    "labels": ["forest", "mountain", "sea"],
    "image_size": 160,
    "formats": ["JPEG", "PNG"],
    "max_images": 16,
    "precision": "float16",
    "runtime": "tflite-runtime 2.14.0",
    "metrics": {
        "validation": {"photos": 50.0, "accuracy": 0.92},
        "test": {
            "photos": 100.0,
            "accuracy": 0.9,
            "accuracy_low": 0.83,
            "accuracy_high": 0.95,
            "recall.sea": 0.75,
            "log_loss": None,
            "data_fingerprint": "feedbeef0123456789",
        },
    },
}


@dataclass
class Endpoint:
    """Address, answers to POST (the last one repeats) and to GET, and the recorded requests."""

    url: str = ""
    answers: list[Reply] = field(default_factory=lambda: [Reply(200, PREDICTION)])
    description: Reply = field(default_factory=lambda: Reply(200, DESCRIPTION))
    by_path: dict[str, Reply] = field(default_factory=dict)  # "GET /train" → its answer, instead of the above
    requests: list[tuple[str, Mapping[str, str], Any]] = field(
        default_factory=list
    )  # path, headers, JSON or bytes

    @property
    def questions(self) -> list[dict[str, Any]]:
        return [content for path, _, content in self.requests if path == "/predict"]


def error(status: int, code: str, message: str = "so it is") -> Reply:
    return Reply(status, {"error": {"code": code, "message": message}})


@contextmanager
def recording(*answers: Reply, description: Reply | None = None) -> Iterator[Endpoint]:
    """An endpoint on a free port of this computer."""
    endpoint = Endpoint(answers=list(answers) or [Reply(200, PREDICTION)])
    endpoint.description = description or endpoint.description
    lock = Lock()

    def answer(request: Request) -> Reply:
        is_json = request.headers.get("Content-Type") == "application/json"
        content = json.loads(request.body) if is_json else request.body
        endpoint.requests.append(
            (request.path, request.headers, content if request.method == "POST" else None)
        )
        if found := endpoint.by_path.get(f"{request.method} {request.path}"):
            return found
        if request.method == "GET":
            return endpoint.description
        with lock:
            return endpoint.answers.pop(0) if len(endpoint.answers) > 1 else endpoint.answers[0]

    with answering(answer) as endpoint.url:
        yield endpoint

"""A small real endpoint for tests of the page: gives recorded answers, one after another, and keeps the requests."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

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


@dataclass(frozen=True)
class Answer:
    """One answer of the endpoint: JSON, or plain text."""

    status: int
    content: Any
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Endpoint:
    """Address, answers to POST (the last one repeats) and to GET, and the recorded requests."""

    url: str = ""
    answers: list[Answer] = field(default_factory=lambda: [Answer(200, PREDICTION)])
    description: Answer = field(default_factory=lambda: Answer(200, DESCRIPTION))
    by_path: dict[str, Answer] = field(
        default_factory=dict
    )  # "GET /train" → its answer, instead of the above
    requests: list[tuple[str, dict[str, str], Any]] = field(
        default_factory=list
    )  # path, headers, JSON or bytes

    @property
    def questions(self) -> list[dict[str, Any]]:
        return [content for path, _, content in self.requests if path == "/predict"]


def error(status: int, code: str, message: str = "so it is") -> Answer:
    return Answer(status, {"error": {"code": code, "message": message}})


@contextmanager
def answering(*answers: Answer, description: Answer | None = None) -> Iterator[Endpoint]:
    """An endpoint on a free port of this computer."""
    endpoint = Endpoint(answers=list(answers) or [Answer(200, PREDICTION)])
    endpoint.description = description or endpoint.description
    lock = Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(None, endpoint.by_path.get(f"GET {self.path}", endpoint.description))

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"] or 0))
            if self.headers["Content-Type"] == "application/json":
                content = json.loads(content)
            if found := endpoint.by_path.get(f"POST {self.path}"):
                self.reply(content, found)
                return
            with lock:
                answer = endpoint.answers.pop(0) if len(endpoint.answers) > 1 else endpoint.answers[0]
            self.reply(content, answer)

        def reply(self, content: Any, answer: Answer) -> None:
            endpoint.requests.append((self.path, dict(self.headers), content))
            body = answer.content if isinstance(answer.content, str) else json.dumps(answer.content)
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(body.encode())), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()

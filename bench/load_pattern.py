"""Load pattern of `bench.load`: photos, links to photos and broken requests, each with its expected answer."""

import base64
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

from bench.serving import draw_jpeg
from lenslet.inference.classifier import Classifier
from lenslet.serving.answer import answer
from lenslet.serving.request import predict_request_of

SMALL, LARGE, LINK, BROKEN = "150 px", "12 MP", "link", "broken"
SHARES = {SMALL: 12, LARGE: 2, LINK: 3, BROKEN: 3}  # of twenty requests
SMALL_SIZE, LARGE_SIZE = (150, 150), (4000, 3000)
PHOTOS = 8  # different small ones, so that a mixed-up answer is a wrong one


class Request(NamedTuple):
    kind: str
    data: bytes  # as it goes over the wire
    status: int
    content: Any  # the JSON of a prediction, the code of an error


def draw_photos(large_size: tuple[int, int] = LARGE_SIZE) -> dict[str, list[bytes]]:
    """JPEGs: kind → the different ones."""
    return {
        SMALL: [draw_jpeg(*SMALL_SIZE, seed=seed) for seed in range(PHOTOS)],
        LARGE: [draw_jpeg(*large_size, seed=seed) for seed in range(2)],
    }


def requests_by_kind(
    photos: dict[str, list[bytes]], classifier: Classifier, links: str
) -> dict[str, list[Request]]:
    """Kind → requests. The expected answers are those of `classifier`, called sequentially here.

    `links` is the address of `serving_links`.
    """
    predictions = {kind: [_prediction(photo, classifier) for photo in photos[kind]] for kind in photos}
    requests: dict[str, list[Request]] = {}
    for kind, jpegs in photos.items():
        requests[kind] = [
            Request(kind, _post(jpeg, "image/jpeg"), 200, prediction)
            for jpeg, prediction in zip(jpegs, predictions[kind], strict=True)
        ]
    # Half of the small ones come in JSON, as the other way to send a photo.
    for number in range(0, PHOTOS, 2):
        body = _json({"image": base64.b64encode(photos[SMALL][number]).decode()})
        requests[SMALL][number] = requests[SMALL][number]._replace(data=body)
    requests[LINK] = [
        Request(LINK, _json({"url": f"{links}/{number}"}), 200, prediction)
        for number, prediction in enumerate(predictions[SMALL])
    ]
    whole = photos[SMALL][0]
    requests[BROKEN] = [
        Request(BROKEN, _post(whole[: len(whole) // 8], "image/jpeg"), 422, "broken_image"),
        Request(BROKEN, _post(b"no image at all", "image/jpeg"), 415, "not_an_image"),
        Request(BROKEN, _post(b'{"image": ', "application/json"), 400, "bad_request"),
        Request(BROKEN, _json({"url": "http://169.254.169.254/latest/meta-data/"}), 422, "link_refused"),
        Request(BROKEN, _json({"url": f"{links}/missing"}), 502, "link_failed"),
    ]
    return requests


def load_pattern(
    requests: dict[str, list[Request]], kinds: tuple[str, ...], seed: int = 0
) -> Iterator[Request]:
    """Endless requests of these kinds in the proportions of `SHARES`, shuffled the same way in every run."""
    random_state = random.Random(seed)
    while True:
        block = [kind for kind in kinds for _ in range(SHARES[kind])]
        random_state.shuffle(block)
        for kind in block:
            yield random_state.choice(requests[kind])


def photos_in_proportion(photos: dict[str, list[bytes]]) -> list[bytes]:
    """All photos, repeated so that their kinds have the proportions of `SHARES`."""
    turns = max(len(jpegs) for jpegs in photos.values())
    return [
        jpegs[turn % len(jpegs)]
        for turn in range(turns)
        for kind, jpegs in photos.items()
        for _ in range(SHARES[kind])
    ]


@contextmanager
def serving_links(photos: list[bytes]) -> Iterator[str]:
    """A server of these photos on the loopback, by their number; gives its address."""

    class Photos(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = self.path.removeprefix("/")
            is_there = number.isdecimal() and int(number) < len(photos)
            body = photos[int(number)] if is_there else b"no such photo"
            self.send_response(200 if is_there else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Silent: the benchmark prints a table."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # the usual 5 would make links of 64 clients wait for a second

    with Server(("127.0.0.1", 0), Photos) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _prediction(photo: bytes, classifier: Classifier) -> Any:
    asked = predict_request_of({"image": base64.b64encode(photo).decode()})
    return json.loads(json.dumps(answer(asked, classifier)))


def _json(fields: dict[str, str]) -> bytes:
    return _post(json.dumps(fields).encode(), "application/json")


def _post(body: bytes, content_type: str) -> bytes:
    head = f"POST /predict HTTP/1.1\r\nHost: lenslet\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body

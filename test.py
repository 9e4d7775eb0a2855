"""Smoke check of a running endpoint, local or deployed: does it answer as openapi.yaml promises?

    python test.py                                             # http://127.0.0.1:8080
    python test.py https://….amazonaws.com/prod --key KEY --image-url https://example.com/photo.jpg
    python test.py --photos holiday/

Prints one line for each check, then each photo with its label, probability and time. Exit code 0 if all is
well, 1 if not. Needs nothing but HTTP: no model, no file of this project but the photos.
"""

import argparse
import base64
import os
import struct
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

SAMPLE = Path(__file__).parent / "data" / "sample"
TIMEOUT_S = 35  # API Gateway gives up after 30
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class CheckError(Exception):
    """The endpoint does not do what it should; the message says what it did."""


@dataclass
class Endpoint:
    """The service at `url`, and the labels it says it has."""

    url: str
    session: requests.Session
    labels: list[str] = field(default_factory=list)
    origin: str = "https://example.com"  # of the page that a browser would ask from

    def ask(self, method: str, path: str, status: int, **content: Any) -> Any:
        """The JSON answer to a request. Raises CheckError on another status, no CORS header, or no answer."""
        response = send(self, method, path, **content)
        expect(
            response.status_code == status,
            f"status {response.status_code}, not {status}: {response.text[:200]}",
        )
        expect_readable(response, self)
        try:
            return response.json() if response.content else None
        except ValueError:
            raise CheckError(f"the answer is not JSON: {response.text[:200]}") from None


def main(argv: list[str] | None = None) -> int:
    arguments = read_arguments(argv)
    endpoint = connect(arguments.url, arguments.key, arguments.origin)
    if not is_reachable(endpoint, arguments.wait):
        print(
            f"test.py: nothing answers at {endpoint.url}; `make serve` starts a local endpoint",
            file=sys.stderr,
        )
        return 1
    print(f"Checking {endpoint.url}")
    checks = dict(CHECKS)
    if arguments.key:
        checks["without a key"] = check_closed
    if arguments.image_url:
        checks["a link"] = lambda endpoint: check_link(endpoint, arguments.image_url)
    failures = sum(not run_check(name, check, endpoint) for name, check in checks.items())
    photos = find_photos(arguments.photos)
    if photos:
        print()
        failures += classify_photos(endpoint, photos)
    print(f"\n{failures} failed" if failures else "\nAll is well.")
    return 1 if failures else 0


def read_arguments(argv: list[str] | None) -> argparse.Namespace:
    description, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", nargs="?", default="http://127.0.0.1:8080", help="the endpoint (%(default)s)")
    parser.add_argument(
        "--key",
        "--api-key",
        default=os.environ.get("LENSLET_API_KEY"),
        help="sent as X-Api-Key; without it, nothing may be answered ($LENSLET_API_KEY)",
    )
    parser.add_argument(
        "--origin",
        default=Endpoint.origin,
        help="of a web page that may read the answers, if not every page may (%(default)s)",
    )
    parser.add_argument(
        "--image-url", help="an http(s):// or s3:// link to a photo that the endpoint can fetch"
    )
    parser.add_argument(
        "--photos",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="files or folders (the test photos of data/sample)",
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=0,
        metavar="SECONDS",
        help="time to give an endpoint that is starting (0)",
    )
    return parser.parse_args(argv)


def connect(url: str, key: str | None, origin: str) -> Endpoint:
    session = requests.Session()
    # A proxy for the outside world can't reach this machine's own servers.
    session.trust_env = urlsplit(url).hostname not in LOOPBACK
    session.headers["Origin"] = origin
    if key:
        session.headers["X-Api-Key"] = key
    return Endpoint(url.rstrip("/"), session, origin=origin)


def send(endpoint: Endpoint, method: str, path: str, **content: Any) -> requests.Response:
    """Raises CheckError, in one sentence, if no answer comes."""
    try:
        return endpoint.session.request(method, endpoint.url + path, timeout=TIMEOUT_S, **content)
    except requests.Timeout:
        raise CheckError(f"no answer within {TIMEOUT_S} s") from None
    except (requests.RequestException, ValueError) as error:
        raise CheckError(f"no answer: {error}") from None


def is_reachable(endpoint: Endpoint, wait_s: float) -> bool:
    """Whether anything answers, asked again for `wait_s` seconds."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            send(endpoint, "GET", "/health")
            return True
        except CheckError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.1)


def run_check(name: str, check: Callable[[Endpoint], str], endpoint: Endpoint) -> bool:
    started = time.perf_counter()
    try:
        sign, found = "✓", check(endpoint)
    except CheckError as failure:
        sign, found = "✗", str(failure)
    print(f"{sign} {name:<15}{(time.perf_counter() - started) * 1000:7.0f} ms  {found}", flush=True)
    return sign == "✓"


def check_health(endpoint: Endpoint) -> str:
    answer = endpoint.ask("GET", "/health", 200)
    expect(answer == {"status": "ok"}, f"answered {answer}")
    return "ok"


def check_description(endpoint: Endpoint) -> str:
    """Also keeps the labels: the other checks compare with them."""
    answer = endpoint.ask("GET", "/", 200)
    labels = look_up(answer, "labels")
    expect(isinstance(labels, list) and len(set(labels)) == len(labels) >= 2, f"labels are {labels}")
    endpoint.labels = labels
    return f"{look_up(answer, 'name')} {look_up(answer, 'version')}: {', '.join(labels)}"


def check_preflight(endpoint: Endpoint) -> str:
    # As a browser asks: without the key.
    headers = {"X-Api-Key": None, "Access-Control-Request-Method": "POST"}
    response = send(endpoint, "OPTIONS", "/predict", headers=headers)
    expect(response.status_code in (200, 204), f"status {response.status_code}")
    methods = response.headers.get("Access-Control-Allow-Methods", "")
    expect("POST" in methods, f"header Access-Control-Allow-Methods is {methods!r}, without POST")
    expect_readable(response, endpoint)
    return "a browser page may post"


def check_json(endpoint: Endpoint) -> str:
    return check_prediction(
        endpoint.ask("POST", "/predict", 200, json={"image": encoded(drawing())}), endpoint
    )


def check_raw(endpoint: Endpoint) -> str:
    answer = endpoint.ask("POST", "/predict", 200, data=drawing(), headers={"Content-Type": "image/png"})
    return check_prediction(answer, endpoint)


def check_top(endpoint: Endpoint) -> str:
    answer = endpoint.ask("POST", "/predict", 200, json={"image": encoded(drawing()), "top": 1})
    predictions = look_up(answer, "predictions")
    expect(len(predictions) == 1, f"{len(predictions)} labels for top = 1")
    return described(predictions)


def check_batch(endpoint: Endpoint) -> str:
    images = [{"image": encoded(drawing())}, {"image": encoded(b"no picture")}]
    results = look_up(endpoint.ask("POST", "/predict", 200, json={"images": images}), "results")
    expect(len(results) == 2, f"{len(results)} results for 2 images")
    found = check_prediction(results[0], endpoint)
    code = look_up(look_up(results[1], "error"), "code")
    expect(code == "not_an_image", f"the second image is none, but its error is {code}")
    return f"{found}; {code}"


def check_explanation(endpoint: Endpoint) -> str:
    answer = endpoint.ask("POST", "/predict", 200, json={"image": encoded(drawing()), "explain": True})
    explanation = look_up(answer, "explanation")
    if explanation is None:
        return "this model has no map"
    label, grid = look_up(explanation, "label"), look_up(explanation, "grid")
    expect(label == answer["predictions"][0]["label"], f"explains {label}, which is not the first label")
    expect(bool(grid) and len({len(row) for row in grid}) == 1, "the grid is no rectangle")
    expect(all(0 <= value <= 1 for row in grid for value in row), "the grid leaves the range 0…1")
    return f"{len(grid)} × {len(grid[0])} for {label}"


def check_error(endpoint: Endpoint) -> str:
    error = look_up(endpoint.ask("POST", "/predict", 400, json={"image": "%%%"}), "error")
    expect(look_up(error, "code") == "bad_request", f"code {error['code']}")
    return f"{error['code']}: {look_up(error, 'message')}"


def check_closed(endpoint: Endpoint) -> str:
    """For endpoints that ask for a key. API Gateway answers 403 itself, with a JSON of its own."""
    response = send(
        endpoint, "POST", "/predict", json={"image": encoded(drawing())}, headers={"X-Api-Key": None}
    )
    expect(response.status_code in (401, 403), f"status {response.status_code} without a key, not 401 or 403")
    return f"refused with status {response.status_code}"


def check_link(endpoint: Endpoint, link: str) -> str:
    return check_prediction(endpoint.ask("POST", "/predict", 200, json={"url": link}), endpoint)


CHECKS: dict[str, Callable[[Endpoint], str]] = {
    "health": check_health,
    "description": check_description,
    "preflight": check_preflight,
    "base64 in JSON": check_json,
    "raw body": check_raw,
    "top": check_top,
    "batch": check_batch,
    "explanation": check_explanation,
    "error": check_error,
}


def check_prediction(answer: Any, endpoint: Endpoint) -> str:
    """The answer described, if it is a whole and proper prediction."""
    predictions = look_up(answer, "predictions")
    labels = [look_up(each, "label") for each in predictions]
    expect(sorted(labels) == sorted(endpoint.labels), f"labels are {labels}, not those of GET /")
    probabilities = [look_up(each, "probability") for each in predictions]
    expect(
        probabilities == sorted(probabilities, reverse=True),
        f"probabilities are not in order: {probabilities}",
    )
    expect(abs(sum(probabilities) - 1) < 1e-4, f"probabilities sum to {sum(probabilities):.6f}, not 1")
    likely, is_certain = look_up(answer, "prediction_set"), look_up(answer, "is_certain")
    expect(
        bool(likely) and likely == labels[: len(likely)], f"prediction_set {likely} are not the first labels"
    )
    expect(
        is_certain == (len(likely) == 1), f"is_certain is {is_certain} with {len(likely)} in prediction_set"
    )
    return described(predictions)


def classify_photos(endpoint: Endpoint, photos: list[Path]) -> int:
    """Print a table of the photos. Returns how many could not be classified."""
    width = max(len(str(photo)) for photo in photos)
    label_width = max(len(label) for label in [*endpoint.labels, "label"])
    print(f"{'photo':<{width}}  {'label':<{label_width}}  probability      ms")
    failures = 0
    for photo in photos:
        started = time.perf_counter()
        try:
            answer = endpoint.ask(
                "POST", "/predict", 200, json={"image": encoded(photo.read_bytes()), "top": 1}
            )
            best = look_up(answer, "predictions")[0]
            found = f"{best['label']:<{label_width}}  {best['probability']:11.3f}"
        except (CheckError, OSError) as failure:
            failures += 1
            found = f"✗ {failure}"
        print(f"{photo!s:<{width}}  {found}  {(time.perf_counter() - started) * 1000:6.0f}", flush=True)
    return failures


def find_photos(paths: list[Path] | None) -> list[Path]:
    """The files in `paths` and in the folders among them; without `paths`, the drawings kept for testing."""
    if paths is None:
        paths = [folder for folder in (SAMPLE / "test", SAMPLE / "unlabelled") if folder.is_dir()]
    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    return [shortest(file) for file in files if not file.is_dir() and not file.name.startswith(".")]


def shortest(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def drawing() -> bytes:
    """A PNG of sky over sea, 32 × 32 pixels, written by hand so that no picture library is needed."""
    rows = [bytes([0, *((150, 190, 230) if y < 20 else (30, 80, 140)) * 32]) for y in range(32)]
    header = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)  # 8 bits, RGB
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def described(predictions: list[dict[str, Any]]) -> str:
    return f"{predictions[0]['label']} {predictions[0]['probability']:.3f}"


def expect_readable(response: requests.Response, endpoint: Endpoint) -> None:
    """That a browser shows the answer to a page of the endpoint's origin."""
    allowed = response.headers.get("Access-Control-Allow-Origin")
    complaint = f"header Access-Control-Allow-Origin is {allowed}, not * or {endpoint.origin}"
    expect(allowed in ("*", endpoint.origin), complaint)


def look_up(answer: Any, name: str) -> Any:
    expect(isinstance(answer, dict) and name in answer, f"the answer has no {name}: {str(answer)[:200]}")
    return answer[name]


def expect(holds: bool, complaint: str) -> None:
    if not holds:
        raise CheckError(complaint)


if __name__ == "__main__":
    sys.exit(main())

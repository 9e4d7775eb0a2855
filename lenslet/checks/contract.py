"""Contract checks: whether a running endpoint answers as openapi.yaml says. A new check is a row of `CHECKS`.

Each check takes the endpoint and returns what it found in a few words, or raises CheckError.
"""

import struct
import zlib
from collections.abc import Callable
from typing import Any

from lenslet.checks.endpoint import Endpoint, encoded, expect, expect_readable, look_up, send

WITHOUT_KEYS = {"X-Api-Key": None, "Authorization": None}


def check_health(endpoint: Endpoint) -> str:
    answer = endpoint.ask("GET", "/health", 200)
    expect(answer == {"status": "ok"}, f"answered {answer}")
    return "ok"


def check_description(endpoint: Endpoint) -> str:
    """Also stores the labels, which the other checks compare with."""
    answer = endpoint.ask("GET", "/", 200)
    labels = look_up(answer, "labels")
    expect(isinstance(labels, list) and len(set(labels)) == len(labels) >= 2, f"labels are {labels}")
    endpoint.labels = labels
    return f"{look_up(answer, 'name')} {look_up(answer, 'version')}: {', '.join(labels)}"


def check_preflight(endpoint: Endpoint) -> str:
    # As browsers send it: without the key.
    headers = {**WITHOUT_KEYS, "Access-Control-Request-Method": "POST"}
    response = send(endpoint, "OPTIONS", "/predict", headers=headers)
    expect(response.status_code in (200, 204), f"status {response.status_code}")
    methods = response.headers.get("Access-Control-Allow-Methods", "")
    expect("POST" in methods, f"header Access-Control-Allow-Methods is {methods!r}, without POST")
    expect_readable(response, endpoint)
    return "browser pages may post"


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
        return "this model has no explanation that beats a circle at the centre"
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
    """For endpoints that require a key. API Gateway answers 403 itself, without calling the function."""
    response = send(endpoint, "POST", "/predict", json={"image": encoded(drawing())}, headers=WITHOUT_KEYS)
    expect(response.status_code in (401, 403), f"status {response.status_code} without a key, not 401 or 403")
    return f"refused with status {response.status_code}"


def check_link(endpoint: Endpoint, link: str) -> str:
    return check_prediction(endpoint.ask("POST", "/predict", 200, json={"url": link}), endpoint)


def check_prediction(answer: Any, endpoint: Endpoint) -> str:
    """The top label with its probability, if the answer is a complete and consistent prediction."""
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


def described(predictions: list[dict[str, Any]]) -> str:
    return f"{predictions[0]['label']} {predictions[0]['probability']:.3f}"


def drawing() -> bytes:
    """A PNG of sky over sea, 32 × 32 pixels, encoded here so that no picture library is needed."""
    rows = [bytes([0, *((150, 190, 230) if y < 20 else (30, 80, 140)) * 32]) for y in range(32)]
    header = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)  # 8 bits, RGB
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


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

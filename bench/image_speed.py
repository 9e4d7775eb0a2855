"""Median time of a prediction inside the function's image.

    docker run --rm --interactive --env LENSLET_LOG_LEVEL=WARNING --env LENSLET_METRICS_DISABLED=true \\
        --entrypoint python lenslet - < bench/image_speed.py

Reads nothing of this repository but what the image holds. Prints milliseconds, decoding included.
"""

import io
import json
import statistics
import time
from base64 import b64encode

from PIL import Image

from lambda_func import handler

ROUNDS = 30

photo = io.BytesIO()
Image.effect_noise((150, 150), 64).convert("RGB").save(photo, "JPEG")
event = {"image": b64encode(photo.getvalue()).decode()}


def milliseconds() -> float:
    start = time.perf_counter()
    answer = handler(event, None)
    taken = (time.perf_counter() - start) * 1000
    assert "predictions" in answer, json.dumps(answer)
    return taken


if __name__ == "__main__":
    times = [milliseconds() for _ in range(ROUNDS)][1:]
    print(f"{statistics.median(times):.1f}")

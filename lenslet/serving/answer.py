"""Predictions, refusals and the model itself as the JSON objects of `openapi.yaml`."""

import json
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lenslet.inference.artifact import Artifact
from lenslet.inference.classifier import Classifier
from lenslet.inference.decode import FORMATS, decode
from lenslet.inference.errors import ImageTooLarge, LensletError
from lenslet.serving.request import MAX_IMAGES, PredictRequest

PROBABILITY_DECIMALS = 6
GRID_DECIMALS = 3
# Of processor time. Sixteen photos of 12 megapixels take a third of it; sixteen that are as costly as one may be
# would take four times as much. The last that begins within it may take a second more.
BATCH_LIMIT_S = 3.0


def answer(request: PredictRequest, classifier: Classifier) -> dict[str, Any]:
    """The prediction asked for; for a batch {"results": […]}, in order, each a prediction or an error.

    Raises: LensletError if the one image of a request that is no batch cannot be classified.
    """
    if not request.is_batch:
        return _prediction(request.photos[0](), request, classifier)
    # Links are waited for side by side: sixteen slow ones in a row would outlast every gateway.
    with ThreadPoolExecutor(len(request.photos)) as pool:
        readings = deque(pool.submit(photo) for photo in request.photos)
    results = []
    started_s = time.thread_time()
    while readings:  # what is done with leaves the queue, and with it the memory
        try:
            photo = readings.popleft().result()
            if time.thread_time() - started_s > BATCH_LIMIT_S:
                raise ImageTooLarge(
                    f"the images before it took the {BATCH_LIMIT_S:g} seconds that a batch has"
                )
            results.append(_prediction(photo, request, classifier))
        except LensletError as error:
            results.append(refusal(error))
    return {"results": results}


def refusal(error: LensletError) -> dict[str, Any]:
    return {"error": {"code": error.code, "message": str(error)}}


def description(artifact: Artifact) -> dict[str, Any]:
    """What is served: labels, input, how it was built and what it scored."""
    return {
        "name": artifact.name,
        "version": artifact.version,
        "labels": list(artifact.labels),
        "image_size": artifact.image_size,
        "formats": list(FORMATS),
        "max_images": MAX_IMAGES,
        "precision": artifact.precision,
        "runtime": artifact.runtime,
        # An undefined figure is NaN in Python; JSON has no such number.
        "metrics": json.loads(json.dumps(dict(artifact.metrics)), parse_constant=lambda _: None),
    }


def _prediction(image: bytes, request: PredictRequest, classifier: Classifier) -> dict[str, Any]:
    artifact = classifier.artifact
    prediction = classifier.classify(decode(image, artifact.image_size))
    ranked = prediction.ranked()[: request.top]
    found = {
        "predictions": [
            {"label": label, "probability": round(probability, PROBABILITY_DECIMALS)}
            for label, probability in ranked
        ],
        "is_certain": prediction.is_certain,
        "prediction_set": prediction.prediction_set,
        "is_in_distribution": prediction.is_in_distribution,
        "model": {"name": artifact.name, "version": artifact.version},
    }
    if not request.explain:
        return found
    explanation = prediction.explanation()
    if explanation is None:  # a head with hidden units has no map
        return {**found, "explanation": None}
    label, grid = explanation
    # As float64: a rounded float32 is printed with all its false digits.
    return {
        **found,
        "explanation": {"label": label, "grid": grid.astype(float).round(GRID_DECIMALS).tolist()},
    }

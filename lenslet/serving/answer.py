"""Predictions, errors and the model's description as the JSON objects of `openapi.yaml`."""

import json
import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenslet.inference.artifact import Artifact
from lenslet.inference.classifier import Classifier
from lenslet.inference.decode import decode
from lenslet.inference.errors import BadRequest, ImageTooLarge, LensletError
from lenslet.inference.explanation import Explanation, explain
from lenslet.serving.formats import read_formats
from lenslet.serving.links.waiting import waiting_for_links
from lenslet.serving.models import Models
from lenslet.serving.request import MAX_IMAGES, PredictRequest

DEFAULT_TOP = 100  # sixteen answers with thousands of labels each would exceed Lambda's limit of 6 MB
MAX_SET_LABELS = 100  # named of a prediction set, for the same reason; of a longer one the size is told
# Of Lambda's 6,291,556, less the headers; in the bytes of a JSON text within JSON, as the proxy response is.
MAX_ANSWER_BYTES = 6_280_000
PROBABILITY_DECIMALS = 6
OOD_SCORE_DECIMALS = 4
GRID_DECIMALS = 3
# Of processor time. Sixteen photos of 12 megapixels take a third of it, with occlusion nearly all of it; sixteen of the
# costliest that are allowed would take four times as much. The last one that starts within it may take two more. Of the
# process, because HEIC is decoded by a thread of its own.
BATCH_LIMIT_S = 3.0
MOST_BATCH_S = 5.0  # that one as costly as the costliest before it must not exceed, where a processor is slow


class Predicted(dict[str, Any]):
    """The JSON of a prediction; and its entropy, which the log has: `predictions` may be cut off by `top`."""

    def __init__(self, content: dict[str, Any], entropy: float) -> None:
        super().__init__(content)
        self.entropy = round(entropy, PROBABILITY_DECIMALS)


class Seen(NamedTuple):
    """A photo that was classified."""

    photo: bytes  # its file
    pixels: NDArray[np.uint8]  # shape (size, size, 3)
    best: tuple[str, float]  # label and probability


Keep = Callable[[Seen], None]


def predict(request: PredictRequest, models: Models, keep: Keep | None = None) -> dict[str, Any]:
    """The answer of the model that the request names.

    `keep` is called for each photo that the default model has classified.

    Raises: LensletError, as `answer`; BadRequest if there is no such model.
    """
    classifier = models.named(request.model)
    return answer(request, classifier, keep if classifier is models.default else None)


def answer(request: PredictRequest, classifier: Classifier, keep: Keep | None = None) -> dict[str, Any]:
    """A prediction; for a batch {"results": […]}, in order, each a prediction or an error.

    Raises: LensletError if the image of a request that is not a batch cannot be classified.
    """
    try:
        if request.is_batch:
            return {"results": _results(request, classifier, keep)}
        with waiting_for_links() if request.links else nullcontext():
            photo = request.photos[0]()
        return _prediction(photo, request, classifier, keep)
    finally:
        if request.links:
            request.links.release()


def _results(request: PredictRequest, classifier: Classifier, keep: Keep | None) -> list[dict[str, Any]]:
    # Links are fetched concurrently: sixteen slow ones in sequence would exceed the timeout of any gateway.
    with (
        waiting_for_links() if request.links else nullcontext(),
        ThreadPoolExecutor(len(request.photos)) as pool,
    ):
        readings = deque(pool.submit(photo) for photo in request.photos)
    results: list[dict[str, Any]] = []
    started_s, spent_s, longest_s = time.process_time(), 0.0, 0.0
    while readings:  # a finished one leaves the queue, so that its memory is freed
        try:
            photo = readings.popleft().result()
            before_s, spent_s = spent_s, time.process_time() - started_s
            longest_s = max(longest_s, spent_s - before_s)
            if spent_s > BATCH_LIMIT_S or spent_s + longest_s > MOST_BATCH_S:
                raise ImageTooLarge(
                    f"the images before it took the {BATCH_LIMIT_S:g} seconds that a batch has"
                )
            results.append(_prediction(photo, request, classifier, keep))
        except LensletError as error:
            results.append(refusal(error))
    return results


def check_size(body: str) -> None:
    """Raises: BadRequest if an answer of this JSON would exceed what Lambda returns."""
    size = len(body) + body.count('"') + body.count("\\")
    if size > MAX_ANSWER_BYTES:
        raise BadRequest(
            f"the answer would have {size / 1e6:.1f} MB, and at most 6 can be sent: "
            "ask for fewer labels with `top`, or for fewer images"
        )


def refusal(error: LensletError) -> dict[str, Any]:
    return {"error": {"code": error.code, "message": str(error)}}


def description(artifact: Artifact) -> dict[str, Any]:
    """The model: labels, input, precision, runtime and metrics."""
    return {
        "name": artifact.name,
        "version": artifact.version,
        "labels": list(artifact.labels),
        "image_size": artifact.image_size,
        "formats": list(read_formats(os.environ)),
        "max_images": MAX_IMAGES,
        "takes_feedback": bool(os.environ.get("LENSLET_FEEDBACK", "").strip()),
        "precision": artifact.precision,
        "runtime": artifact.runtime,
        # An undefined metric is NaN in Python, which JSON does not have.
        "metrics": json.loads(json.dumps(dict(artifact.metrics)), parse_constant=lambda _: None),
    }


def descriptions(models: Models) -> dict[str, Any]:
    """All models that are served: by which name, and what `description` says of each."""
    return {
        "models": [
            {
                "name": name,
                "is_default": classifier is models.default,
                "description": description(classifier.artifact),
            }
            for name, classifier in models.by_name.items()
        ]
    }


def _prediction(
    image: bytes, request: PredictRequest, classifier: Classifier, keep: Keep | None
) -> Predicted:
    artifact = classifier.artifact
    pixels = decode(image, artifact.image_size, read_formats(os.environ))
    prediction = classifier.classify(pixels)
    ranked, possible = prediction.ranked()[: request.top or DEFAULT_TOP], prediction.prediction_set
    if keep:
        keep(Seen(image, pixels, ranked[0]))
    found: dict[str, Any] = {
        "predictions": [
            {"label": label, "probability": round(probability, PROBABILITY_DECIMALS)}
            for label, probability in ranked
        ],
        "is_certain": len(possible) == 1,
        "prediction_set": possible[:MAX_SET_LABELS],
        **({"prediction_set_size": len(possible)} if len(possible) > MAX_SET_LABELS else {}),
        "is_in_distribution": prediction.is_in_distribution,
        "ood_score": round(prediction.ood_score, OOD_SCORE_DECIMALS),
        "model": {"name": artifact.name, "version": artifact.version},
    }
    if request.explain:
        found["explanation"] = _explanation(explain(classifier, pixels, prediction, request.explain))
    return Predicted(found, prediction.entropy)


def _explanation(explained: Explanation | None) -> dict[str, Any] | None:
    if explained is None:
        return None
    # As float64: a rounded float32 would be printed with digits that are not significant.
    grid = explained.grid.astype(float).round(GRID_DECIMALS).tolist()
    return {"kind": explained.kind, "label": explained.label, "grid": grid}

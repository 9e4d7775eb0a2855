"""Corrections of answers: POST /feedback stores a photo with the label that a person says is right.

- LENSLET_FEEDBACK: where they are stored, an existing folder or `s3://bucket/prefix`. Not set or blank: none are taken.

A correction is a proposal for a reviewer (`lenslet label push --feedback`); nothing is trained on it before. Of the
photo only pixels are kept, and the answer beside it is the model's own, never one that the caller claims.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

from PIL import Image

from lenslet.inference.classifier import Classifier
from lenslet.inference.decode import decode
from lenslet.inference.errors import BadRequest, RequestTooLarge, TooMuchFeedback, UnknownPath
from lenslet.serving.answer import PROBABILITY_DECIMALS
from lenslet.serving.formats import read_formats
from lenslet.serving.gateway import HttpRequest
from lenslet.serving.links.allowance import Allowance
from lenslet.serving.links.rules import BUCKET
from lenslet.serving.links.waiting import waiting_for_links
from lenslet.serving.models import Models
from lenslet.serving.request import read_json, read_photo, refuse_unknown
from lenslet.serving.s3 import s3_client

FEEDBACK_FORMAT = 1  # of the JSON
FIELDS = ("url", "image", "label", "consent", "model")
MAX_PHOTO_BYTES = 2 * 1024 * 1024  # it is stored much smaller
STORED_SIDE = 512  # pixels, as the square that every model's input is: larger than any of these
QUALITY = 90
MAX_PER_MINUTE, MAX_PER_DAY = 20, 1000  # of one process: at most about 100 MB a day
S3_TIMEOUT_S = 5
S3_PREFIX = re.compile(r"[\w!.*'()/ -]*", re.ASCII)  # "Safe characters" of the S3 user guide, and spaces


@dataclass(frozen=True)
class FeedbackPlace:
    """Either a folder, or a bucket with a prefix that is "" or ends with a slash."""

    folder: Path | None
    bucket: str = ""
    prefix: str = ""

    def put(self, name: str, content: bytes, kind: str) -> None:
        """Raises: OSError, errors of botocore."""
        if self.folder is None:
            s3_client(S3_TIMEOUT_S, attempts=2).put_object(
                Bucket=self.bucket, Key=self.prefix + name, Body=content, ContentType=kind
            )
            return
        from lenslet.inference.atomic import replacing

        with replacing(self.folder / name) as temporary:
            temporary.write_bytes(content)


@dataclass
class RateLimit:
    """Counts what one process has stored in this minute and on this day."""

    clock: Callable[[], float] = time.time
    _counts: dict[tuple[int, int], int] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def take(self) -> None:
        """Raises: TooMuchFeedback."""
        now = self.clock()
        windows = {(60, int(now // 60)): MAX_PER_MINUTE, (86_400, int(now // 86_400)): MAX_PER_DAY}
        with self._lock:
            self._counts = {window: self._counts.get(window, 0) for window in windows}
            for window, most in windows.items():
                if self._counts[window] >= most:
                    raise TooMuchFeedback("more corrections arrive than are taken here: try again later")
            for window in windows:
                self._counts[window] += 1


RATE_LIMIT = RateLimit()


def read_feedback_place(environment: Mapping[str, str]) -> FeedbackPlace | None:
    """LENSLET_FEEDBACK; None if it is not set. Raises ValueError if it is neither an S3 address nor a folder."""
    text = environment.get("LENSLET_FEEDBACK", "").strip()
    if not text:
        return None
    if text.startswith("s3://"):
        bucket, _, prefix = text.removeprefix("s3://").partition("/")
        if not BUCKET.fullmatch(bucket) or not S3_PREFIX.fullmatch(prefix):
            raise ValueError(f"LENSLET_FEEDBACK takes s3://bucket/prefix or a folder, not {text!r}")
        return FeedbackPlace(None, bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else "")
    if not Path(text).is_dir():
        raise ValueError(f"LENSLET_FEEDBACK names {text!r}, which is no folder: make it, or name another one")
    return FeedbackPlace(Path(text))


def take_feedback(request: HttpRequest, models: Models) -> dict[str, Any]:
    """Store a correction; its JSON is written last, and a second one from the same caller replaces it.

    Returns: {"id"}, by which the photo can be found and deleted.
    Raises: UnknownPath (none are taken here), BadRequest, RequestTooLarge, TooMuchFeedback; errors of the photo.
    """
    place = read_feedback_place(os.environ)
    if place is None:
        raise UnknownPath("no corrections are taken here: the operator has not switched them on")
    photo, label, classifier = _read_request(request, models)
    formats = read_formats(os.environ)
    stored = _encoded(decode(photo, STORED_SIDE, formats))
    record = _record(decode(photo, classifier.artifact.image_size, formats), label, classifier)
    RATE_LIMIT.take()  # last, so that what is refused takes nothing from the others
    identity = hashlib.sha256(stored).hexdigest()[:32]
    said = hashlib.sha256(json.dumps(label).encode()).hexdigest()[:8]
    place.put(f"{identity}.jpg", stored, "image/jpeg")
    text = json.dumps({"format": FEEDBACK_FORMAT, "photo": f"{identity}.jpg", **record}, allow_nan=False)
    place.put(f"{identity}-{said}.json", text.encode(), "application/json")
    return {"id": identity}


def _read_request(request: HttpRequest, models: Models) -> tuple[bytes, str | None, Classifier]:
    """The photo's bytes, the right label (None is none of the model's), and the model that had answered."""
    refuse_unknown(request.query, (), "query parameter")
    fields = read_json(request.json_text(), 'a correction is {"image": base64, "label": …, "consent": true}')
    if not isinstance(fields, dict):
        raise BadRequest("the request must be a JSON object")
    refuse_unknown(fields, FIELDS, "field")
    if fields.get("consent") is not True:
        raise BadRequest("consent must be true: the photo is stored, and people look at it")
    name = fields.get("model")
    if "model" in fields and not isinstance(name, str):
        raise BadRequest("model must be a name, as GET /models lists them")
    classifier = models.named(name)
    label = fields.get("label")
    if "label" not in fields or not (label is None or label in classifier.artifact.labels):
        raise BadRequest(
            "label must be one of the model's labels (GET /models has them), or null for none of them"
        )
    given = {name: fields[name] for name in ("url", "image") if name in fields}
    if len(given) != 1:
        raise BadRequest("exactly one of url, image is needed")
    links = Allowance()
    try:
        with waiting_for_links() if "url" in given else nullcontext():
            photo = read_photo(given, "", links)()
    finally:
        links.release()
    if len(photo) > MAX_PHOTO_BYTES:
        raise RequestTooLarge(
            f"the photo of a correction may have {MAX_PHOTO_BYTES:,} bytes: send it smaller"
        )
    return photo, label, classifier


def _encoded(pixels: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _record(pixels: Any, label: str | None, classifier: Classifier) -> dict[str, Any]:
    artifact = classifier.artifact
    prediction = classifier.classify(pixels)
    ranked = prediction.ranked()
    return {
        "label": label,
        "given": ranked[0][0],
        "predictions": [
            {"label": name, "probability": round(probability, PROBABILITY_DECIMALS)}
            for name, probability in ranked
        ],
        "is_in_distribution": prediction.is_in_distribution,
        "model": {"name": artifact.name, "version": artifact.version},
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }

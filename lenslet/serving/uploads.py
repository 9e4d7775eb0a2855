"""Photos that arrive in an S3 bucket: those that an event names, and the answer that is written beside each."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from lenslet.inference.classifier import Classifier
from lenslet.inference.errors import LensletError, LinkFailed, LinkTimeout
from lenslet.serving.answer import answer, refusal
from lenslet.serving.request import predict_request_of
from lenslet.serving.s3 import s3_client
from lenslet.serving.telemetry import Telemetry

ANSWER_SUFFIX = ".json"
CREATED = "ObjectCreated:"  # what S3 calls an upload of any kind, a copy too
GONE = ("NoSuchKey", "404")


@dataclass(frozen=True)
class Upload:
    bucket: str
    key: str

    @property
    def link(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def answer_uploads(event: object, context: Any, classifier: Classifier, telemetry: Telemetry) -> None:
    """Answer each photo that an event of S3 names, with a line of log and metrics for each.

    Raises: RuntimeError, after the other photos are done, if one of them got no answer; ValueError for another event.
    """
    log_fields = {"request_id": getattr(context, "aws_request_id", None)}
    failures = 0
    for upload in read_uploads(event):
        started = time.perf_counter()
        try:
            answered = answer_upload(upload, classifier)
        except Exception as error:
            telemetry.log_exception("a photo got no answer", error, log_fields)
            failures += 1
            continue
        if answered:
            telemetry.record(*answered, log_fields, latency_ms=(time.perf_counter() - started) * 1000)
    if failures:
        raise RuntimeError(f"{failures} of the event's photos got no answer; the log above says why")


def read_uploads(event: object) -> list[Upload]:
    """The photos that an event of S3 says are new: no removals, folders or answers, and each once.

    Answers are left out here too, although the bucket's filter should: an answer to an answer would never end.
    Shape of the event: "Event message structure" of the S3 user guide. Raises: ValueError if it has another.
    """
    try:
        return list(dict.fromkeys(_uploads_of(event)))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("the event is not one that S3 sends when an object is created") from error


def answer_upload(upload: Upload, classifier: Classifier) -> tuple[int, dict[str, Any]] | None:
    """Put the JSON that a direct invoke would answer, errors too, beside the photo as `<key>.json`.

    The current version of the photo is read, whichever the event names: S3 may send events late, twice and out of
    order, and the JSON must be about the photo that it stands beside.

    Returns: HTTP status and JSON, or None if the photo is gone.
    Raises: LinkFailed, LinkTimeout, errors of botocore: S3 failed, and may succeed the next time.
    """
    try:
        status, content = 200, answer(predict_request_of({"url": upload.link}), classifier)
    except (LinkFailed, LinkTimeout) as error:
        if _is_gone(error):
            return None
        raise
    except LensletError as error:
        status, content = error.status, refusal(error)
    s3_client().put_object(
        Bucket=upload.bucket,
        Key=upload.key + ANSWER_SUFFIX,
        Body=json.dumps(content, allow_nan=False).encode(),
        ContentType="application/json",
    )
    return status, content


def _uploads_of(event: Any) -> Iterator[Upload]:
    records = event["Records"] if event.get("Event") != "s3:TestEvent" else ()  # sent when a bucket is set up
    for record in records:
        # Encoded as a form: + is a space. https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
        key = unquote_plus(record["s3"]["object"]["key"], errors="strict")
        is_answer = key.lower().endswith(ANSWER_SUFFIX)
        if record["eventName"].startswith(CREATED) and not is_answer and not key.endswith("/"):
            yield Upload(record["s3"]["bucket"]["name"], key)


def _is_gone(error: LensletError) -> bool:
    response = getattr(error.__cause__, "response", {})
    return response.get("Error", {}).get("Code") in GONE

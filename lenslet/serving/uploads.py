"""Photos that arrive in an S3 bucket: which ones an event names, and the answer that is laid beside each."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import unquote_plus

from lenslet.inference.classifier import Classifier
from lenslet.inference.errors import LensletError, LinkFailed, LinkTimeout
from lenslet.serving.answer import answer, refusal
from lenslet.serving.request import predict_request_of

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


def read_uploads(event: object) -> list[Upload]:
    """The photos that an event of S3 says are new: no removals, folders or answers, and none twice.

    An answer would get an answer, and that one too: the bucket's own filter should keep them out before.
    Shape of the event: "Event message structure" of the S3 user guide. Raises: ValueError if it has another.
    """
    try:
        return list(dict.fromkeys(_uploads_of(event)))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("the event is not one that S3 sends when an object is created") from error


def answer_upload(upload: Upload, classifier: Classifier) -> tuple[int, dict[str, Any]] | None:
    """Put the JSON that a direct invoke would answer, errors too, beside the photo as `<key>.json`.

    Read is the photo that lies there now, whichever version the event spoke of: S3 may tell late, twice and out of
    order, and the JSON must be about the photo that it lies beside.

    Returns: HTTP status and JSON, or None if the photo is gone.
    Raises: LinkFailed, LinkTimeout, botocore's errors: S3 failed, and may not the next time.
    """
    try:
        status, content = 200, answer(predict_request_of({"url": upload.link}), classifier)
    except (LinkFailed, LinkTimeout) as error:
        if _is_gone(error):
            return None
        raise
    except LensletError as error:
        status, content = error.status, refusal(error)
    _s3_client().put_object(
        Bucket=upload.bucket,
        Key=upload.key + ANSWER_SUFFIX,
        Body=json.dumps(content, allow_nan=False).encode(),
        ContentType="application/json",
    )
    return status, content


def _uploads_of(event: Any) -> Iterator[Upload]:
    records = event["Records"] if event.get("Event") != "s3:TestEvent" else ()  # sent when a bucket is set up
    for record in records:
        # As a form spells it: + is a space. https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
        key = unquote_plus(record["s3"]["object"]["key"], errors="strict")
        is_answer = key.lower().endswith(ANSWER_SUFFIX)
        if record["eventName"].startswith(CREATED) and not is_answer and not key.endswith("/"):
            yield Upload(record["s3"]["bucket"]["name"], key)


def _is_gone(error: LensletError) -> bool:
    response = getattr(error.__cause__, "response", {})
    return response.get("Error", {}).get("Code") in GONE


@cache
def _s3_client() -> Any:
    # With boto3's own retries, where `lenslet.serving.links.fetcher` has a caller who waits. Imported here: 200 ms.
    import boto3.session

    return boto3.session.Session().client("s3")

"""Tasks of a batch on AWS, which a state machine of Step Functions starts: plan, one part, manifest.

    {"task": "plan", "source": "s3://bucket/prefix", "out": "s3://bucket/prefix"}
    {"task": "part", "out": "s3://…", "part": "12", "start": "0", "end": "9000"}    bytes of the list of photos
    {"task": "manifest", "out": "s3://…"}

Each may be repeated: the same photos and model give the same objects. A photo that cannot be read is a row with an
error; where S3 itself fails, the task does, and the state machine tries it again.
"""

import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lenslet.inference.classifier import Classifier
from lenslet.inference.decode import decode
from lenslet.inference.errors import LensletError
from lenslet.inference.object_keys import S3_URL, objects_below
from lenslet.serving.batch_plan import (
    PART,
    PHOTOS_NAME,
    PLAN_NAME,
    BatchPlan,
    Source,
    SourceList,
    answer_checksum,
    plan_difference,
    plan_of_text,
    source_of,
    write_sources,
)
from lenslet.serving.batch_rows import AnswerRow, object_of, row_of
from lenslet.serving.formats import read_formats
from lenslet.serving.s3 import s3_client

PART_PHOTOS = 100
PARTS_NAME, MANIFEST_NAME = "_plan/parts.csv", "_plan/manifest.json"
MAX_BYTES = 50_000_000  # of a photo; eight are read ahead
AHEAD = 8
# What S3 says of one object that will be the same the next time.
FINAL = ("AccessDenied", "NoSuchKey", "InvalidObjectState", "403", "404")


class TaskRefused(Exception):
    """Wrong input, or a plan of other photos or another model: to try again would not help."""


class StorageAway(Exception):
    """S3 failed, and may succeed the next time."""


@dataclass(frozen=True)
class S3Prefix:
    """`s3://bucket/prefix`."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name


def run_task(event: Any, classifier: Classifier) -> dict[str, Any]:
    """What the state machine goes on with. Raises: TaskRefused, StorageAway."""
    if not isinstance(event, dict) or event.get("task") not in TASKS:
        raise TaskRefused(f"the event must be an object with task: {', '.join(TASKS)}")
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return TASKS[event["task"]](event, classifier)
    except (ClientError, BotoCoreError) as error:
        if _code_of(error) in (*FINAL, "NoSuchBucket"):
            raise TaskRefused(f"S3 refuses: {error}") from error
        raise StorageAway(str(error)) from error


def plan_batch(event: Mapping[str, Any], classifier: Classifier) -> dict[str, Any]:
    """List the photos, put the plan beside the parts, and list the parts that are not there yet."""
    source, out, client = _place(event, "source"), _place(event, "out"), s3_client()
    artifact = classifier.artifact
    with TemporaryDirectory() as folder:
        photos = Path(folder, "photos.jsonl")
        listed = write_sources(_sources(client, source), photos, each=PART_PHOTOS)
        if not listed.photos:
            raise TaskRefused(f"{source} holds no object: check the bucket and the prefix")
        plan = BatchPlan(
            listed.photos, PART_PHOTOS, listed.digest, f"{artifact.name} {artifact.version}",
            answer_checksum(artifact), artifact.labels, "jsonl",
        )  # fmt: skip
        begun = _read_plan(client, out)
        if begun is None:
            client.upload_file(str(photos), out.bucket, out.key(PHOTOS_NAME))
            client.put_object(Bucket=out.bucket, Key=out.key(PLAN_NAME), Body=plan.text().encode())
        elif reason := plan_difference(begun, plan, out):
            raise TaskRefused(f"{reason}: give another place, or delete {out} to start over")
        elif begun.part_photos != PART_PHOTOS:
            raise TaskRefused(
                f"{out} was begun with parts of {begun.part_photos} photos, here they have {PART_PHOTOS}"
            )
    missing = _missing(client, out, plan)
    body = _csv_of_parts(missing, listed)
    client.put_object(Bucket=out.bucket, Key=out.key(PARTS_NAME), Body=body.encode())
    return {
        "photos": plan.photos,
        "parts": plan.parts,
        "missing": len(missing),
        "key": out.key(PARTS_NAME),
    }


def classify_part(event: Mapping[str, Any], classifier: Classifier) -> dict[str, Any]:
    """Classify the photos of one part and put it beside the others. Returns: how many, and how many failed."""
    out, client = _place(event, "out"), s3_client()
    plan = _read_plan(client, out)
    if plan is None:
        raise TaskRefused(f"{out} has no plan")
    if plan.checksum != answer_checksum(classifier.artifact):
        raise TaskRefused(
            f"{out} was begun with the model {plan.model}, and another one was deployed meanwhile"
        )
    number, start, end = (int(event[name]) for name in ("part", "start", "end"))
    listed = client.get_object(
        Bucket=out.bucket, Key=out.key(PHOTOS_NAME), Range=f"bytes={start}-{end - 1}"
    )["Body"].read()  # fmt: skip
    rows = list(_rows([source_of(line) for line in listed.splitlines()], classifier, client))
    body = "".join(f"{json.dumps(object_of(row, plan.labels))}\n" for row in rows)
    client.put_object(Bucket=out.bucket, Key=out.key(plan.part_name(number)), Body=body.encode())
    return {"part": number, "photos": len(rows), "failed": sum(bool(row.error) for row in rows)}


def write_manifest(event: Mapping[str, Any], classifier: Classifier) -> dict[str, Any]:
    """Say which parts are there and which are missing, in `_plan/manifest.json`."""
    out, client = _place(event, "out"), s3_client()
    plan = _read_plan(client, out)
    if plan is None:
        raise TaskRefused(f"{out} has no plan")
    missing = _missing(client, out, plan)
    facts = {"photos": plan.photos, "parts": plan.parts, "missing": len(missing)}
    absent = set(missing)
    names = {
        "files": [plan.part_name(number) for number in range(plan.parts) if number not in absent],
        "missing_files": [plan.part_name(number) for number in missing],
    }
    text = json.dumps({**facts, "model": plan.model, **names}, indent=1)
    client.put_object(Bucket=out.bucket, Key=out.key(MANIFEST_NAME), Body=text.encode())
    return {**facts, "manifest": f"{out}/{MANIFEST_NAME}"}


TASKS: dict[str, Callable[[Mapping[str, Any], Classifier], dict[str, Any]]] = {
    "plan": plan_batch,
    "part": classify_part,
    "manifest": write_manifest,
}


def _sources(client: Any, place: S3Prefix) -> Iterator[Source]:
    for key, tag in objects_below(client, place.bucket, place.prefix):
        address = f"s3://{place.bucket}/{key}"
        yield Source(address, address, tag.strip('"'))


def _missing(client: Any, out: S3Prefix, plan: BatchPlan) -> list[int]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=out.bucket, Prefix=out.key(PART))
    there = {each["Key"].rpartition("/")[2] for page in pages for each in page.get("Contents", ())}
    return [number for number in range(plan.parts) if plan.part_name(number) not in there]


def _csv_of_parts(missing: list[int], listed: SourceList) -> str:
    """A line for each part: its number, and where its photos stand in the list."""
    lines = [f"{number},{listed.starts[number]},{listed.starts[number + 1]}" for number in missing]
    return "\n".join(["part,start,end", *lines, ""])


def _read_plan(client: Any, out: S3Prefix) -> BatchPlan | None:
    try:
        text = client.get_object(Bucket=out.bucket, Key=out.key(PLAN_NAME))["Body"].read()
    except client.exceptions.NoSuchKey:
        return None
    try:
        return plan_of_text(text)
    except (ValueError, KeyError, TypeError) as error:
        raise TaskRefused(f"{out}/{PLAN_NAME} is damaged: delete {out}, or give another place") from error


def _rows(sources: list[Source], classifier: Classifier, client: Any) -> Iterator[AnswerRow]:
    """The answers in the order of `sources`; objects are fetched ahead."""
    with ThreadPoolExecutor(AHEAD) as pool:
        waiting: deque[tuple[Source, Future[bytes | str]]] = deque()
        for source in sources:
            waiting.append((source, pool.submit(_read, source, client)))
            if len(waiting) > AHEAD:
                yield _row(*waiting.popleft(), classifier)
        while waiting:
            yield _row(*waiting.popleft(), classifier)


def _read(source: Source, client: Any) -> bytes | str:
    """The bytes of a photo, or why there are none. Raises: ClientError, BotoCoreError if S3 is away."""
    from botocore.exceptions import ClientError

    bucket, _, key = source.place.removeprefix("s3://").partition("/")
    try:
        stored = client.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if _code_of(error) in FINAL:
            return f"cannot be fetched: {' '.join(str(error).split())[:200]}"
        raise
    if stored["ContentLength"] > MAX_BYTES:
        return f"it is larger than {MAX_BYTES:,} bytes, and no photo"
    data: bytes = stored["Body"].read()
    return data


def _row(source: Source, read: Future[bytes | str], classifier: Classifier) -> AnswerRow:
    data = read.result()
    if isinstance(data, str):
        return AnswerRow(source.name, error=data)
    try:
        pixels = decode(data, classifier.artifact.image_size, read_formats(os.environ))
        return row_of(source.name, classifier.classify(pixels))
    except LensletError as error:
        return AnswerRow(source.name, error=str(error))


def _place(event: Mapping[str, Any], name: str) -> S3Prefix:
    match = S3_URL.fullmatch(str(event.get(name, "")))
    if not match:
        raise TaskRefused(f"{name} must be s3://bucket/prefix")
    return S3Prefix(match[1], match[2].rstrip("/"))


def _code_of(error: Exception) -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))

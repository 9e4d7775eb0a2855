"""Photos put into a bucket: hand-written events of S3, and a bucket of moto on the loopback interface."""

import base64
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote_plus

import pytest

import lambda_func
from lenslet.serving import uploads
from lenslet.serving.links import fetcher as remote
from lenslet.serving.s3 import s3_client
from lenslet.serving.uploads import Upload, read_uploads
from tests.support.aws import moto_server, s3_at
from tests.support.function_log import write_metrics
from tests.support.photos import GREEN, RED, plain

EVENTS = Path(__file__).parents[1] / "events" / "s3"
BUCKET = "lenslet-staging-uploads-123456789012-eu-central-1"
CONTEXT = SimpleNamespace(aws_request_id="5f2c")


def read_event(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


def created(*keys: str, bucket: str = BUCKET) -> dict[str, Any]:
    """One event of S3 that says of each key, spelled as it is, that it is new."""
    records = []
    for key in keys:
        record = read_event("created")["Records"][0]
        record["s3"]["bucket"]["name"] = bucket
        record["s3"]["object"]["key"] = quote_plus(key)
        records.append(record)
    return {"Records": records}


# --- what an event says


def test_keys_are_form_encoded() -> None:
    assert read_uploads(read_event("created")) == [Upload(BUCKET, "holiday photos/café 100%.jpg")]


def test_only_new_photos_count_and_each_once() -> None:
    # Not the answer, the folder, what was removed or restored.
    assert read_uploads(read_event("mixed")) == [Upload(BUCKET, "coast.tiff"), Upload(BUCKET, "forest.JPG")]


def test_the_event_of_a_new_notification_names_nothing() -> None:
    assert read_uploads(read_event("test")) == []


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        {},
        {"Records": None},
        {"Records": [{}]},
        {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": {"key": "a.jpg"}}}]},
        {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": {"key": 7}}}]},
        {"Records": [{"eventName": None, "s3": {"object": {"key": "a.jpg"}}}]},
        {"image": "iVBORw0KGgo="},
    ],
)
def test_another_event_is_refused(event: object) -> None:
    with pytest.raises(ValueError, match="not one that S3 sends"):
        read_uploads(event)


def test_a_key_that_is_not_utf8_is_refused() -> None:
    event = created("a.jpg")
    event["Records"][0]["s3"]["object"]["key"] = "%ff.jpg"
    with pytest.raises(ValueError, match="invalid start byte"):
        read_uploads(event)


# --- a bucket


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """A client of S3 by moto, which is this process's S3 too, with the bucket BUCKET."""
    import boto3

    with moto_server() as address, s3_at(address) as patch:
        patch.setenv("LENSLET_S3_BUCKETS", f"{BUCKET},no-such-bucket")
        s3_client.cache_clear()
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield client
        s3_client.cache_clear()


@pytest.fixture
def bucket(server: Any) -> Iterator[Any]:
    yield server
    for version in server.list_object_versions(Bucket=BUCKET).get("Versions", ()):
        server.delete_object(Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"])


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """What the function has written so far, in objects."""
    write_metrics(monkeypatch)
    return lambda: [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def put(client: Any, key: str, content: bytes) -> None:
    client.put_object(Bucket=BUCKET, Key=key, Body=content)


def read_answer(client: Any, key: str) -> Any:
    stored = client.get_object(Bucket=BUCKET, Key=f"{key}.json")
    assert stored["ContentType"] == "application/json"
    return json.loads(stored["Body"].read())


def keys_in(client: Any) -> list[str]:
    return [each["Key"] for each in client.list_objects_v2(Bucket=BUCKET).get("Contents", ())]


def direct(photo: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = lambda_func.handler({"image": base64.b64encode(photo).decode()}, None)
    return answer


@pytest.mark.slow
def test_a_photo_gets_the_answer_of_a_direct_invoke(bucket: Any, log: Any) -> None:
    photo = plain(GREEN, "JPEG", side=64)
    put(bucket, "holiday photos/café 100%.jpg", photo)
    lambda_func.label_upload(read_event("created"), CONTEXT)
    written = log()
    answer = read_answer(bucket, "holiday photos/café 100%.jpg")
    assert answer == direct(photo)
    assert sum(each["probability"] for each in answer["predictions"]) == pytest.approx(1, abs=1e-5)
    [line] = [line for line in written if "_aws" not in line]
    assert (line["message"], line["status"], line["request_id"]) == ("answered", 200, "5f2c")
    assert "caf" not in json.dumps(written)
    assert any("Uncertain" in line for line in written)


@pytest.mark.slow
@pytest.mark.parametrize(
    "key", ["100%20sure+.jpg", "why?&#.jpg", "/a//b.jpg", "日本.jpg", "a://b.jpg", "dir/.png"]
)
def test_the_answer_is_written_beside_the_photo_whatever_its_name(bucket: Any, key: str) -> None:
    put(bucket, key, plain(RED))
    lambda_func.label_upload(created(key), CONTEXT)
    assert keys_in(bucket) == sorted([key, f"{key}.json"])


@pytest.mark.slow
def test_other_files_get_an_error_of_the_contract(bucket: Any, log: Any) -> None:
    put(bucket, "notes.jpg", b"no photo at all")
    put(bucket, "empty.jpg", b"")
    put(bucket, "cut.png", plain(RED, side=64)[:60])
    lambda_func.label_upload(created("notes.jpg", "empty.jpg", "cut.png"), CONTEXT)
    answers = {
        key: read_answer(bucket, key)["error"]["code"] for key in ("notes.jpg", "empty.jpg", "cut.png")
    }
    assert answers == {"notes.jpg": "not_an_image", "empty.jpg": "not_an_image", "cut.png": "broken_image"}
    assert [line["status"] for line in log() if "status" in line] == [415, 415, 422]  # else metrics


@pytest.mark.slow
def test_a_photo_may_have_20_mebibytes(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert remote.MAX_BYTES == 20 * 1024 * 1024
    photo = plain(RED)
    monkeypatch.setattr(remote, "MAX_BYTES", len(photo))
    put(bucket, "at the limit.png", photo)
    put(bucket, "above.png", photo + b"\0")
    lambda_func.label_upload(created("at the limit.png", "above.png"), CONTEXT)
    assert "predictions" in read_answer(bucket, "at the limit.png")
    assert read_answer(bucket, "above.png")["error"]["code"] == "request_too_large"


@pytest.mark.slow
def test_a_photo_that_is_gone_gets_no_answer(bucket: Any) -> None:
    lambda_func.label_upload(created("gone.jpg"), CONTEXT)
    assert keys_in(bucket) == []


@pytest.mark.slow
def test_an_answer_gets_no_answer(bucket: Any) -> None:
    put(bucket, "photo.jpg", plain(RED))
    lambda_func.label_upload(created("photo.jpg"), CONTEXT)
    lambda_func.label_upload(created("photo.jpg.json", "PHOTO.JSON"), CONTEXT)
    assert keys_in(bucket) == ["photo.jpg", "photo.jpg.json"]


@pytest.mark.slow
def test_a_late_event_is_answered_for_the_current_photo(bucket: Any) -> None:
    bucket.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    first = bucket.put_object(Bucket=BUCKET, Key="photo.png", Body=plain(RED))["VersionId"]
    put(bucket, "photo.png", plain(GREEN))
    event = created("photo.png")
    event["Records"][0]["s3"]["object"]["versionId"] = first
    lambda_func.label_upload(event, CONTEXT)
    assert read_answer(bucket, "photo.png") == direct(plain(GREEN)) != direct(plain(RED))


@pytest.mark.slow
def test_other_photos_are_answered_where_s3_fails_and_lambda_retries(bucket: Any, log: Any) -> None:
    put(bucket, "photo.jpg", plain(RED))
    event = created("photo.jpg", bucket="no-such-bucket")
    event["Records"] += created("photo.jpg")["Records"]
    with pytest.raises(RuntimeError, match="1 of the event's photos got no answer"):
        lambda_func.label_upload(event, CONTEXT)
    assert keys_in(bucket) == ["photo.jpg", "photo.jpg.json"]
    [line] = [line for line in log() if line.get("level") == "ERROR"]
    assert line["exception_name"] == "LinkFailed"
    assert "photo.jpg" not in json.dumps(line)


@pytest.mark.slow
def test_an_answer_that_cannot_be_put_is_a_failure(
    bucket: Any, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, "photo.jpg", plain(RED))
    s3_client(remote.S3_TIMEOUT_FACTOR * remote.TIMEOUT_S, attempts=1)  # reads from moto still
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening: connections are refused
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setattr(uploads, "s3_client", s3_client.__wrapped__)
        with pytest.raises(RuntimeError, match="1 of the event's photos"):
            lambda_func.label_upload(created("photo.jpg"), CONTEXT)
    assert keys_in(bucket) == ["photo.jpg"]
    assert [line["exception_name"] for line in log()] == ["EndpointConnectionError"]


@pytest.mark.slow
def test_other_buckets_are_not_read(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(bucket, "photo.jpg", plain(RED))
    monkeypatch.setenv("LENSLET_S3_BUCKETS", "another-bucket")
    lambda_func.label_upload(created("photo.jpg"), CONTEXT)
    assert read_answer(bucket, "photo.jpg")["error"]["code"] == "link_refused"

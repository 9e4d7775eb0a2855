"""POST /feedback: what is stored, what is refused, and that neither a flood nor a made-up label gets through."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from PIL import Image

import lambda_func
from lenslet.inference.errors import TooMuchFeedback
from lenslet.serving import feedback
from lenslet.serving.access import Access
from lenslet.serving.feedback import FeedbackPlace, RateLimit, read_feedback_place
from lenslet.serving.models import Models
from lenslet.serving.s3 import s3_client
from tests.support.aws import moto_server, s3_at
from tests.support.endpoint import running
from tests.support.function_log import write_metrics
from tests.support.photos import plain, quadrants

EVENT = json.loads(Path("tests/events/function_url_feedback.json").read_text())
SAMPLE = Path("data/sample/test/forest/00.jpg").read_bytes()


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "RATE_LIMIT", RateLimit(lambda: 1_000_000.0))


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("LENSLET_FEEDBACK", str(tmp_path))
    return tmp_path


def send(photo: bytes = SAMPLE, **fields: Any) -> tuple[int, dict[str, Any]]:
    """Status and JSON of a correction, by default that the label is sea; a field that is ... is left out."""
    content = {"image": base64.b64encode(photo).decode(), "label": "sea", "consent": True} | fields
    body = json.dumps({name: value for name, value in content.items() if value is not ...})
    answer = lambda_func.handler(EVENT | {"body": body}, None)
    return answer["statusCode"], json.loads(answer["body"])


def with_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90°
    exif[0x010F] = "a camera with a name"
    exif.get_ifd(0x8825)[1] = "N"
    file = BytesIO()
    quadrants("RGBY").save(file, "JPEG", exif=exif, comment=b"written by a person")
    return file.getvalue()


# --- what is stored


def test_photo_and_record_are_stored(folder: Path) -> None:
    status, content = send()
    assert status == 200
    assert sorted(file.suffix for file in folder.iterdir()) == [".jpg", ".json"]
    photo = folder / f"{content['id']}.jpg"
    assert hashlib.sha256(photo.read_bytes()).hexdigest().startswith(content["id"])
    [path] = folder.glob("*.json")
    record = json.loads(path.read_text())
    direct = lambda_func.handler({"image": base64.b64encode(SAMPLE).decode()}, None)
    assert record["predictions"] == direct["predictions"]
    assert record["model"] == direct["model"]
    assert (record["given"], record["label"]) == (direct["predictions"][0]["label"], "sea")
    assert record["photo"] == photo.name
    assert record["format"] == 1
    assert record["time"].endswith("Z")


def test_no_metadata_is_stored_and_the_photo_is_upright(folder: Path) -> None:
    assert send(with_exif())[0] == 200
    [path] = folder.glob("*.jpg")
    stored = Image.open(path)
    assert (stored.size, stored.format) == ((512, 512), "JPEG")
    assert not stored.getexif() and "comment" not in stored.info
    assert b"camera" not in path.read_bytes()
    # Quadrants R G / B Y, turned clockwise: B R / Y G.
    red, green, blue = stored.getpixel((100, 100))
    assert blue > 200 and red < 60 and green < 60


def test_none_of_the_labels_is_an_answer(folder: Path) -> None:
    assert send(label=None)[0] == 200
    [path] = folder.glob("*.json")
    assert json.loads(path.read_text())["label"] is None


def test_the_same_correction_twice_is_one_and_another_label_is_another(folder: Path) -> None:
    assert send() == send()
    send(label="forest")
    assert len(list(folder.glob("*.jpg"))) == 1
    assert sorted(json.loads(path.read_text())["label"] for path in folder.glob("*.json")) == [
        "forest",
        "sea",
    ]


def test_log_says_nothing_of_the_photo(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_metrics(monkeypatch)
    _, content = send()
    lines = capfd.readouterr().out
    [line] = [json.loads(line) for line in lines.splitlines() if "_aws" not in line]
    assert (line["path"], line["status"], line["labels"]) == ("/feedback", 200, [])
    assert content["id"] not in lines and "sea" not in lines and str(folder) not in lines


# --- what is refused


def test_without_the_setting_nothing_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "  "):
        monkeypatch.setenv("LENSLET_FEEDBACK", value)
        status, content = send()
        assert (status, content["error"]["code"]) == (404, "not_found")
        described = lambda_func.handler({**EVENT, "rawPath": "/", "requestContext": get("/")}, None)
        assert json.loads(described["body"])["takes_feedback"] is False


def test_page_is_told_that_corrections_are_taken(folder: Path) -> None:
    described = lambda_func.handler({**EVENT, "rawPath": "/", "requestContext": get("/")}, None)
    assert json.loads(described["body"])["takes_feedback"] is True


def get(path: str) -> dict[str, Any]:
    return {"http": {"method": "GET", "path": path}}


BOMB = b"\x89PNG\r\n\x1a\n" + bytes(100)


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"label": "<script>alert(1)</script>"}, 400, "one of the model's labels"),
        ({"label": "Sea"}, 400, "one of the model's labels"),
        ({"label": ["sea"]}, 400, "one of the model's labels"),
        ({"label": {"a": 1}}, 400, "one of the model's labels"),
        ({"label": True}, 400, "one of the model's labels"),
        ({"label": ...}, 400, "one of the model's labels"),
        ({"label": "x" * 5_000_000}, 400, "one of the model's labels"),
        ({"model": None}, 400, "model must be a name"),
        ({"model": 7}, 400, "model must be a name"),
        ({"consent": ...}, 400, "consent must be true"),
        ({"consent": "true"}, 400, "consent must be true"),
        ({"consent": 1}, 400, "consent must be true"),
        ({"name": "../../etc/passwd"}, 400, "unknown field 'name'"),
        ({"url": "https://example.com/a.jpg"}, 400, "exactly one of url, image"),
        ({"image": ...}, 400, "exactly one of url, image"),
        ({"image": 7}, 400, "must be a string"),
        ({"image": "?"}, 400, "not valid base64"),
        ({"image": base64.b64encode(b"GIF is what this is not").decode()}, 415, "not an image"),
        ({"image": base64.b64encode(b"<svg onload=alert(1)>").decode()}, 415, "not an image"),
        ({"image": base64.b64encode(SAMPLE[:900]).decode()}, 422, "truncated"),
        ({"image": base64.b64encode(BOMB).decode()}, 422, "truncated or damaged"),
        ({"image": base64.b64encode(bytes(2 * 1024**2 + 1)).decode()}, 413, "2,097,152 bytes"),
        ({"image": "A" * 6_700_000}, 413, "the limit"),
        ({"url": "http://127.0.0.1/a.jpg", "image": ...}, 422, ""),
        ({"url": "file:///etc/passwd", "image": ...}, 422, "only http"),
    ],
)
def test_poisoned_corrections_leave_nothing(
    folder: Path, fields: dict[str, Any], status: int, message: str
) -> None:
    found, content = send(**fields)
    assert found == status
    assert message in content["error"]["message"]
    assert "script" not in content["error"]["message"]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"body": "photo"},
            'the body is not JSON (UTF-8); a correction is {"image": base64, "label": …, "consent": true}',
        ),
        ({"queryStringParameters": {"model": "x"}}, "unknown query parameter 'model'; known are none"),
    ],
)
def test_requests_of_predict_are_told_what_a_correction_is(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    answer = lambda_func.handler(EVENT | changes, None)
    assert json.loads(answer["body"])["error"] == {"code": "bad_request", "message": message}


def test_key_comes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lambda_func, "access", Access((hashlib.sha256(b"the key").digest(),)))
    assert send()[0] == 401
    assert list(folder.iterdir()) == []
    event = {**EVENT, "headers": {**EVENT["headers"], "x-api-key": "the key"}}
    assert lambda_func.handler(event, None)["statusCode"] == 200


def test_flood_stops_at_the_limit_of_a_minute(folder: Path) -> None:
    for number in range(20):
        assert send(plain((number, 0, 0)))[0] == 200
    before = sorted(folder.iterdir())
    body = json.dumps({"image": base64.b64encode(SAMPLE).decode(), "label": "sea", "consent": True})
    answer = lambda_func.handler(EVENT | {"body": body}, None)
    assert answer["statusCode"] == 429
    assert answer["headers"]["Retry-After"] == "60"
    assert json.loads(answer["body"])["error"]["code"] == "too_much_feedback"
    assert sorted(folder.iterdir()) == before


def test_what_is_refused_takes_nothing_from_the_others(folder: Path) -> None:
    for _ in range(30):
        assert send(label="no label")[0] == 400
    assert send()[0] == 200


def test_limit_of_a_day_outlasts_that_of_a_minute() -> None:
    now = 0.0
    limit = RateLimit(lambda: now)
    taken = 0
    for minute in range(24 * 60):
        now = minute * 60.0
        for _ in range(25):
            try:
                limit.take()
            except TooMuchFeedback:
                break
            taken += 1
    assert taken == 1000
    now = 24 * 60 * 60.0
    limit.take()


def test_limit_holds_among_threads() -> None:
    limit = RateLimit(lambda: 0.0)
    taken = []

    def take() -> None:
        for _ in range(10):
            try:
                limit.take()
                taken.append(1)
            except TooMuchFeedback:
                pass

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 20


# --- the setting


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", None),
        (" ", None),
        ("s3://bucket", FeedbackPlace(None, "bucket", "")),
        ("s3://bucket/", FeedbackPlace(None, "bucket", "")),
        ("s3://bucket/from page/", FeedbackPlace(None, "bucket", "from page/")),
        ("s3://bucket/a/b", FeedbackPlace(None, "bucket", "a/b/")),
    ],
)
def test_places(text: str, place: FeedbackPlace | None) -> None:
    assert read_feedback_place({"LENSLET_FEEDBACK": text}) == place


@pytest.mark.parametrize("text", ["s3://", "s3://a b/c", "s3:///key", "s3://bucket/a?b", "/no/such/folder"])
def test_place_that_cannot_be_stops_the_start(text: str) -> None:
    with pytest.raises(ValueError, match="LENSLET_FEEDBACK"):
        read_feedback_place({"LENSLET_FEEDBACK": text})


def test_disk_that_fails_is_an_error_of_the_service(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENSLET_FEEDBACK", str(folder / "deleted since"))
    assert send()[0] == 500


# --- S3, and the server


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import boto3

    with moto_server() as address, s3_at(address) as patch:
        patch.setenv("LENSLET_FEEDBACK", "s3://corrections/from page")
        s3_client.cache_clear()
        client = boto3.client("s3")
        client.create_bucket(Bucket="corrections")
        yield client
        s3_client.cache_clear()


@pytest.mark.slow
def test_bucket_holds_photo_and_record(bucket: Any) -> None:
    status, content = send()
    assert status == 200
    keys = [each["Key"] for each in bucket.list_objects_v2(Bucket="corrections")["Contents"]]
    photo, record = sorted(keys, key=lambda key: key.endswith(".json"))
    assert photo == f"from page/{content['id']}.jpg"
    stored = bucket.get_object(Bucket="corrections", Key=photo)
    assert stored["ContentType"] == "image/jpeg"
    assert Image.open(BytesIO(stored["Body"].read())).size == (512, 512)
    read = json.loads(bucket.get_object(Bucket="corrections", Key=record)["Body"].read())
    assert (read["photo"], read["label"]) == (f"{content['id']}.jpg", "sea")


@pytest.mark.slow
def test_server_stores_corrections(folder: Path) -> None:
    with running("--workers", "1") as (address, _):
        content = {"image": base64.b64encode(SAMPLE).decode(), "label": "sea", "consent": True}
        answer = requests.post(f"{address}/feedback", json=content, timeout=30)
    assert answer.status_code == 200
    assert (folder / f"{answer.json()['id']}.jpg").exists()


def test_model_that_had_answered_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    default = lambda_func.models.default
    other = SimpleNamespace(artifact=replace(default.artifact, name="other"), classify=default.classify)
    monkeypatch.setattr(lambda_func, "models", Models({"first": default, "second": other}))  # type: ignore[dict-item]
    assert send(model="second")[0] == 200
    [path] = folder.glob("*.json")
    assert json.loads(path.read_text())["model"]["name"] == "other"
    for model, message in ((7, "must be a name"), ("third", "no model 'third'")):
        status, content = send(model=model)
        assert (status, content["error"]["code"]) == (400, "bad_request")
        assert message in content["error"]["message"]

"""The function's image, built from the Dockerfile without an engine, under AWS's Runtime Interface Emulator."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import PIL.Image
import pytest

import lambda_func
from tests.serving.test_image import LAMBDA_ENVIRONMENT
from tests.serving.test_lambda_func import ANSWERS
from tests.serving.test_uploads import BUCKET
from tests.support.aws import moto_server
from tests.support.containers import ROOT, Builder, Image
from tests.support.emulator import Emulator, emulating
from tests.support.photos import RED, plain, saved

pytest_plugins = ["tests.support.images"]
pytestmark = pytest.mark.slow

EVENTS = ROOT / "tests" / "events"
LARGEST_ANSWER_BYTES = 6_291_556  # of Lambda: 6 MiB and 100 bytes
TIMEOUT_S = 6  # after a failure it holds for the start of a new process, too
HEALTH = (EVENTS / "http_api_health.json").read_bytes()

# Failures of functions. The real handler prevents all of them, so another handler causes them on purpose.
FAILURES = """
import os, time
from lambda_func import handler as whole

def handler(event, context):
    match event.get("failure"):
        case "large": return {"text": "x" * event["characters"]}
        case "late": time.sleep(60)
        case "crash": os._exit(3)
        case "raise": raise ValueError("on purpose")
        case "environment": return dict(os.environ)
        case _: return whole(event, context)
"""


@pytest.fixture(scope="module")
def image(function_builder: Builder) -> Image:
    return function_builder.build()


@pytest.fixture(scope="module")
def function(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    environment = {**LAMBDA_ENVIRONMENT, **image.environment}
    log = tmp_path_factory.mktemp("function") / "log"
    with emulating(image.folder, image.command, log, **environment) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def failing_function(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The same function behind a handler that fails on request."""
    folder = tmp_path_factory.mktemp("failing_function")
    (folder / "failing.py").write_text(FAILURES, encoding="utf-8")
    environment = {**LAMBDA_ENVIRONMENT, **image.environment, "PYTHONPATH": str(folder)}
    environment["AWS_LAMBDA_FUNCTION_TIMEOUT"] = str(TIMEOUT_S)
    command = [*image.command[:-1], "failing.handler"]
    with emulating(image.folder, command, folder / "log", **environment) as emulator:
        yield emulator


@pytest.mark.parametrize("name", ANSWERS)
def test_event_is_answered_as_by_a_direct_call(function: Emulator, name: str) -> None:
    event = (EVENTS / f"{name}.json").read_bytes()
    response = function.invoke(event)
    assert response.status_code == 200, function.log.read_text()
    content = response.json()
    status, code = ANSWERS[name]
    assert content.get("statusCode") == status
    answer = json.loads(content["body"] or "{}") if status else content
    assert answer.get("error", {}).get("code") == code
    assert content == lambda_func.handler(json.loads(event), None)


def photo_event(photo: bytes) -> bytes:
    """An HTTP request with the photo in base64, as a gateway passes it on."""
    event = json.loads((EVENTS / "http_api_predict_image.json").read_bytes())
    event["body"] = json.dumps({"image": base64.b64encode(photo).decode()})
    event["isBase64Encoded"] = False
    return json.dumps(event).encode()


@pytest.fixture(scope="module")
def large_photo() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (2000, 3000, 3), np.uint8)
    photo = saved(PIL.Image.fromarray(noise), "JPEG", quality=80)
    assert 4_000_000 < len(photo) < 4_400_000
    return photo.ljust(4_400_000, b"\0")  # what follows the picture's end is not read


def test_photo_of_the_largest_size(function: Emulator, large_photo: bytes) -> None:
    event = photo_event(large_photo)
    content = function.invoke(event).json()
    assert content["statusCode"] == 200
    assert content == lambda_func.handler(json.loads(event), None)


MISFORTUNES = [
    # event, status, what the answer says. Without a gateway around, an exception and a time-out are 200.
    ({"failure": "large", "characters": LARGEST_ANSWER_BYTES - len('{"text": ""}')}, 200, '{"text": "xxx'),
    ({"failure": "large", "characters": LARGEST_ANSWER_BYTES}, 502, "Function.ResponseSizeTooLarge"),
    ({"failure": "late"}, 200, f"Task timed out after {TIMEOUT_S}.00 seconds"),
    ({"failure": "crash"}, 502, "Runtime exited with error: exit status 3"),
    ({"failure": "raise"}, 200, '"errorMessage": "on purpose", "errorType": "ValueError"'),
]  # fmt: skip


@pytest.mark.parametrize(("event", "status", "sentence"), MISFORTUNES)
def test_function_survives(
    failing_function: Emulator, event: dict[str, object], status: int, sentence: str
) -> None:
    response = failing_function.invoke(json.dumps(event).encode())
    assert (response.status_code, sentence in response.text) == (status, True), response.text[:500]
    # In a new process, where the old one is gone.
    assert failing_function.invoke(HEALTH).json() == lambda_func.handler(json.loads(HEALTH), None)


def test_event_that_is_cut_off(function: Emulator, large_photo: bytes) -> None:
    """By who sends it, or by the emulator above 6 MB, where Lambda itself would answer 413."""
    for event in (b"{not JSON", photo_event(large_photo + bytes(400_000))):
        assert function.invoke(event).json()["errorType"] == "Runtime.UnmarshalError"
        assert function.invoke(HEALTH).json()["statusCode"] == 200


def test_credentials_of_this_machine_do_not_reach_the_function(failing_function: Emulator) -> None:
    environment = failing_function.invoke(b'{"failure": "environment"}').json()
    assert environment["AWS_SECRET_ACCESS_KEY"] == ""
    assert environment["_HANDLER"] == "failing.handler"


def test_log_holds_a_line_for_each_event_and_no_picture(function: Emulator) -> None:
    request = (EVENTS / "direct_predict_image.json").read_bytes()
    before = function.log.read_text().count('"message":"answered"')
    assert function.invoke(request).status_code == 200
    log = function.log.read_text()
    assert log.count('"message":"answered"') == before + 1
    assert json.loads(request)["image"][:60] not in log


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[dict[str, str], Any]]:
    """S3 by moto on the loopback interface: the environment of who uses it, and a client. The bucket is empty."""
    nobody = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    with moto_server() as address:
        client = boto3.client(
            "s3", endpoint_url=address, region_name="us-east-1",
            aws_access_key_id="none", aws_secret_access_key="none",
        )  # fmt: skip
        client.create_bucket(Bucket=BUCKET)
        yield {**nobody, "AWS_ENDPOINT_URL_S3": address, "LENSLET_S3_BUCKETS": BUCKET}, client


def test_events_of_s3_write_an_answer_beside_each_photo(
    image: Image, bucket: tuple[dict[str, str], Any], tmp_path: Path
) -> None:
    settings, client = bucket
    photos = ["coast.tiff", "forest.JPG", "holiday photos/café 100%.jpg", "not in an event.jpg"]
    for key in photos:
        client.put_object(Bucket=BUCKET, Key=key, Body=plain(RED))
    environment = {**LAMBDA_ENVIRONMENT, **image.environment, **settings}
    command = [*image.command[:-1], "lambda_func.label_upload"]
    with emulating(image.folder, command, tmp_path / "log", **environment) as function:
        for path in sorted((EVENTS / "s3").glob("*.json")):
            response = function.invoke(path.read_bytes())
            assert (response.status_code, response.text) == (200, "null"), function.log.read_text()
    listed = [each["Key"] for each in client.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert sorted(listed) == sorted([*photos, *(f"{key}.json" for key in photos[:3])])
    expected = lambda_func.handler({"image": base64.b64encode(plain(RED)).decode()}, None)
    for key in photos[:3]:
        body = client.get_object(Bucket=BUCKET, Key=f"{key}.json")["Body"].read()
        assert json.loads(body) == expected

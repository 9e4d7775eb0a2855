"""Tasks of a batch on AWS against moto's S3: the rows of `lenslet predict`, whatever S3 does meanwhile."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

import lambda_func
from lenslet.cli import main
from lenslet.inference.classifier import Classifier
from lenslet.serving import label_batch
from lenslet.serving.label_batch import StorageAway, TaskRefused, run_task
from lenslet.serving.s3 import s3_client
from tests.support.aws import mocked_aws
from tests.support.batch import SAMPLES
from tests.support.endpoint import ROOT

PLACES = {"source": "s3://in-photos/set", "out": "s3://out-answers/run"}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(label_batch, "PART_PHOTOS", 3)
    with mocked_aws():
        s3_client.cache_clear()
        client = boto3.client("s3")
        for bucket in ("in-photos", "out-answers"):
            client.create_bucket(Bucket=bucket)
        for photo in SAMPLES[::10]:
            client.put_object(
                Bucket="in-photos", Key=f"set/{photo.parent.name} é.jpg", Body=photo.read_bytes()
            )
        client.put_object(Bucket="in-photos", Key="set/broken.jpg", Body=SAMPLES[0].read_bytes()[:300])
        client.put_object(Bucket="in-photos", Key="set/notes.txt", Body=b"no photo")
        client.put_object(Bucket="in-photos", Key="set/folder/", Body=b"")
        yield client
        s3_client.cache_clear()


def run(task: str, **fields: Any) -> dict[str, Any]:
    return lambda_func.label_batch({"task": task, **PLACES, **fields}, SimpleNamespace())


def run_all(client: Any) -> list[dict[str, Any]]:
    plan = run("plan")
    body = client.get_object(Bucket="out-answers", Key=plan["key"])["Body"].read().decode()
    return [run("part", **row) for row in csv.DictReader(io.StringIO(body))]


def objects(client: Any, prefix: str) -> dict[str, bytes]:
    found = client.list_objects_v2(Bucket="out-answers", Prefix=prefix).get("Contents", [])
    return {
        each["Key"].removeprefix(prefix): client.get_object(Bucket="out-answers", Key=each["Key"])[
            "Body"
        ].read()
        for each in found
    }


def test_plan_parts_and_manifest_are_those_of_predict(client: Any) -> None:
    assert run("plan") == {"photos": 8, "parts": 3, "missing": 3, "key": "run/_plan/parts.csv"}
    assert [each["failed"] for each in run_all(client)] == [1, 1, 0]
    assert run("manifest") == {
        "photos": 8, "parts": 3, "missing": 0, "manifest": "s3://out-answers/run/_plan/manifest.json",
    }  # fmt: skip
    words = ["--model", str(ROOT / "model"), "--part-photos", "3", "--out", "s3://out-answers/local/"]
    assert main(["predict", "s3://in-photos/set", *words]) == 0
    ours, theirs = objects(client, "run/"), objects(client, "local/")
    for name in theirs:
        assert ours[name] == theirs[name], name
    assert len(theirs) == 3 + 2


def test_predict_finishes_what_the_function_began(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run_all(client)
    whole = objects(client, "run/part")
    client.delete_object(Bucket="out-answers", Key="run/part-000001.jsonl")
    words = ["s3://in-photos/set", "--model", str(ROOT / "model"), "--out", "s3://out-answers/run"]
    assert main(["predict", *words, "--check"]) == 1
    assert main(["predict", *words]) == 0
    assert objects(client, "run/part") == whole


def test_only_missing_parts_are_planned_and_a_part_may_be_repeated(client: Any) -> None:
    run_all(client)
    whole = objects(client, "run/part")
    client.delete_object(Bucket="out-answers", Key="run/part-000001.jsonl")
    assert run("manifest")["missing"] == 1
    assert json.loads(objects(client, "run/_plan/")["manifest.json"])["missing_files"] == [
        "part-000001.jsonl"
    ]
    assert run("plan")["missing"] == 1
    assert [each["part"] for each in run_all(client)] == [1]
    assert objects(client, "run/part") == whole
    assert run("plan")["missing"] == 0


def failing(monkeypatch: pytest.MonkeyPatch, key: str, error: Exception) -> None:
    """The client of the function, which says this of one object."""
    made = boto3.client("s3")
    get = made.get_object

    def get_object(**words: Any) -> Any:
        if words["Key"] == key:
            raise error
        return get(**words)

    made.get_object = get_object
    monkeypatch.setattr(label_batch, "s3_client", lambda: made)


def test_denied_object_and_broken_photo_are_rows(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "Access Denied"}}, "GetObject")
    failing(monkeypatch, "set/sea é.jpg", denied)
    run_all(client)
    lines = b"".join(objects(client, "run/part").values()).splitlines()
    errors = {row["file"]: row["error"] for row in map(json.loads, lines) if "error" in row}
    assert set(errors) == {f"s3://in-photos/set/{name}" for name in ("broken.jpg", "notes.txt", "sea é.jpg")}
    assert "AccessDenied" in errors["s3://in-photos/set/sea é.jpg"]
    assert "damaged" in errors["s3://in-photos/set/broken.jpg"]


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "SlowDown", "Message": "Please reduce your rate"}}, "GetObject"),
        ClientError({"Error": {"Code": "InternalError", "Message": "oops"}}, "GetObject"),
        EndpointConnectionError(endpoint_url="https://s3"),
    ],
)
def test_what_may_pass_fails_the_task_and_writes_no_part(
    client: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    failing(monkeypatch, "set/sea é.jpg", error)
    with pytest.raises(StorageAway):
        run_all(client)
    assert "-000002.jsonl" not in objects(client, "run/part")


def test_other_photos_or_another_model_are_refused(client: Any) -> None:
    run_all(client)
    client.put_object(Bucket="in-photos", Key="set/more.jpg", Body=SAMPLES[0].read_bytes())
    with pytest.raises(TaskRefused, match=r"was begun with \(8 then, 9 now"):
        run("plan")
    artifact = lambda_func.models.default.artifact
    other = SimpleNamespace(artifact=replace(artifact, ood_threshold=artifact.ood_threshold / 2))
    with pytest.raises(TaskRefused, match="another one was deployed meanwhile"):
        run_task({"task": "part", **PLACES, "part": "0", "start": "0", "end": "10"}, _as_classifier(other))


def _as_classifier(stand_in: Any) -> Classifier:
    return stand_in  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (None, "the event must be an object with task: plan, part, manifest"),
        ({"task": "dance"}, "with task: plan, part, manifest"),
        (
            {"task": "plan", "source": "photos", "out": "s3://out-answers/x"},
            "source must be s3://bucket/prefix",
        ),
        ({"task": "plan", "source": "s3://in-photos/none", "out": "s3://out-answers/x"}, "holds no object"),
        (
            {"task": "plan", "source": "s3://no-bucket/x", "out": "s3://out-answers/x"},
            "S3 refuses: .*NoSuchBucket",
        ),
        ({"task": "manifest", "out": "s3://out-answers/x"}, "s3://out-answers/x has no plan"),
    ],
)
def test_wrong_tasks(client: Any, event: Any, message: str) -> None:
    with pytest.raises(TaskRefused, match=message):
        lambda_func.label_batch(event, None)

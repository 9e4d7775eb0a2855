"""Photos from and parts into S3, by moto; what S3 denies is a row or a sentence."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from lenslet.batch import outputs
from lenslet.cli import main
from tests.support.aws import mocked_aws
from tests.support.batch import SAMPLES
from tests.support.endpoint import ROOT

WORDS = ("--model", str(ROOT / "model"), "--part-photos", "2")


@pytest.fixture
def client() -> Iterator[Any]:
    """Buckets `in`, with six photos and a note, and `out`."""
    with mocked_aws():
        client = boto3.client("s3")
        for bucket in ("in-photos", "out-answers"):
            client.create_bucket(Bucket=bucket)
        for photo in SAMPLES[::10]:
            client.put_object(Bucket="in-photos", Key=f"set/{photo.parent.name}.jpg", Body=photo.read_bytes())
        client.put_object(Bucket="in-photos", Key="set/notes.txt", Body=b"no photo")
        client.put_object(Bucket="in-photos", Key="set2/other.jpg", Body=b"no photo")
        yield client


def parts(client: Any) -> dict[str, list[dict[str, Any]]]:
    found = client.list_objects_v2(Bucket="out-answers").get("Contents", [])
    bodies = {
        each["Key"]: client.get_object(Bucket="out-answers", Key=each["Key"])["Body"].read() for each in found
    }
    return {
        key: [json.loads(line) for line in body.splitlines()]
        for key, body in bodies.items()
        if "/part-" in key
    }


def predict(*words: str) -> int:
    return main(["predict", *words, *WORDS])


def test_from_bucket_to_bucket_and_on(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict("s3://in-photos/set", "--out", "s3://out-answers/run/") == 0
    found = parts(client)
    assert sorted(found) == [f"run/part-00000{number}.jsonl" for number in range(4)]
    rows = [row for key in sorted(found) for row in found[key]]
    assert [row["file"] for row in rows] == [
        f"s3://in-photos/set/{name}"
        for name in ("buildings.jpg", "forest.jpg", "glacier.jpg", "mountain.jpg", "notes.txt", "sea.jpg", "street.jpg")
    ]  # fmt: skip
    assert "error" in rows[4] and rows[5]["predictions"][0]["label"] == "sea"
    client.delete_object(Bucket="out-answers", Key="run/part-000002.jsonl")
    assert predict("s3://in-photos/set", "--out", "s3://out-answers/run", "--check") == 1
    assert "missing: part-000002.jsonl" in capsys.readouterr().out
    assert predict("s3://in-photos/set", "--out", "s3://out-answers/run") == 0
    assert parts(client) == found
    client.put_object(Bucket="in-photos", Key="set/sea.jpg", Body=b"another one")
    assert predict("s3://in-photos/set", "--out", "s3://out-answers/run") == 2
    assert "the photos are not those that s3://out-answers/run was begun with" in capsys.readouterr().err


def test_archive_and_list_in_a_bucket(
    client: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.write(SAMPLES[0], "a/b.jpg")
    client.upload_file(str(tmp_path / "set.zip"), "in-photos", "set.zip")
    listed = "url\ns3://in-photos/set/sea.jpg\ns3://in-photos/set/none.jpg\n"
    client.put_object(Bucket="in-photos", Key="list.csv", Body=listed.encode())
    places = ("s3://in-photos/set.zip", "s3://in-photos/list.csv")
    assert predict(*places, "--cache", str(tmp_path / "cache"), "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["file"] for row in rows] == [
        "s3://in-photos/set.zip/a/b.jpg", "s3://in-photos/set/sea.jpg", "s3://in-photos/set/none.jpg",
    ]  # fmt: skip
    assert "NoSuchKey" in rows[2]["error"]


def test_relative_paths_are_below_the_list_in_the_bucket_or_below_the_root(
    client: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client.put_object(Bucket="in-photos", Key="set/list.csv", Body=b'image,size\nsea.jpg,1\n"",2\n')
    inventory = tmp_path / "inventory.csv"
    inventory.write_text("bucket,key\nin-photos,set/forest.jpg\n")
    assert predict("s3://in-photos/set/list.csv", "--cache", str(tmp_path / "cache"), "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["file"] for row in rows] == ["s3://in-photos/set/sea.jpg", "s3://in-photos/set/list.csv#2"]
    assert rows[0]["predictions"][0]["label"] == "sea"
    assert predict(str(inventory), "--image-column", "key", "--root", "s3://in-photos", "--json") == 0
    [row] = json.loads(capsys.readouterr().out)
    assert (row["file"], row["predictions"][0]["label"]) == ("s3://in-photos/set/forest.jpg", "forest")


def test_denied_photo_is_a_row_and_denied_bucket_a_sentence(
    client: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lenslet.batch import work

    made = boto3.client("s3")
    get = made.get_object

    def denied(**words: Any) -> Any:
        if words["Key"] == "set/sea.jpg":
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "Access Denied"}}, "GetObject")
        return get(**words)

    made.get_object = denied
    monkeypatch.setattr(work, "bucket_client", lambda: made)
    assert predict("s3://in-photos/set", "--json") == 0
    rows = {row["file"]: row for row in json.loads(capsys.readouterr().out)}
    assert "(AccessDenied)" in rows["s3://in-photos/set/sea.jpg"]["error"]
    assert sum("error" in row for row in rows.values()) == 2
    assert predict("s3://nowhere/set") == 2
    assert "s3://nowhere/set cannot be read: " in capsys.readouterr().err
    assert predict("s3://in-photos/none") == 2
    assert "s3://in-photos/none holds no object" in capsys.readouterr().err
    assert predict("s3://in-photos/set", "--out", "s3://nowhere/run") == 2
    assert "s3://nowhere/run" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "ExpiredToken", "Message": "expired"}}, "GetObject"),
        ClientError(
            {"Error": {"Code": "InternalError"}, "ResponseMetadata": {"HTTPStatusCode": 500}},  # type: ignore[typeddict-item]
            "GetObject",
        ),
        EndpointConnectionError(endpoint_url="https://s3"),
    ],
)
def test_storage_that_is_away_stops_the_run_which_goes_on_later(
    error: Exception,
    client: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows with errors would be taken for done: of a million photos, all after the token expired."""
    from lenslet.batch import work

    made = boto3.client("s3")
    get = made.get_object

    def get_object(**words: Any) -> Any:
        if words["Key"] == "set/mountain.jpg":
            raise error
        return get(**words)

    made.get_object = get_object
    with monkeypatch.context() as patch:
        patch.setattr(work, "bucket_client", lambda: made)
        assert predict("s3://in-photos/set", "--out", str(tmp_path / "out"), "--workers", "1") == 2
    assert "s3://in-photos/set/mountain.jpg cannot be read: " in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").glob("part-*")] == ["part-000000.jsonl"]
    assert predict("s3://in-photos/set", "--out", str(tmp_path / "out")) == 0
    assert "6 of 7 files classified" in capsys.readouterr().out


def test_bucket_that_takes_nothing_any_more_is_a_sentence(
    client: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = boto3.client("s3")
    upload = made.upload_file

    def refusing(path: str, bucket: str, key: str) -> None:
        if "part-000001" in key:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")
        upload(path, bucket, key)

    made.upload_file = refusing
    monkeypatch.setattr(outputs, "bucket_client", lambda: made)
    assert predict("s3://in-photos/set", "--out", "s3://out-answers/run") == 2
    assert "s3://out-answers/run cannot be written: " in capsys.readouterr().err
    assert sorted(parts(client)) == ["run/part-000000.jsonl"]


def test_object_that_is_no_photo_by_its_size_is_a_row(
    client: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lenslet.dataset.remote.MAX_BYTES", 3000)
    assert predict("s3://in-photos/set", "--json") in (0, 1)
    errors = [row.get("error", "") for row in json.loads(capsys.readouterr().out)]
    assert "cannot be fetched: it is larger than 3,000 bytes" in errors

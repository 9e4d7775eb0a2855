"""Photos in buckets, against moto's S3: fetched once, resumed, and followed when they change."""

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from lenslet.dataset import remote
from lenslet.dataset.layouts import find_photos
from lenslet.dataset.photos import DatasetError
from tests.dataset.test_archives import FILES, zipped
from tests.dataset.test_layouts import counts, found
from tests.support.aws import mocked_aws
from tests.support.link_server import serving_links


@pytest.fixture
def bucket() -> Iterator[Any]:
    """An S3 client, and a bucket called photos."""
    with mocked_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="photos")
        yield client


def put(client: Any, **objects: bytes) -> None:
    for key, data in objects.items():
        client.put_object(Bucket="photos", Key=key, Body=data)


@pytest.mark.parametrize("place", ["s3://photos/set", "s3://photos/set/", Path("s3://photos/set")])
def test_prefix_is_read_like_a_folder(bucket: Any, place: Any, tmp_path: Path) -> None:
    put(
        bucket,
        **{"set/": b"", "set/cat/1.jpg": b"1", "set/dog/2.jpg": b"2", "settings.json": b"{}", "set2/x": b""},
    )
    listing = find_photos(place, cache=tmp_path)
    assert found(listing) == {"cat/1.jpg": ("cat", None), "dog/2.jpg": ("dog", None)}
    assert [photo.path.read_bytes() for photo in listing.photos] == [b"1", b"2"]
    assert listing.left_out == ()


def test_keys_that_are_no_paths_are_left_out(bucket: Any, tmp_path: Path) -> None:
    put(bucket, **{"cat/1.jpg": b"1", "dog/2.jpg": b"2", "cat/../../escaped.jpg": b"x", "dog//3.jpg": b"x"})
    listing = find_photos(Path("s3://photos"), cache=tmp_path / "a" / "cache")
    assert counts(listing) == {(None, "cat"): 1, (None, "dog"): 1}
    assert [each.detail for each in listing.left_out] == ["its key is no path"] * 2
    assert not [*tmp_path.rglob("escaped.jpg")]


def test_only_what_changed_is_fetched_again(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, **{"cat/1.jpg": b"1", "cat/2.jpg": b"2", "dog/3.jpg": b"3", "dog/4.jpg": b"4"})
    find_photos(Path("s3://photos"), cache=tmp_path)
    put(bucket, **{"cat/1.jpg": b"new", "dog/5.jpg": b"5"})
    bucket.delete_object(Bucket="photos", Key="dog/3.jpg")
    fetched = watch_downloads(monkeypatch)
    listing = find_photos(Path("s3://photos"), cache=tmp_path)
    assert sorted(fetched) == ["cat/1.jpg", "dog/5.jpg"]
    assert {photo.path.name: photo.path.read_bytes() for photo in listing.photos} == {
        "1.jpg": b"new",
        "2.jpg": b"2",
        "4.jpg": b"4",
        "5.jpg": b"5",
    }


def test_damaged_file_is_fetched_again(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(bucket, **{"cat/1.jpg": b"1", "dog/2.jpg": b"2", "dog/3.jpg": b"3"})
    first, second, _ = (photo.path for photo in find_photos(Path("s3://photos"), cache=tmp_path).photos)
    first.write_bytes(b"2")
    second.unlink()
    fetched = watch_downloads(monkeypatch)
    listing = find_photos(Path("s3://photos"), cache=tmp_path)
    assert sorted(fetched) == ["cat/1.jpg", "dog/2.jpg"]
    assert [photo.path.read_bytes() for photo in listing.photos] == [b"1", b"2", b"3"]


def test_interrupted_download_goes_on(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(bucket, **{f"{label}/{number}.jpg": b"x" for label in ("cat", "dog") for number in range(5)})
    monkeypatch.setattr(remote, "CONNECTIONS", 1)
    fetched = watch_downloads(monkeypatch, most=4)
    with pytest.raises(DatasetError, match="s3:/photos cannot be read: Could not connect"):
        find_photos(Path("s3://photos"), cache=tmp_path)
    again = watch_downloads(monkeypatch)
    assert len(find_photos(Path("s3://photos"), cache=tmp_path).photos) == 10
    assert len(again) == 6
    assert not {*fetched[:4]} & {*again}


def watch_downloads(monkeypatch: pytest.MonkeyPatch, most: int = 1000) -> list[str]:
    """The keys that are asked for from now on; after `most` of them the network is gone."""
    from botocore.exceptions import EndpointConnectionError

    keys: list[str] = []

    def client() -> Any:
        made = boto3.client("s3")
        download = made.download_file

        def watched(bucket: str, key: str, path: str) -> None:
            keys.append(key)
            if len(keys) > most:
                raise EndpointConnectionError(endpoint_url="https://s3")
            download(bucket, key, path)

        made.download_file = watched
        return made

    monkeypatch.setattr(remote, "bucket_client", client)
    return keys


def test_archive_and_list_in_a_bucket(bucket: Any, tmp_path: Path) -> None:
    put(
        bucket,
        **{"set.zip": zipped(tmp_path / "set.zip", FILES).read_bytes(), "x/a.jpg": b"a", "x/b.jpg": b"b"},
    )
    assert counts(find_photos(Path("s3://photos/set.zip"), cache=tmp_path)) == {
        (None, "cat"): 1,
        (None, "dog"): 1,
    }
    text = "image,label\ns3://photos/x/a.jpg,cat\ns3://photos/x/b.jpg,dog\ns3://photos/x/c.jpg,dog\n"
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "list.csv").write_text(text)
    listing = find_photos(tmp_path / "lists" / "list.csv", cache=tmp_path)
    assert [(photo.path.read_bytes(), photo.label) for photo in listing.photos] == [
        (b"a", "cat"),
        (b"b", "dog"),
    ]
    assert [each.reason for each in listing.left_out] == ["missing"]


def test_what_s3_refuses_is_one_sentence(bucket: Any, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"s3:/nowhere/x cannot be read: .*NoSuchBucket"):
        find_photos(Path("s3://nowhere/x"), cache=tmp_path)
    with pytest.raises(DatasetError, match=r"s3:/photos/x holds no object: check the bucket and the prefix"):
        find_photos(Path("s3://photos/x"), cache=tmp_path)


def test_keys_that_get_in_each_others_way(bucket: Any, tmp_path: Path) -> None:
    put(bucket, **{"cat/1.jpg": b"1", "dog/x": b"2", "dog/x/y.jpg": b"3", "dog/" + "n" * 300: b"4"})
    listing = find_photos(Path("s3://photos"), cache=tmp_path)
    assert counts(listing) == {(None, "cat"): 1, (None, "dog"): 1}
    assert [each.detail for each in listing.left_out] == [
        "its name is too long",
        "another key is a file where it needs a folder",
    ]
    bucket.delete_object(Bucket="photos", Key="dog/x")
    assert [each.detail for each in find_photos(Path("s3://photos"), cache=tmp_path).left_out] == [
        "its name is too long"
    ]
    put(bucket, **{"dog/x": b"5"})
    assert counts(find_photos(Path("s3://photos"), cache=tmp_path)) == {(None, "cat"): 1, (None, "dog"): 1}


def test_expired_token_ends_the_fetching_and_a_missing_object_does_not(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, a=b"1")
    found = remote.fetch_all(["s3://photos/a", "s3://photos/none", "s3://no-bucket/a"], tmp_path)
    assert [isinstance(place, Path) for place in found.values()] == [True, False, False]

    def expired(**words: Any) -> Any:
        raise ClientError({"Error": {"Code": "ExpiredToken", "Message": "expired"}}, "GetObject")

    bucket.get_object = expired
    monkeypatch.setattr(remote, "bucket_client", lambda: bucket)
    with pytest.raises(remote.StorageUnavailable, match=r"s3://photos/b cannot be read: .*ExpiredToken"):
        remote.fetch_all(["s3://photos/a", "s3://photos/b"], tmp_path)


def test_fetched_photo_that_is_damaged_is_fetched_again(tmp_path: Path) -> None:
    asked: list[str] = []

    class Photos(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.path.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Photos) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        urls = [f"http://127.0.0.1:{server.server_port}/{number}.jpg" for number in range(3)]
        first = remote.fetch_all(urls, tmp_path)
        assert remote.fetch_all(urls, tmp_path) == first
        assert len(asked) == 3
        Path(first[urls[0]]).write_bytes(b"/1.jpg")
        Path(first[urls[1]]).unlink()
        again = remote.fetch_all(urls, tmp_path)
        server.shutdown()
    assert sorted(asked[3:]) == ["/0.jpg", "/1.jpg"]
    assert [Path(again[url]).read_bytes() for url in urls] == [b"/0.jpg", b"/1.jpg", b"/2.jpg"]


@pytest.mark.slow
def test_photos_of_a_server_that_is_slow_or_breaks_off_are_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "PHOTO_S", 3.0)
    photo = b"0123456789" * 1000
    with serving_links(photo) as server:
        names = ("photo", "shorter_than_sent", "nothing", "trickle", "longer_than_sent", "missing")
        found = remote.fetch_all([f"{server.address}/{name}" for name in names], tmp_path)
        contents = [place.read_bytes() for place in found.values() if isinstance(place, Path)]
        assert contents == [photo, photo[:2500], b""]
        slow, broken, missing = (reason for reason in found.values() if isinstance(reason, str))
    assert slow == "cannot be fetched: it takes longer than 3 s"
    assert "IncompleteRead(10000 bytes read, 1000 more expected)" in broken
    assert "404 Client Error" in missing


@pytest.mark.parametrize("encoding", ["gzip", "chunked"])
def test_encoded_photo_is_whole(encoding: str, tmp_path: Path) -> None:
    photo = bytes(range(256)) * 2000

    class Photos(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            if encoding == "gzip":
                body = gzip.compress(photo)
                self.send_header("Content-Encoding", "gzip")
                self.send_header("Content-Length", str(len(body)))
            else:
                pieces = [photo[start : start + 70_000] for start in range(0, len(photo), 70_000)] + [b""]
                body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
                self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Photos) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        [place] = remote.fetch_all([f"http://127.0.0.1:{server.server_port}/a.jpg"], tmp_path).values()
        server.shutdown()
    assert Path(place).read_bytes() == photo

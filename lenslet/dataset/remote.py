"""Photos at URLs and in S3 buckets, fetched into the cache; what is there already is not fetched again."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path, PurePosixPath
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from tqdm import tqdm

from lenslet.dataset.checksums import checksum_of, checksum_of_stream
from lenslet.dataset.photos import DatasetError, LeftOut
from lenslet.inference.atomic import replacing, write_text
from lenslet.inference.json_text import parse_json
from lenslet.inference.object_keys import S3_URL, bucket_and_key, objects_below

CONNECTIONS = 8
TIMEOUT_S = (10, 60)  # to connect, and between two pieces
PHOTO_S = 600.0  # for all of a photo: a server that sends a byte now and then is no timeout
RETRIES = 3  # of an http server that is overloaded or away
PASSING_STATUSES = (429, 500, 502, 503, 504)
MAX_BYTES = 200_000_000  # of a photo
# What S3 says of the caller, or of itself, and not of one object; beside the statuses from 500 on.
OF_ALL = (
    "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "SignatureDoesNotMatch",
    "RequestTimeTooSkewed", "RequestTimeout", "SlowDown",
)  # fmt: skip
S3_ATTEMPTS, S3_CONNECTIONS = 6, 32  # of a request, and of a client at once
MAX_NAME_BYTES = 255  # of file systems
MAX_IN_MEMORY = 20_000_000  # of a photo that is fetched; a larger one goes through a temporary file
PIECE = 1 << 20


class StorageUnavailable(DatasetError):
    """S3 cannot be reached, is busy, or takes the credentials no more: other objects would fail, too."""


def fetch_all(urls: Iterable[str], cache: Path) -> Mapping[str, Path | str]:
    """URL → the fetched file, or one sentence why there is none (which is not remembered).

    Raises: StorageUnavailable.
    """
    wanted = list(dict.fromkeys(urls))
    folder = cache / "fetched"
    there: dict[str, list[Path]] = {}
    for entry in os.scandir(folder) if wanted and folder.is_dir() else ():
        there.setdefault(entry.name.partition("-")[0], []).append(folder / entry.name)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        fetched = pool.map(lambda url: _fetch(url, folder, there), wanted)
        bar = tqdm(fetched, "fetching", total=len(wanted), unit=" photos", leave=False, disable=None)
        return dict(zip(wanted, bar, strict=True))


def is_s3(place: object) -> bool:
    return S3_URL.match(str(place)) is not None


def fetch_prefix(place: object, cache: Path) -> tuple[Path, tuple[LeftOut, ...]]:
    """Everything below `s3://bucket/prefix` as files in the cache, less what was deleted there since.

    Returns: the folder, or the file if the prefix is the key of an object, and the objects whose keys are no paths.
    Raises: DatasetError.
    """
    bucket, prefix = bucket_and_key(place)
    folder = cache / f"s3-{sha256(f'{bucket}/{prefix}'.encode()).hexdigest()[:16]}"
    client = bucket_client()
    wanted: dict[PurePosixPath, tuple[str, str]] = {}
    left_out = []
    objects = answered(lambda: list(objects_below(client, bucket, prefix)), place)
    for key, tag in objects:
        name = _relative_path(key, prefix)
        reason = "its key is no path" if name is None else _why_not_stored(name, wanted)
        if name is None or reason:
            left_out.append(LeftOut(Path(f"s3:/{bucket}", key.replace("\0", "?")), "archive", reason))
        else:
            wanted[name] = (key, tag)
    if not wanted:
        raise DatasetError(f"{place} holds no object: check the bucket and the prefix")
    answered(lambda: _download(client, bucket, wanted, folder), place)
    is_one_object = list(wanted.values()) == [(prefix, objects[0][1])]
    return (folder / "photos" / PurePosixPath(prefix).name if is_one_object else folder / "photos"), tuple(
        left_out
    )


def list_objects(place: str, client: Any) -> Iterator[tuple[str, str]]:
    """Address and entity tag of each object at or below `s3://bucket/prefix`, in the order of their keys.

    Raises: DatasetError if S3 refuses, or there is none.
    """
    bucket, prefix = bucket_and_key(place)
    objects = objects_below(client, bucket, prefix)
    found = answered(lambda: next(objects, None), place)
    if found is None:
        raise DatasetError(f"{place} holds no object: check the bucket and the prefix")
    while found:
        key, tag = found
        yield f"s3://{bucket}/{key}", tag
        found = answered(lambda: next(objects, None), place)


def _relative_path(key: str, prefix: str) -> PurePosixPath | None:
    """Where the object is stored; None if that could be outside of the folder."""
    rest = PurePosixPath(key).name if key == prefix else key.removeprefix(prefix).removeprefix("/")
    parts = rest.split("/")
    return None if any(part in ("", ".", "..") or "\0" in part for part in parts) else PurePosixPath(rest)


def _why_not_stored(name: PurePosixPath, others: Mapping[PurePosixPath, object]) -> str:
    """Why no file can have this name beside these, which come before it in order; empty if one can."""
    if any(parent in others for parent in name.parents):
        return "another key is a file where it needs a folder"
    return (
        "its name is too long" if any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in name.parts) else ""
    )


def _download(
    client: Any, bucket: str, wanted: Mapping[PurePosixPath, tuple[str, str]], folder: Path
) -> None:
    index_path = folder / "tags.json"  # name → entity tag and checksum of what was fetched
    index = _read_index(index_path)
    photos = folder / "photos"
    for name in set(index) - {str(name) for name in wanted}:
        (photos / name).unlink(missing_ok=True)
        _remove_empty(photos / name, photos)

    def get(name: PurePosixPath) -> None:
        key, tag = wanted[name]
        if (photos / name).is_file() and index.get(str(name)) == [tag, checksum_of(photos / name)]:
            return
        with replacing(photos / name) as temporary:
            client.download_file(bucket, key, str(temporary))
            checksum = checksum_of(temporary)
        index[str(name)] = [tag, checksum]

    try:
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            done = pool.map(get, wanted)
            list(tqdm(done, "fetching", total=len(wanted), unit=" photos", leave=False, disable=None))
    finally:  # an interrupted download goes on where it stopped
        write_text(index_path, json.dumps({name: index[name] for name in map(str, wanted) if name in index}))


def _remove_empty(path: Path, top: Path) -> None:
    """Remove the folders above a deleted file that are empty now: a key may become a file where they were."""
    for folder in path.parents:
        if folder == top or not folder.is_dir() or any(folder.iterdir()):
            return
        folder.rmdir()


def _read_index(path: Path) -> dict[str, Any]:
    """Empty where there is none, or it is damaged: all is fetched again then."""
    try:
        index = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return index if isinstance(index, dict) else {}


def answered(ask: Callable[[], Any], place: object, verb: str = "read") -> Any:
    """The result of `ask`. Raises: DatasetError with the message of S3; StorageUnavailable, which is one."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return ask()
    except (BotoCoreError, Boto3Error, ClientError, OSError) as error:
        kind = StorageUnavailable if _is_away(error) else DatasetError
        raise kind(f"{place} cannot be {verb}: {' '.join(str(error).split())}") from error


def _is_away(error: Exception) -> bool:
    from botocore import exceptions as kinds

    if isinstance(error, kinds.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return error.response.get("Error", {}).get("Code") in OF_ALL or status >= 500
    of_network = (kinds.ConnectionError, kinds.HTTPClientError)
    of_credentials = (kinds.CredentialRetrievalError, kinds.TokenRetrievalError, kinds.SSOError)
    return isinstance(error, (*of_network, *of_credentials))


def bucket_client() -> Any:
    try:
        import boto3  # here, because only buckets need it
        from botocore.config import Config
    except ImportError as error:
        raise DatasetError("s3:// needs `pip install boto3`") from error
    limits = Config(
        retries={"mode": "standard", "total_max_attempts": S3_ATTEMPTS}, max_pool_connections=S3_CONNECTIONS
    )
    return boto3.client("s3", config=limits)


def _fetch(url: str, folder: Path, there: Mapping[str, Sequence[Path]]) -> Path | str:
    """`there`: first half of a name, which is the checksum of the URL → files; the second half is that of the file."""
    name = sha256(url.encode(errors="surrogateescape")).hexdigest()
    for path in there.get(name, ()):
        if path.is_file() and path.name == f"{name}-{checksum_of(path):08x}":
            return path
    try:
        with SpooledTemporaryFile(MAX_IN_MEMORY) as file:
            _fetch_into(url, file, bucket_client)
            file.seek(0)
            path = folder / f"{name}-{checksum_of_stream(file):08x}"
            file.seek(0)
            with replacing(path) as temporary, temporary.open("wb") as target:
                shutil.copyfileobj(file, target)
    except StorageUnavailable:  # a training on what there was until then would be one on other photos
        raise
    except (DatasetError, OSError, ValueError) as error:  # errors of requests are OSErrors
        return f"cannot be fetched: {' '.join(str(error).split())[:200]}"
    return path


def read_link(url: str, client: Callable[[], Any]) -> bytes:
    """The bytes at an http(s) or s3 address. Raises: DatasetError, with what the server said; StorageUnavailable."""
    with BytesIO() as file:
        try:
            _fetch_into(url, file, client)
        except StorageUnavailable:
            raise
        except (DatasetError, OSError, ValueError) as error:
            raise DatasetError(f"cannot be fetched: {' '.join(str(error).split())[:200]}") from error
        return file.getvalue()


def _fetch_into(url: str, file: IO[bytes], client: Callable[[], Any]) -> None:
    if is_s3(url):
        bucket, key = bucket_and_key(url)
        # Not `download_fileobj`, which asks for the size first: two requests a photo.
        body = answered(lambda: client().get_object(Bucket=bucket, Key=key)["Body"], url)
        answered(lambda: _write_pieces(body.iter_chunks(PIECE), file), url)
    else:
        _fetch_http(url, file)


def _fetch_http(url: str, file: IO[bytes]) -> None:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.exceptions import HTTPError
    from urllib3.util import Retry

    retries = Retry(RETRIES, backoff_factor=0.5, backoff_jitter=0.5, status_forcelist=PASSING_STATUSES)
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=retries))
        with session.get(url, stream=True, timeout=TIMEOUT_S) as response:
            response.raise_for_status()
            try:
                # Not `iter_content`, which waits until a piece is whole.
                _write_pieces(iter(partial(response.raw.read1, PIECE, decode_content=True), b""), file)
            except HTTPError as error:
                raise DatasetError(str(error)) from error


def _write_pieces(pieces: Iterable[bytes], file: IO[bytes]) -> None:
    """Raises: ValueError if they are too many bytes for a photo, or take too long."""
    began_s = time.monotonic()
    for piece in pieces:
        file.write(piece)
        if file.tell() > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
        if time.monotonic() - began_s > PHOTO_S:
            raise ValueError(f"it takes longer than {PHOTO_S:.0f} s")

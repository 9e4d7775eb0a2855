"""Where parts are written: a folder or an S3 prefix; a reader sees a part whole, or not at all."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from lenslet.dataset.remote import answered, bucket_client
from lenslet.inference.atomic import replacing
from lenslet.inference.errors import InputError
from lenslet.inference.object_keys import bucket_and_key
from lenslet.serving.batch_plan import PART


class Output(Protocol):
    """A place for parts and their plan, by names; `str` of it is what people call it."""

    def part_names(self) -> set[str]: ...

    def read(self, name: str) -> bytes | None:
        """The content; None if nothing has this name."""

    def write(self, name: str, fill: Callable[[Path], object]) -> None:
        """Put there the file that `fill` writes at the path that it is given."""

    def fetched(self, name: str) -> AbstractContextManager[Path]:
        """A part as a file on this computer."""


@dataclass(frozen=True)
class FolderOutput:
    root: Path

    def __str__(self) -> str:
        return str(self.root)

    def part_names(self) -> set[str]:
        if not self.root.is_dir():
            return set()
        return {entry.name for entry in os.scandir(self.root) if entry.name.startswith(PART)}

    def read(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, fill: Callable[[Path], object]) -> None:
        with replacing(self.root / name) as temporary:
            fill(temporary)

    @contextmanager
    def fetched(self, name: str) -> Iterator[Path]:
        yield self.root / name


class BucketOutput:
    """Objects below `s3://bucket/prefix`."""

    def __init__(self, place: str) -> None:
        self.bucket, prefix = bucket_and_key(place)
        self.prefix = prefix.rstrip("/")
        self._client: Any = None

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def __reduce__(self) -> Any:  # clients cannot be pickled
        return BucketOutput, (str(self),)

    @property
    def client(self) -> Any:
        self._client = self._client or bucket_client()
        return self._client

    def part_names(self) -> set[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self._key(PART)
        )
        keys = answered(lambda: [each["Key"] for page in pages for each in page.get("Contents", ())], self)
        return {key.rpartition("/")[2] for key in keys}

    def read(self, name: str) -> bytes | None:
        missing = self.client.exceptions.NoSuchKey

        def get() -> bytes | None:
            try:
                data: bytes = self.client.get_object(Bucket=self.bucket, Key=self._key(name))["Body"].read()
            except missing:
                return None
            return data

        found: bytes | None = answered(get, f"{self}/{name}")
        return found

    def write(self, name: str, fill: Callable[[Path], object]) -> None:
        with self._temporary(name) as path:
            fill(path)
            answered(
                lambda: self.client.upload_file(str(path), self.bucket, self._key(name)), self, "written"
            )

    @contextmanager
    def fetched(self, name: str) -> Iterator[Path]:
        with self._temporary(name) as path:
            answered(lambda: self.client.download_file(self.bucket, self._key(name), str(path)), self)
            yield path

    @contextmanager
    def _temporary(self, name: str) -> Iterator[Path]:
        with TemporaryDirectory(prefix="lenslet-") as folder:
            yield Path(folder, name.rpartition("/")[2])

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name


def check_empty(output: Output, plan_name: str) -> None:
    """Refuse a place that holds something and no plan: it is not an output of ours. Raises: InputError."""
    if isinstance(output, FolderOutput) and output.root.exists() and not output.root.is_dir():
        raise InputError(f"--out {output} is a file that exists: give a folder, or .csv, .jsonl, .parquet")
    if output.read(plan_name) is not None:
        return
    if isinstance(output, FolderOutput):
        own = plan_name.partition("/")[0]
        names = [each.name for each in output.root.iterdir()] if output.root.is_dir() else []
        visible = sorted(name for name in names if name != own and not name.startswith("."))
    else:
        visible = sorted(output.part_names())
    if visible:
        raise InputError(f"--out {output} holds {visible[0]} and no plan: give a folder of its own")

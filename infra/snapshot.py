"""The photos of one training, kept under the hash of their manifest: s3://BUCKET/snapshots/SHA256/.

    python -m infra.snapshot photos s3://lenslet-data-123456789012-eu-central-1

Prints the address. The same photos have the same one, wherever they lie: SageMaker's caching of steps compares
addresses and not contents. The manifest (path, SHA-256 and bytes of each file) is written last: without it, a
snapshot is not whole.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.preflight import ReleaseError, find_account

MANIFEST = "manifest.jsonl"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.snapshot", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="photos, a folder a class")
    parser.add_argument("bucket", help="s3://bucket")
    arguments = parser.parse_args(argv)
    try:
        bucket = arguments.bucket.removeprefix("s3://").strip("/")
        print(keep(find_account().client("s3"), arguments.folder, bucket))
    except (ReleaseError, BotoCoreError, ClientError, OSError) as error:
        print(f"infra.snapshot: {error}", file=sys.stderr)
        return 2
    return 0


def manifest_of(folder: Path) -> str:
    """One line of JSON a file, in the order of the paths. Raises: ReleaseError if there is none."""
    lines = [
        json.dumps({"path": path.relative_to(folder).as_posix(), "sha256": digest(path), "bytes": path.stat().st_size})
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (MANIFEST, "_READY")
    ]  # fmt: skip
    if not lines:
        raise ReleaseError(f"{folder} holds no file")
    return "\n".join(lines) + "\n"


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def keep(s3: Any, folder: Path, bucket: str) -> str:
    """The address of the snapshot, whose files are uploaded unless it is there already, whole."""
    manifest = manifest_of(folder)
    prefix = f"snapshots/{hashlib.sha256(manifest.encode()).hexdigest()}"
    if not exists(s3, bucket, f"{prefix}/{MANIFEST}"):
        for line in manifest.splitlines():
            path = json.loads(line)["path"]
            s3.upload_file(str(folder / path), bucket, f"{prefix}/photos/{path}")
        s3.put_object(Bucket=bucket, Key=f"{prefix}/{MANIFEST}", Body=manifest.encode())
    return f"s3://{bucket}/{prefix}/photos"


def exists(s3: Any, bucket: str, key: str) -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
            return False
        raise
    return True


if __name__ == "__main__":
    sys.exit(main())

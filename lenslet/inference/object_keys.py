"""Keys of S3 objects below a prefix: one rule for data sets, batches and the function."""

import re
from collections.abc import Iterator
from typing import Any

S3_URL = re.compile(r"s3:/{1,2}([^/]+)/?(.*)")  # a Path has a single slash


def bucket_and_key(address: object) -> tuple[str, str]:
    """Bucket and key, or prefix, of `s3://bucket/key`; it may be empty. Raises: ValueError for other addresses."""
    match = S3_URL.match(str(address))
    if not match:
        raise ValueError(f"{address} is no address in S3")
    return match[1], match[2]


def objects_below(client: Any, bucket: str, prefix: str) -> Iterator[tuple[str, str]]:
    """Key and entity tag of each object at or below the prefix, in the order of UTF-8; no marks of folders."""
    inside = prefix if not prefix or prefix.endswith("/") else prefix + "/"
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    for page in pages:
        for each in page.get("Contents", ()):
            key = each["Key"]
            if (key == prefix or key.startswith(inside)) and not key.endswith("/"):
                yield key, each["ETag"]

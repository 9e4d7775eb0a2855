"""Clients of S3 in the function; boto3 is imported with the first of them, because that takes 200 ms."""

from functools import cache
from typing import Any


@cache
def s3_client(timeout_s: float = 60, attempts: int = 5) -> Any:
    """A client that may be used by many threads. `timeout_s`: to connect, and between two pieces."""
    # Clients are thread-safe, sessions are not, so the client gets a session of its own.
    import boto3.session
    from botocore.config import Config

    limits = Config(
        connect_timeout=timeout_s, read_timeout=timeout_s, retries={"total_max_attempts": attempts}
    )
    return boto3.session.Session().client("s3", config=limits)

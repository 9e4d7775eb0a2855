"""AWS services of moto on the loopback interface, and the settings with which boto3 uses them."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def moto_server() -> Iterator[str]:
    """The server's address, as long as the block lasts."""
    # Imported here, because it takes two seconds and fast tests do not need it.
    from moto.server import ThreadedMotoServer

    from tests.support.moto_gaps import fill_gaps

    fill_gaps()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def s3_at(address: str) -> Iterator[pytest.MonkeyPatch]:
    """Clients that boto3 makes within the block find S3 there. Yields: the MonkeyPatch that undoes further settings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", address)
        patch.setenv("AWS_ACCESS_KEY_ID", "none")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "none")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_CONFIG_FILE", "none")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield patch


@contextmanager
def mocked_aws(region: str = "us-east-1") -> Iterator[None]:
    """Clients that boto3 makes within the block reach moto in this process."""
    from moto import mock_aws  # imported here, as above

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", region)
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        with mock_aws():
            yield

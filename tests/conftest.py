"""What holds for every test: nothing is tracked, unless a test says where."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def nothing_is_tracked() -> Iterator[None]:
    """Else every training of a test would be a run in the .mlflow/ of this repository."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", "off")
        yield

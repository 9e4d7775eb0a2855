"""Set-up of every test: no tracking, and each module in one process when several share the work."""

from collections.abc import Iterator
from pathlib import Path

import pytest

# Modules that share an expensive fixture, or would disturb each other, run in one process: file → group.
GROUPS = {
    "tests/serving/test_image.py": "images",
    "tests/serving/test_compose.py": "images",
    "tests/serving/test_emulator.py": "images",
    "tests/registry/test_tracking.py": "registry",
    "tests/registry/test_versions.py": "registry",
}
# The longest groups start first, so that no process has one left when the others have finished.
LONGEST = (
    "images",
    "registry",
    "tests/tuning/test_search.py",
    "tests/project/test_pipeline.py",
    "tests/project/test_wheel.py",
    "tests/project/test_road.py",
    "tests/frontend/test_browser.py",
    "tests/reporting/test_notebook.py",
    "tests/training/test_resume.py",
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out modules none of whose tests is wanted: to import them takes a third of the collection's time."""
    if not collection_path.name.startswith("test_"):
        return None
    source = collection_path.read_text(encoding="utf-8")
    is_unwanted = {
        "not slow": "\npytestmark = pytest.mark.slow\n" in source,
        "slow": "pytest.mark.slow" not in source,
    }
    return is_unwanted.get(str(config.getoption("markexpr"))) or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Groups for `pytest --dist loadgroup`: modules keep their fixtures, which they would each build twice."""
    ranks = {group: rank for rank, group in enumerate(LONGEST)}
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))
    if config.getoption("markexpr") == "slow":
        items.sort(key=lambda item: ranks.get(group_of(item), len(ranks)))


def group_of(item: pytest.Item) -> str:
    module = item.nodeid.partition("::")[0]
    return GROUPS.get(module, module)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_tracked() -> Iterator[None]:
    """Else every training of a test would be a run in the .mlflow/ of this repository."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", "off")
        yield

"""Set-up of every test: no tracking, and each module in one process when several share the work."""

import gc
import random
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

# Modules that share an expensive fixture, or would disturb each other, run in one process: file → group.
GROUPS = {
    "tests/serving/test_image.py": "images",
    "tests/serving/test_compose.py": "images",
    "tests/serving/test_emulator.py": "images",
    "tests/registry/test_tracking.py": "registry",
    "tests/registry/test_versions.py": "registry",
    "tests/labelling/test_ten_commands.py": "loop",
    "tests/serving/test_training.py": "loop",
}
# The longest groups start first, so that no process has one left when the others have finished: of the fast tests, …
LONGEST_FAST = (
    "tests/frontend/test_page.py",
    "tests/reporting/test_report.py",
    "tests/serving/test_label_batch.py",
    "tests/batch/test_predict.py",
    "tests/serving/test_lambda_func.py",
    "tests/reporting/test_class_names.py",
    "tests/project/test_architecture.py",
    "tests/infra/test_stack_policy.py",
    "tests/inference/test_hostile_pictures.py",
    "tests/frontend/test_corrections.py",
    "tests/dataset/test_lint.py",
    "tests/infra/test_release.py",
    "tests/project/test_any_place.py",
    "tests/dataset/test_remote.py",
    "tests/dataset/test_confirmation.py",
)
# … and of the slow ones.
LONGEST = (
    "tests/sagemaker/test_local_pipeline.py",
    "loop",
    "tests/frontend/test_browser.py",
    "tests/project/test_pipeline.py",
    "registry",
    "tests/tuning/test_search.py",
    "images",
    "tests/infra/test_release.py",
    "tests/inference/test_hostile_pictures.py",
    "tests/project/test_requirements.py",
    "tests/dataset/test_lint.py",
    "tests/project/test_road.py",
    "tests/infra/test_template.py",
    "tests/sagemaker/test_pipeline_command.py",
    "tests/labelling/test_retrain_kill.py",
    "tests/reporting/test_notebook.py",
    "tests/training/test_resume.py",
    "tests/labelling/test_label_studio.py",
    "tests/project/test_wheel.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """The same weights and dropout in every run: Keras draws the seeds that it is not given from `random`."""
    random.seed(item.nodeid)


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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Modules, or groups of them, go to one process, so that none builds a fixture of another again.

    xdist's own --dist loadgroup does nothing under pytest 9: it changes an attribute of tests that is no longer read.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return ByGroup(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    longest = {"slow": LONGEST, "not slow": LONGEST_FAST}.get(str(config.getoption("markexpr")), ())
    ranks = {group: rank for rank, group in enumerate(longest)}
    items.sort(key=lambda item: ranks.get(group_of(item.nodeid), len(ranks)))


def pytest_collection_finish() -> None:
    """What was imported stays: to look for garbage among it takes longer than some of the tests."""
    gc.collect()
    gc.freeze()


def group_of(nodeid: str) -> str:
    module = nodeid.partition("::")[0]
    return GROUPS.get(module, module)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_tracked() -> Iterator[None]:
    """Else every training of a test would be a run in the .mlflow/ of this repository."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", "off")
        yield


@pytest.fixture(scope="session", autouse=True)
def service_models_are_read_once() -> Iterator[None]:
    """Megabytes of JSON, which botocore keeps for a session; moto begins a session in each test."""
    with pytest.MonkeyPatch.context() as patched:
        if loaders := sys.modules.get("botocore.loaders"):
            patched.setattr(
                loaders.JSONFileLoader, "load_file", staticmethod(cache(loaders.JSONFileLoader().load_file))
            )
        yield


@pytest.fixture(scope="session")
def first_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of tests/support/retraining.py, made once: to be copied, not changed."""
    from tests.support import retraining

    place = tmp_path_factory.mktemp("first-model")
    retraining.first_model(place)
    return place

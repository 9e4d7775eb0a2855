"""MLflow's database where the names of folders hold what means something to alembic or SQL."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
from lenslet.registry.mlflow_client import experiment_id, open_client
client = open_client()
print(experiment_id(client, "mine"), len(client.search_registered_models()))
"""


@pytest.mark.parametrize("name", ["100%", "%(here)s %%", "a'b\"c", "日本 #?&"])
def test_project_and_its_environment_may_lie_anywhere(name: str, tmp_path: Path) -> None:
    project = tmp_path / name
    project.mkdir()
    (project / ".venv").symlink_to(Path(sys.prefix))
    done = subprocess.run(
        [project / ".venv" / "bin" / "python", "-c", SCRIPT],
        cwd=project,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path.cwd()), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["1", "0"], done.stderr[-2000:]
    assert (project / ".mlflow" / "mlflow.db").is_file()

"""infra/batch.yaml's state machine in moto's interpreter, with the real handler; and what linters say of it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra.transform import read_template

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-step-functions" / "bin"
ALIAS = "arn:aws:lambda:us-east-1:123456789012:function:lenslet-staging-batch:live"
# statelint 3.1.0 does not know them; moto wants the share with a fraction.
UNKNOWN_TO_STATELINT = {
    "State Machine.States.Label.ToleratedFailurePercentage is 5.0 but should be an Integer",
    'Field "InputType" not allowed in State Machine.States.Label.ItemReader.ReaderConfig',
    'Field "CSVHeaderLocation" not allowed in State Machine.States.Label.ItemReader.ReaderConfig',
}

pytestmark = pytest.mark.slow


def definition() -> dict[str, Any]:
    text = json.dumps(
        read_template(ROOT / "infra/batch.yaml")["Resources"]["StateMachine"]["Properties"]["Definition"]
    )
    return json.loads(text.replace("${FunctionAlias}", ALIAS).replace("${Concurrency}", "5"))  # type: ignore[no-any-return]


def write(machine: dict[str, Any], folder: Path) -> Path:
    path = folder / "definition.json"
    path.write_text(json.dumps(machine))
    return path


def run(case: str, folder: Path) -> dict[str, Any]:
    assert ENVIRONMENT.exists(), "make .venv-step-functions/installed"
    credentials = {
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    done = subprocess.run(
        [ENVIRONMENT / "python", ROOT / "tests/step_functions/run_map.py", write(definition(), folder), case],
        env={**os.environ, **credentials}, cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_photos_of_a_bucket_become_parts_and_a_manifest(tmp_path: Path) -> None:
    found = run("plain", tmp_path)
    assert found["status"] == "SUCCEEDED"
    assert found["output"] == {
        "photos": 8, "parts": 3, "missing": 0, "manifest": "s3://out-answers/run/_plan/manifest.json",
    }  # fmt: skip
    assert found["calls"] == {"plan": 1, "0": 1, "1": 1, "2": 1, "manifest": 1}
    rows = [json.loads(line) for key in sorted(found["parts"]) for line in found["parts"][key].splitlines()]
    labels = {row["file"].rpartition("/")[2]: row.get("predictions", [{}])[0].get("label") for row in rows}
    assert labels == {
        "broken.jpg": None, "buildings.jpg": "buildings", "forest.jpg": "forest", "glacier.jpg": "glacier",
        "mountain.jpg": "mountain", "notes.txt": None, "sea.jpg": "sea", "street.jpg": "street",
    }  # fmt: skip


def test_part_is_tried_again_where_s3_was_away(tmp_path: Path) -> None:
    found = run("away", tmp_path)
    assert (found["status"], found["calls"]["1"], found["output"]["missing"]) == ("SUCCEEDED", 2, 0)


def test_refused_part_is_not_tried_again_and_is_missing_in_the_manifest(tmp_path: Path) -> None:
    found = run("refused", tmp_path)
    assert (found["calls"]["1"], found["output"]["missing"]) == (1, 1)
    assert sorted(found["parts"]) == ["run/part-000000.jsonl", "run/part-000002.jsonl"]


def test_second_execution_classifies_nothing_again(tmp_path: Path) -> None:
    found = run("again", tmp_path)
    assert found["calls"] == {"plan": 2, "0": 1, "1": 1, "2": 1, "manifest": 2}
    assert found["output"]["missing"] == 0


def lint(machine: dict[str, Any], folder: Path) -> set[str]:
    done = subprocess.run(
        [ENVIRONMENT / "statelint", write(machine, folder)], capture_output=True, text=True, timeout=60
    )
    return {line.strip() for line in done.stdout.splitlines()[1:]}


def test_statelint_finds_nothing_but_what_it_does_not_know(tmp_path: Path) -> None:
    assert lint(definition(), tmp_path) == UNKNOWN_TO_STATELINT
    broken = definition()
    broken["States"]["Plan"]["Next"] = "Nowhere"
    assert any("Nowhere" in each for each in lint(broken, tmp_path))

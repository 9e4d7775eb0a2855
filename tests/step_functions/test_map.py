"""infra/batch.yaml's state machine in moto's interpreter, with the real handler; and what linters say of it."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra.transform import read_template

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-step-functions" / "bin"
NPM = shutil.which("npm")
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
    """One of 22: above 5 %, AWS fails the execution, which moto does not."""
    found = run("refused", tmp_path)
    assert (found["status"], found["calls"]["1"], found["output"]["missing"]) == ("SUCCEEDED", 1, 1)
    assert "run/part-000001.jsonl" not in found["parts"] and len(found["parts"]) == 21


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


@pytest.mark.skipif(not NPM and not os.environ.get("CI"), reason="needs npm")
def test_asl_validator_finds_nothing_and_would_find_a_wrong_field(tmp_path: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(Path(__file__).with_name(name), tmp_path)
    words = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--silent"]
    subprocess.run(words, cwd=tmp_path, check=True, timeout=300)

    def validate(machine: dict[str, Any]) -> tuple[int, str]:
        words = ["npm", "exec", "--offline", "--", "asl-validator", "--json-path", write(machine, tmp_path)]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    code, said = validate(definition())
    assert code == 0, said
    broken = definition()
    broken["States"]["Label"]["MaxConcurrencyPaths"] = broken["States"]["Label"].pop("MaxConcurrencyPath")
    code, said = validate(broken)
    assert code == 1 and "/States/Label is invalid" in said

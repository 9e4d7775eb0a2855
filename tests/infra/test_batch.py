"""infra/batch.yaml: what its roles may do, that it leaves the endpoint's instances alone, and what cfn-lint says."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from infra.transform import EXAMPLE, read_template, transform
from lenslet.serving.label_batch import TASKS
from tests.support import template_rules as rules
from tests.support.stack import Stack

TEMPLATE = Path(__file__).parents[2] / "infra" / "batch.yaml"
GIVEN = {**EXAMPLE, "InputBuckets": "photos,more-photos", "OutputBuckets": "answers"}


@cache
def stack() -> Stack:
    return Stack(transform(read_template(TEMPLATE), GIVEN), GIVEN)


@pytest.mark.parametrize("rule", rules.ROLE_RULES, ids=lambda rule: rule.__name__)
def test_rule(rule: Any) -> None:
    assert list(rule(stack())) == []


def statements(role: str) -> list[dict[str, Any]]:
    [policy] = stack().of_type("AWS::IAM::Role")[role]["Policies"]
    found: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


def test_photos_are_read_and_never_written() -> None:
    written = [each for each in statements("FunctionRole") if "s3:PutObject" in each["Action"]]
    assert [each["Resource"] for each in written] == [["arn:aws:s3:::answers/*"]]
    read = [each["Resource"] for each in statements("FunctionRole") if each["Action"] == "s3:GetObject"]
    assert read == [["arn:aws:s3:::photos/*", "arn:aws:s3:::more-photos/*"]]


def test_function_has_instances_of_its_own_and_the_map_no_more() -> None:
    function = stack().of_type("AWS::Lambda::Function")["Function"]
    machine = stack().of_type("AWS::StepFunctions::StateMachine")["StateMachine"]
    assert str(function["ReservedConcurrentExecutions"]) == "5"
    assert str(machine["DefinitionSubstitutions"]["Concurrency"]) == "5"
    assert function["ImageConfig"] == {"Command": ["lambda_func.label_batch"]}
    plan = machine["Definition"]["States"]["Plan"]
    assert plan["ResultSelector"]["concurrency.$"] == "States.StringToJson('${Concurrency}')"
    assert machine["Definition"]["States"]["Label"]["MaxConcurrencyPath"] == "$.plan.concurrency"


def test_tasks_are_those_of_the_function() -> None:
    states = stack().of_type("AWS::StepFunctions::StateMachine")["StateMachine"]["Definition"]["States"]
    named = {
        states["Plan"]["Parameters"]["Payload"]["task"],
        states["Manifest"]["Parameters"]["Payload"]["task"],
    }
    assert named | {states["Label"]["ItemSelector"]["task"]} == set(TASKS)


def test_every_task_is_tried_again_with_jitter_but_never_a_refusal() -> None:
    states = stack().of_type("AWS::StepFunctions::StateMachine")["StateMachine"]["Definition"]["States"]
    part = states["Label"]["ItemProcessor"]["States"]["LabelPart"]
    for task in (states["Plan"], part, states["Manifest"]):
        refused, failed = task["Retry"]
        assert refused == {"ErrorEquals": ["TaskRefused"], "MaxAttempts": 0}
        assert failed["JitterStrategy"] == "FULL" and failed["MaxAttempts"] >= 4
    assert part["Retry"][1]["ErrorEquals"] == ["States.TaskFailed", "States.Timeout"]
    assert states["Label"]["ToleratedFailurePercentage"] == 5.0


def test_state_machine_may_run_and_redrive_its_map() -> None:
    """The service authorization reference has the resource of each action; children are called NAME/LABEL:ID."""
    resources = {
        action: each["Resource"]
        for each in statements("StateMachineRole")
        for action in rules.as_list(each["Action"])
        if action.startswith("states:")
    }
    machine, children = ":stateMachine:lenslet-staging-batch", ":execution:lenslet-staging-batch/*"
    endings = {
        "states:StartExecution": machine,
        "states:DescribeExecution": children,
        "states:StopExecution": children,
        "states:RedriveExecution": children,
    }
    assert resources.keys() == endings.keys()
    assert all(str(resources[action]).endswith(ending) for action, ending in endings.items()), resources


@pytest.mark.slow
def test_cfn_lint_finds_nothing_and_would_find_a_wrong_definition(tmp_path: Path) -> None:
    def lint(path: Path) -> list[Any]:
        command = [
            Path(sys.executable).parent / "cfn-lint",
            "--format",
            "json",
            path,
            "--regions",
            "eu-central-1",
        ]
        found: list[Any] = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
        return found

    assert lint(TEMPLATE) == []
    broken = tmp_path / "batch.yaml"
    broken.write_text(TEMPLATE.read_text().replace("Type: Choice", "Type: Chance"))
    assert {each["Rule"]["Id"] for each in lint(broken)} >= {"E3601"}

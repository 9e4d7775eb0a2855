"""Batches on AWS as the command sees them: started once, followed to the end, looked at again after Ctrl-C."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from lenslet.batch import step_functions
from lenslet.batch.step_functions import AwsError, follow, places_on_aws, start
from lenslet.cli import main
from tests.support.aws import mocked_aws

GIVEN = {"source": "s3://photos/set", "bucket": "answers", "prefix": "set"}
STACK = {
    "Resources": {
        "Machine": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {
                "StateMachineName": "lenslet-staging-batch",
                "RoleArn": "arn:aws:iam::123456789012:role/x",
                "DefinitionString": '{"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}}',
            },
        }
    },
    "Outputs": {"StateMachineArn": {"Value": {"Ref": "Machine"}}},
}


@pytest.fixture
def aws() -> Iterator[None]:
    with mocked_aws():
        yield


@pytest.mark.slow
def test_second_start_finds_the_first(aws: None) -> None:
    boto3.client("cloudformation").create_stack(
        StackName="lenslet-staging-batch", TemplateBody=json.dumps(STACK)
    )
    first = start("staging", *GIVEN.values(), boto3.client)
    assert (first[1], start("staging", *GIVEN.values(), boto3.client)) == (False, (first[0], True))
    found = boto3.client("stepfunctions").describe_execution(executionArn=first[0])
    assert json.loads(found["input"]) == GIVEN
    other = start("staging", "s3://photos/other", "answers", "set", boto3.client)
    assert other[0] != first[0] and not other[1]


def test_without_a_stack_the_remedy_is_said(aws: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "s3://photos/set", "--out", "s3://answers/set", "--aws", "staging"]) == 2
    assert (
        "there is no stack lenslet-staging-batch in this region: deploy infra/batch.yaml"
        in capsys.readouterr().err
    )


class States:
    """Step Functions as it answers one poll after the other."""

    def __init__(self, *polls: tuple[str, dict[str, int] | None], **ended: str) -> None:
        self.polls, self.ended = list(polls), ended

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803
        status = self.polls[0][0]
        return {"status": status, **(self.ended if status != "RUNNING" else {})}

    def list_map_runs(self, executionArn: str) -> dict[str, Any]:  # noqa: N803
        return {"mapRuns": [{"mapRunArn": "map"}] if self.polls[0][1] else []}

    def describe_map_run(self, mapRunArn: str) -> dict[str, Any]:  # noqa: N803
        return {"itemCounts": self.polls.pop(0)[1]}


def test_progress_is_said_until_the_end() -> None:
    manifest = {"photos": 1000, "parts": 10, "missing": 1}
    states = States(
        ("RUNNING", {"total": 10, "succeeded": 2, "failed": 0}),
        ("RUNNING", {"total": 10, "succeeded": 6, "failed": 1}),
        ("SUCCEEDED", None),
        output=json.dumps(manifest),
    )
    said: list[str] = []
    ended = follow("arn", states, said.append, poll_s=0.01)
    assert (ended.status, ended.output) == ("SUCCEEDED", manifest)
    assert said == ["2 of 10 parts, 0 failed", "6 of 10 parts, 0 s left, 1 failed"]


def test_failure_names_its_cause_and_how_to_go_on(
    aws: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    states = States(("FAILED", None), error="States.ExceedToleratedFailureThreshold", cause="too many")
    monkeypatch.setattr(step_functions, "start", lambda *_: ("arn:1", False))
    monkeypatch.setattr(boto3, "client", lambda name: states)
    assert main(["predict", "s3://photos/set", "--out", "s3://answers/set", "--aws", "staging"]) == 1
    printed = capsys.readouterr().out
    assert "FAILED: States.ExceedToleratedFailureThreshold: too many; what is done is kept" in printed
    assert "aws stepfunctions redrive-execution --execution-arn arn:1" in printed


@pytest.mark.parametrize(
    ("places", "out"),
    [(["photos"], "s3://a/b"), (["s3://a/b"], "out"), (["s3://a/b"], None), (["s3://a", "s3://b"], "s3://a/b"),
     (["s3://a/b"], "s3://bucket/")],
)  # fmt: skip
def test_both_places_must_be_in_s3(places: list[str], out: str | None) -> None:
    with pytest.raises(AwsError, match="--aws takes one s3://bucket/prefix of photos"):
        places_on_aws(places, out)


def test_ctrl_c_says_that_aws_goes_on() -> None:
    from lenslet.commands.predict import AFTER_CTRL_C

    words = ["s3://photos/set", "--out", "s3://answers/set", "--aws", "staging"]
    assert AFTER_CTRL_C(words) == "; AWS goes on: give the same command again to look at it"

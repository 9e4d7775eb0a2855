"""What the templates hold of code and events: the hook before traffic, the stop at the budget, the weekly call."""

import ast
import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.transform import EXAMPLE, read_template, transform
from tests.support.stack import Stack

ROOT = Path(__file__).parents[2]
CODEDEPLOY_EVENT = {
    "DeploymentId": "d-1A2B3C4D5",
    "LifecycleEventHookExecutionId": "eyJlbmNyeXB0ZWREYXRhIjoi",
}


def stage() -> Stack:
    return Stack(transform(read_template(), {}), EXAMPLE)


def code_of(function: dict[str, Any]) -> Any:
    text = function["Code"]["ZipFile"]
    ast.parse(text, feature_version=(3, 11))
    module: dict[str, Any] = {}
    exec(compile(text, "index.py", "exec"), module)  # what Lambda does with it
    return module["handler"]


class Clients:
    """In place of boto3: a function that says `answer` (or raises it), and CodeDeploy, which keeps verdicts."""

    def __init__(self, answer: object) -> None:
        self.answer, self.asked, self.verdicts = answer, [], []

    def client(self, service: str) -> "Clients":
        assert service in ("lambda", "codedeploy")
        return self

    def invoke(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"Payload": io.BytesIO(json.dumps(self.answer).encode())}

    def put_lifecycle_event_hook_execution_status(self, **verdict: str) -> None:
        self.verdicts.append(verdict)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Any:
    function = stage().of_type("AWS::Lambda::Function")["PreTraffic"]
    monkeypatch.setenv("NEW_VERSION", "arn:aws:lambda:eu-central-1:123456789012:function:lenslet-staging:7")
    handler = code_of(function)

    def run(answer: object) -> Clients:
        clients = Clients(answer)
        monkeypatch.setitem(handler.__globals__, "boto3", clients)
        with suppress(Exception):  # Lambda logs it; the verdict is what counts
            handler(CODEDEPLOY_EVENT, None)
        return clients

    return run


def test_hook_asks_what_the_function_answers(hook: Any) -> None:
    """The hook's own photo, through the real function."""
    import lambda_func

    [request] = hook({"predictions": []}).asked
    assert request["FunctionName"].endswith(":function:lenslet-staging:7")
    answer = lambda_func.handler(json.loads(request["Payload"]), None)
    verdicts = hook(answer).verdicts
    assert verdicts == [
        {
            "deploymentId": "d-1A2B3C4D5",
            "lifecycleEventHookExecutionId": "eyJlbmNyeXB0ZWREYXRhIjoi",
            "status": "Succeeded",
        }
    ]


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"code": "internal_error", "message": "the request failed"}},
        {"errorMessage": "RequestId: 1 Error: Runtime exited", "errorType": "Runtime.ExitError"},
        {"predictions": [{"label": "cat", "probability": None}]},
        {"predictions": [{"label": "cat", "probability": 0}]},
        TimeoutError("the function does not answer"),
    ],
    ids=["500", "crash", "not a number", "zero", "silence"],
)
def test_hook_takes_a_broken_version_back(hook: Any, answer: object) -> None:
    assert [each["status"] for each in hook(answer).verdicts] == ["Failed"]


def test_weekly_call_is_answered() -> None:
    import lambda_func

    [rule] = stage().of_type("AWS::Events::Rule").values()
    assert rule["ScheduleExpression"] == "rate(7 days)"
    [target] = rule["Targets"]
    assert target["Arn"] == "<FunctionAliaslive>"
    answer = lambda_func.handler(json.loads(target["Input"]), None)
    assert answer["statusCode"] == 200
    [permission] = [
        each
        for each in stage().of_type("AWS::Lambda::Permission").values()
        if each["Principal"] == "events.amazonaws.com"
    ]
    assert permission["FunctionName"] == "<FunctionAliaslive>"


# --- the end of the budget


def account(**parameters: str) -> Stack:
    return Stack(read_template(ROOT / "infra" / "account.yaml"), parameters)


def test_budget_stops_nothing_unless_asked_to() -> None:
    assert not account(AlarmEmail="me@example.com").of_type("AWS::Lambda::Function")
    budget = account(StopAtBudget="true").resources["Budget"]["Properties"]
    assert [each["Subscribers"] for each in budget["NotificationsWithSubscribers"]] == [
        [{"SubscriptionType": "SNS", "Address": "<BudgetTopic>"}]
    ]
    [notice] = budget["NotificationsWithSubscribers"]
    assert notice["Notification"]["Threshold"] == 100
    assert "Budget" not in account().resources


@mock_aws
def test_used_up_budget_switches_the_functions_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    role = boto3.client("iam").create_role(RoleName="any", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    client = boto3.client("lambda")
    for name in ("lenslet-staging", "lenslet-production", "others"):
        client.create_function(
            FunctionName=name, Role=role, Runtime="python3.13", Handler="a.b", Code={"ZipFile": b"any"}
        )
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=10)
    function = account(StopAtBudget="true").of_type("AWS::Lambda::Function")["BudgetStop"]
    monkeypatch.setenv("FUNCTIONS", function["Environment"]["Variables"]["FUNCTIONS"])
    code_of(function)({"Records": []}, None)  # the stages without uploads are no reason to fail
    left = {
        name: client.get_function_concurrency(FunctionName=name)["ReservedConcurrentExecutions"]
        for name in ("lenslet-staging", "lenslet-production", "others")
    }
    assert left == {"lenslet-staging": 0, "lenslet-production": 0, "others": 10}

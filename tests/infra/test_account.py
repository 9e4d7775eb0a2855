"""infra/account.yaml: what both stages share, and how little the workflows may do."""

import json
import re
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from infra.transform import EXAMPLE, read_template, transform
from tests.support import template_rules as rules
from tests.support.stack import Stack

ROOT = Path(__file__).parents[2]
ACCOUNT = ROOT / "infra" / "account.yaml"
EVERYTHING = {
    "GitHubRepository": "owner/name",
    "AlarmEmail": "someone@example.com",
    "StopAtBudget": "true",
}
STATEMENT = "Properties/PolicyDocument/Statement"


def account(path: str = "", value: object = None, **parameters: str) -> Stack:
    """The stack, with another value at a path below Resources, as Repository/Properties/ImageTagMutability."""
    template: dict[str, Any] = json.loads(json.dumps(source()))
    place = template["Resources"]
    *steps, last = path.split("/")
    for step in steps:
        place = place[int(step) if step.isdigit() else step]
    if path:
        place[last] = value
    return Stack(template, {**EVERYTHING, **parameters})


@cache
def source() -> dict[str, Any]:
    return read_template(ACCOUNT)


@cache
def stage(name: str) -> Stack:
    given = {
        "Stage": name,
        "WithUploads": "true",
        "WithFunctionUrl": "true",
        "WithHttpApi": "true",
        "LinkBuckets": "archive",
        "FeedbackPlace": "lenslet-feedback/staging",
        "ApiKeyHashes": "0" * 64,
    }
    return Stack(transform(read_template(), given), {**EXAMPLE, **given})  # fmt: skip


@pytest.mark.parametrize("rule", rules.ROLE_RULES, ids=lambda rule: rule.__name__)
def test_rule(rule: Any) -> None:
    assert list(rule(account())) == []
    assert list(rule(account(GitHubRepository="", AlarmEmail=""))) == []


SUBJECT = "token.actions.githubusercontent.com:sub"
TRUST = "ProductionDeployRole/Properties/AssumeRolePolicyDocument/Statement/0/Condition/StringEquals"


@pytest.mark.parametrize(
    ("rule", "path", "value", "complaint"),
    [
        (rules.no_role_has_a_wildcard, f"PushPolicy/{STATEMENT}/0/Action", "ecr:*", "PushPolicy may ecr:*"),
        (rules.no_role_has_a_wildcard, f"DeployPolicy/{STATEMENT}/0/Resource", "*", "everything"),
        (rules.trust_is_narrow, f"{TRUST}/{SUBJECT}", "repo:owner/*:environment:production", "trusts repo"),
        (rules.trust_is_narrow, f"{TRUST}/{SUBJECT}", "repo:owner/name:ref:refs/heads/main", "trusts repo"),
        (rules.trust_is_narrow, TRUST, {SUBJECT: "repo:owner/name:environment:staging"}, "meant for others"),
    ],
)
def test_rule_finds_a_broken_template(rule: Any, path: str, value: object, complaint: str) -> None:
    found = list(rule(account(path, value)))
    assert any(complaint in each for each in found), found


def test_an_image_stays_what_it_was_and_old_ones_go() -> None:
    # A first try that failed leaves no repository behind, which would be in the way of the second.
    assert account().resources["Repository"]["DeletionPolicy"] == "RetainExceptOnCreate"
    repository = account().resources["Repository"]["Properties"]
    assert repository["ImageTagMutability"] == "IMMUTABLE"
    assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}
    ends = json.loads(repository["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    assert [each["rulePriority"] for each in ends] == [1, 2, 3]
    # What is in production was pushed before many others, maybe: its rule must come before that of all.
    assert [each["selection"].get("tagPrefixList") for each in ends] == [None, ["production-"], None]
    assert ends[-1]["selection"]["countNumber"] == 30
    [pull] = repository["RepositoryPolicyText"]["Statement"]
    # The ARN alone: AWS documents no other key of a pull, and one that is not sent would refuse it.
    functions = "arn:aws:lambda:eu-central-1:123456789012:function:lenslet-*"
    assert pull["Condition"] == {"StringLike": {"aws:sourceArn": functions}}


def test_the_budget_tells_at_half_at_the_end_and_before() -> None:
    budget = account(MonthlyBudget="25", StopAtBudget="false").resources["Budget"]["Properties"]
    assert budget["Budget"]["BudgetLimit"] == {"Amount": "25", "Unit": "USD"}
    told = [each["Notification"] for each in budget["NotificationsWithSubscribers"]]
    assert [(each["NotificationType"], each["Threshold"]) for each in told] == [
        ("ACTUAL", 50), ("ACTUAL", 100), ("FORECASTED", 100),
    ]  # fmt: skip
    assert "Budget" not in account(AlarmEmail="", StopAtBudget="false").resources


def test_without_github_there_is_no_way_in() -> None:
    there = account(GitHubRepository="", StopAtBudget="false")
    assert not there.of_type("AWS::IAM::OIDCProvider")
    assert set(there.of_type("AWS::IAM::Role")) == {"GatewayLogRole"}


def test_a_provider_that_is_there_is_not_made_again() -> None:
    mine = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
    there = account(GitHubProvider=mine)
    assert not there.of_type("AWS::IAM::OIDCProvider")
    role = there.resources["StagingDeployRole"]["Properties"]
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Federated": mine}


@pytest.mark.parametrize("name", ["staging", "production"])
def test_each_environment_has_a_role_of_its_own(name: str) -> None:
    role = account().resources[f"{name.title()}DeployRole"]["Properties"]
    trust = role["AssumeRolePolicyDocument"]["Statement"][0]
    assert trust["Condition"]["StringEquals"] == {
        "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
        SUBJECT: [f"repo:owner/name:environment:{name}"],
    }
    numbered = account(GitHubOwnerId="583231", GitHubRepositoryId="1296269").resources[
        f"{name.title()}DeployRole"
    ]
    trust = numbered["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]
    # Of repositories made, renamed or transferred since 2026-07-15, and of the others.
    assert trust["Condition"]["StringEquals"][SUBJECT] == [
        f"repo:owner/name:environment:{name}",
        f"repo:owner@583231/name@1296269:environment:{name}",
    ]
    assert role["RoleName"] == f"lenslet-deploy-{name}-eu-central-1"
    assert role["Tags"] == [{"Key": "stage", "Value": name}]
    assert ("<PushPolicy>" in role["ManagedPolicyArns"]) is (name == "staging")


@pytest.mark.parametrize(
    ("value", "is_good"),
    [
        ("owner/name", True),
        ("", True),
        ("owner/*", False),
        ("owner", False),
        ("owner/name:environment:x", False),
    ],
)
def test_what_is_a_repository(value: str, is_good: bool) -> None:
    pattern = source()["Parameters"]["GitHubRepository"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, value)) is is_good


# --- what the policies allow, worked out as IAM does for the kinds of statement that are in them


def allows(stack: Stack, policy: str, action: str, resource: str, tag: str = "", **keys: str) -> bool:
    """Whether a statement of the policy allows it to a role whose tag `stage` is `tag`.

    `keys`: tags of the resource (`has`) and of the request (`gives`), for conditions on `lenslet-stage`; conditions on
    other keys are left aside.
    """
    known = {
        "aws:ResourceTag/lenslet-stage": keys.get("has"),
        "aws:RequestTag/lenslet-stage": keys.get("gives"),
    }
    for statement in stack.resources[policy]["Properties"]["PolicyDocument"]["Statement"]:
        places = [each.replace(TAG, tag) for each in rules.as_list(statement["Resource"])]
        places = [REPOSITORY if each == "<Repository.Arn>" else each for each in places]
        holds = all(
            known[key] == wanted.replace(TAG, tag) or (operator.endswith("IfExists") and known[key] is None)
            for operator, pairs in statement.get("Condition", {}).items()
            for key, wanted in pairs.items()
            if key in known
        )
        is_named = action in rules.as_list(statement["Action"])
        if holds and is_named and any(fnmatchcase(resource, each) for each in places):
            return True
    return False


TAG = "${aws:PrincipalTag/stage}"
REPOSITORY = "arn:aws:ecr:eu-central-1:123456789012:repository/lenslet"
LAMBDA = "arn:aws:lambda:eu-central-1:123456789012:function:"
STACK = "arn:aws:cloudformation:eu-central-1:123456789012:stack/"


@pytest.mark.parametrize(
    ("policy", "action", "resource", "is_allowed"),
    [
        ("DeployPolicy", "cloudformation:CreateChangeSet", f"{STACK}lenslet-staging/0a1b", True),
        ("DeployPolicy", "cloudformation:CreateChangeSet", f"{STACK}lenslet-production/0a1b", False),
        ("DeployPolicy", "cloudformation:DeleteStack", f"{STACK}lenslet-staging/0a1b", False),
        (
            "DeployPolicy",
            "iam:PassRole",
            "arn:aws:iam::123456789012:role/lenslet-stack-staging-eu-central-1",
            True,
        ),
        (
            "DeployPolicy",
            "iam:PassRole",
            "arn:aws:iam::123456789012:role/lenslet-stack-production-eu-central-1",
            False,
        ),
        ("DeployPolicy", "ecr:PutImage", REPOSITORY, True),
        ("DeployPolicy", "ecr:UploadLayerPart", REPOSITORY, False),
        ("DeployPolicy", "lambda:UpdateAlias", f"{LAMBDA}lenslet-staging", False),
        ("StackPolicy", "lambda:UpdateFunctionCode", f"{LAMBDA}lenslet-staging", True),
        ("StackPolicy", "lambda:UpdateFunctionCode", f"{LAMBDA}lenslet-staging-uploads", True),
        ("StackPolicy", "lambda:UpdateFunctionCode", f"{LAMBDA}lenslet-production", False),
        (
            "StackPolicy",
            "iam:CreateRole",
            "arn:aws:iam::123456789012:role/lenslet-staging-FunctionRole-1A",
            True,
        ),
        ("StackPolicy", "iam:CreateRole", "arn:aws:iam::123456789012:role/lenslet-deploy-staging", False),
        ("StackPolicy", "iam:PutRolePolicy", "arn:aws:iam::123456789012:role/lenslet-stack-staging", False),
        (
            "StackPolicy",
            "iam:DeleteRolePermissionsBoundary",
            "arn:aws:iam::123456789012:role/lenslet-staging-A",
            False,
        ),
    ],
)
def test_what_a_workflow_of_staging_may_do(policy: str, action: str, resource: str, is_allowed: bool) -> None:
    assert allows(account(), policy, action, resource, "staging") is is_allowed


def test_roles_are_made_within_the_boundary_only() -> None:
    for statement in account().resources["StackPolicy"]["Properties"]["PolicyDocument"]["Statement"]:
        grants = {
            "iam:CreateRole",
            "iam:PutRolePolicy",
            "iam:AttachRolePolicy",
            "iam:PutRolePermissionsBoundary",
        }
        if grants & set(rules.as_list(statement["Action"])):
            assert statement["Condition"] == {"StringEquals": {"iam:PermissionsBoundary": "<Boundary>"}}


def test_a_change_needs_the_stages_own_role() -> None:
    statements = account().resources["DeployPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    [change] = [
        each
        for each in statements
        if each["Action"] == "cloudformation:CreateChangeSet" and "transform" not in each["Resource"]
    ]
    role = "arn:aws:iam::123456789012:role/lenslet-stack-${aws:PrincipalTag/stage}-eu-central-1"
    assert change["Condition"] == {"StringEquals": {"cloudformation:RoleArn": role}}


@pytest.mark.parametrize("name", ["staging", "production"])
def test_the_boundary_lets_the_roles_of_a_stage_work(name: str) -> None:
    there = stage(name)
    group = f"arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/lenslet-{name}"
    known = {
        "<FunctionLogs.Arn>": f"{group}:*",
        "<UploadLogs.Arn>": f"{group}-uploads:*",
        "<PreTrafficLogs.Arn>": f"{group}-pre-traffic:*",
        "<AlarmTopic>": f"arn:aws:sns:eu-central-1:123456789012:lenslet-{name}-alarms",
    }
    asked = [
        (action, known.get(resource, resource))
        for _, statement in rules.policies(there)
        for action in rules.as_list(statement["Action"])
        for resource in rules.as_list(statement["Resource"])
    ]
    assert len(asked) == 14
    assert [each for each in asked if not allows(account(), "Boundary", *each)] == []


GATEWAY = "arn:aws:apigateway:eu-central-1::"


@pytest.mark.parametrize(
    ("action", "path", "keys", "is_allowed"),
    [
        ("apigateway:GET", "/restapis/a1", {"has": "staging"}, True),
        ("apigateway:GET", "/restapis/a1", {"has": "production"}, False),
        ("apigateway:GET", "/restapis/a1", {}, False),  # of another project
        ("apigateway:PATCH", "/restapis/a1/stages/production", {"has": "production"}, False),
        ("apigateway:DELETE", "/usageplans/p1", {"has": "production"}, False),
        ("apigateway:GET", "/apikeys/k1", {"has": "production"}, False),
        ("apigateway:POST", "/restapis/a1/deployments", {"has": "staging"}, True),
        ("apigateway:POST", "/restapis", {"gives": "staging"}, True),
        ("apigateway:POST", "/restapis", {"gives": "production"}, False),
        ("apigateway:DELETE", "/apis/h1", {"has": "production"}, False),
        ("apigateway:PATCH", "/apis/h1", {"has": "staging"}, True),
        # A tag may be set on what is new, and never on what the other stage has.
        ("apigateway:PUT", "/tags/arn", {"gives": "staging"}, True),
        ("apigateway:PUT", "/tags/arn", {"gives": "staging", "has": "production"}, False),
    ],
)
def test_staging_neither_reads_nor_changes_the_api_of_production(
    action: str, path: str, keys: dict[str, str], is_allowed: bool
) -> None:
    found = allows(account(), "StackServicesPolicy", action, GATEWAY + path, "staging", **keys)
    assert found is is_allowed


def test_deploying_role_reads_the_key_of_its_stage_only() -> None:
    path = f"{GATEWAY}/apikeys/k1"
    assert allows(account(), "DeployPolicy", "apigateway:GET", path, "staging", has="staging")
    assert not allows(account(), "DeployPolicy", "apigateway:GET", path, "staging", has="production")

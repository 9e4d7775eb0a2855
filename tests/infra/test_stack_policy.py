"""The stack roles may do what CloudFormation's handlers of template.yaml's resources do, and fit into IAM's limits.

The handlers' permissions are those of AWS's published resource schemas, which cfn-lint brings along.
"""

import json
from fnmatch import fnmatchcase
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from infra.transform import EXAMPLE, read_template, transform
from tests.support import template_rules as rules
from tests.support.stack import PSEUDO_PARAMETERS, Stack

# Found without an import of cfn-lint, which takes a second.
SCHEMAS = Path(find_spec("cfnlint").origin).parent / "data" / "schemas" / "resources"
ACCOUNT = Path(__file__).parents[2] / "infra" / "account.yaml"
POLICIES = ("StackPolicy", "StackServicesPolicy")
IAM_LIMIT = 6144  # characters of a managed policy, white space left aside
# What a handler may call and never does for these templates: the setting that would make it is in none of them.
UNUSED = {
    "AWS::ApiGateway::RestApi": {"apigateway:UpdateRestApiPolicy", "iam:PassRole", "s3:GetObject"},
    "AWS::ApiGatewayV2::Api": {"s3:getObject"},
    "AWS::ApiGatewayV2::Integration": {"iam:PassRole"},
    "AWS::ApiGatewayV2::Stage": {"apigateway:TagResource", "apigateway:UntagResource"},  # IAM knows no such actions
    "AWS::CodeDeploy::DeploymentGroup": {"codedeploy:RegisterOnPremisesInstance"},
    "AWS::IAM::Role": {"iam:DeleteRolePermissionsBoundary"},  # which would be the way out of it
    "AWS::Lambda::Alias": {
        "lambda:PutProvisionedConcurrencyConfig", "lambda:DeleteProvisionedConcurrencyConfig"
    },
    "AWS::Lambda::Version": {
        "lambda:PutFunctionScalingConfig", "lambda:PutProvisionedConcurrencyConfig",
        "lambda:PutRuntimeManagementConfig",
    },
    "AWS::SNS::Topic": {"iam:GetRole", "iam:PassRole", "sns:PutDataProtectionPolicy"},
    "AWS::SNS::Subscription": {"iam:GetRole", "iam:PassRole"},
    "AWS::Events::Rule": {"iam:PassRole"},
    "AWS::Lambda::Function": {
        "lambda:AssociateRuntimeAlias", "lambda:DeleteFunctionCodeSigningConfig", "lambda:GetCodeSigningConfig",
        "lambda:GetLayerVersion", "lambda:PassCapacityProvider", "lambda:PutFunctionCodeSigningConfig",
        "lambda:PutFunctionRecursionConfig", "lambda:PutFunctionScalingConfig", "lambda:PutRuntimeManagementConfig",
        "s3:GetObject", "s3:GetObjectVersion",
    },
    "AWS::Logs::LogGroup": {
        "logs:AssociateKmsKey", "logs:DisassociateKmsKey", "logs:DeleteDataProtectionPolicy", "logs:DeleteIndexPolicy",
        "logs:DeleteResourcePolicy", "logs:PutBearerTokenAuthentication", "logs:PutDataProtectionPolicy",
        "logs:PutIndexPolicy", "logs:PutLogGroupDeletionProtection", "logs:PutResourcePolicy", "s3:REST.PUT.OBJECT",
    },
}  # fmt: skip
# Of services that nothing in the templates uses: networks, disks, keys, and S3's tables.
UNUSED_SERVICES = {"ec2", "elasticfilesystem", "kms", "s3files", "s3tables", "firehose"}
# A bucket's settings that the template does not make: read back by the handler, and never written.
UNUSED_WRITES = ("s3:Put", "s3:Delete", "s3:Update", "s3:Create")
BUCKET_WRITES = {
    "s3:CreateBucket", "s3:DeleteBucket", "s3:PutBucketPublicAccessBlock", "s3:PutBucketOwnershipControls",
    "s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration", "s3:PutBucketNotification", "s3:PutBucketTagging",
}  # fmt: skip


@cache
def handlers() -> dict[str, set[str]]:
    """Type → permissions of its handlers, less `list`, which stacks do not call."""
    found = {}
    for path in SCHEMAS.glob("*.json"):
        schema = json.loads(path.read_text(encoding="utf-8"))
        called = [each["permissions"] for name, each in schema.get("handlers", {}).items() if name != "list"]
        found[schema["typeName"]] = {permission for each in called for permission in each}
    return found


@cache
def stage() -> Stack:
    given = {
        "WithUploads": "true", "WithFunctionUrl": "true", "WithHttpApi": "true", "ApiKeyHashes": "0" * 64,
        "AlarmEmail": "someone@example.com",
    }  # fmt: skip
    return Stack(transform(read_template(), given), {**EXAMPLE, **given})


def account() -> Stack:
    return Stack(read_template(ACCOUNT), {"GitHubRepository": "owner/name"})


@cache
def granted() -> set[str]:
    return {
        action
        for policy in POLICIES
        for statement in account().resources[policy]["Properties"]["PolicyDocument"]["Statement"]
        for action in rules.as_list(statement["Action"])
    }


def needed(kind: str) -> set[str]:
    found = {each for each in handlers()[kind] if each.split(":")[0] not in UNUSED_SERVICES}
    if kind == "AWS::S3::Bucket":
        found -= {each for each in found if each.startswith(UNUSED_WRITES)} - BUCKET_WRITES
        found -= {"iam:PassRole"}
    return found - UNUSED.get(kind, set())


def test_stack_roles_may_do_what_the_handlers_do() -> None:
    kinds = {each["Type"] for each in stage().resources.values()}
    assert {"AWS::Lambda::Function", "AWS::S3::Bucket"} < kinds
    missing = {kind: needed(kind) - granted() for kind in sorted(kinds)}
    assert {kind: actions for kind, actions in missing.items() if actions} == {}


def test_what_is_left_out_is_something_that_handlers_ask_for() -> None:
    for kind, actions in UNUSED.items():
        assert actions <= handlers()[kind], kind
        assert not (actions - {"iam:PassRole", "iam:GetRole"}) & granted(), kind


@pytest.mark.slow
def test_resources_have_the_names_that_the_policies_allow() -> None:
    here, account = "eu-central-1:123456789012", "123456789012"
    arns = {
        "AWS::Lambda::Function": ("lambda:CreateFunction", "FunctionName", f"arn:aws:lambda:{here}:function:"),
        "AWS::Logs::LogGroup": ("logs:CreateLogGroup", "LogGroupName", f"arn:aws:logs:{here}:log-group:"),
        "AWS::CloudWatch::Alarm": ("cloudwatch:PutMetricAlarm", "AlarmName", f"arn:aws:cloudwatch:{here}:alarm:"),
        "AWS::CloudWatch::Dashboard": (
            "cloudwatch:PutDashboard", "DashboardName", f"arn:aws:cloudwatch::{account}:dashboard/"
        ),
        "AWS::SNS::Topic": ("sns:CreateTopic", "TopicName", f"arn:aws:sns:{here}:"),
        "AWS::S3::Bucket": ("s3:CreateBucket", "BucketName", "arn:aws:s3:::"),
        "AWS::Events::Rule": ("events:PutRule", "Name", f"arn:aws:events:{here}:rule/"),
    }  # fmt: skip
    for kind, (action, key, prefix) in arns.items():
        for name, resource in stage().of_type(kind).items():
            assert is_allowed(action, prefix + resource[key], "staging"), name
            assert not is_allowed(action, prefix + resource[key], "production"), name


def is_allowed(action: str, resource: str, tag: str) -> bool:
    for policy in POLICIES:
        for statement in account().resources[policy]["Properties"]["PolicyDocument"]["Statement"]:
            places = [
                each.replace("${aws:PrincipalTag/stage}", tag)
                for each in rules.as_list(statement["Resource"])
            ]
            if action in rules.as_list(statement["Action"]) and any(
                fnmatchcase(resource, each) for each in places
            ):
                return True
    return False


@pytest.mark.parametrize(
    ("region", "partition"),
    [("ap-southeast-7", "aws"), ("cn-northwest-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")],
)
def test_policies_fit_into_iam_in_the_longest_regions(
    region: str, partition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PSEUDO_PARAMETERS, "AWS::Region", region)
    monkeypatch.setitem(PSEUDO_PARAMETERS, "AWS::Partition", partition)
    longest = (
        f"arn:{partition}:iam::123456789012:policy/lenslet-account-a-name-of-CloudFormation-1ABCDEFGHIJK"
    )
    for name, policy in account().of_type("AWS::IAM::ManagedPolicy").items():
        text = json.dumps(policy["PolicyDocument"], separators=(",", ":"))
        for reference in ("<Boundary>", "<Repository.Arn>"):
            text = text.replace(reference, longest)
        assert len(text) <= IAM_LIMIT, f"{name} has {len(text)} characters in {region}"


def test_schemas_are_found() -> None:
    assert "lambda:GetFunctionRecursionConfig" in handlers()["AWS::Lambda::Function"]


def test_missing_permission_is_found() -> None:
    kept = granted() - {"lambda:GetFunctionCodeSigningConfig"}
    assert needed("AWS::Lambda::Function") - kept == {"lambda:GetFunctionCodeSigningConfig"}

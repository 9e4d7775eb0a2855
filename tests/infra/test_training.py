"""infra/training.yaml: the role may do what the jobs of the pipeline's definition ask for, and no more."""

import json
import re
import subprocess
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.sagemaker.approved import PACKAGE
from infra.transform import read_template
from tests.support import template_rules as rules
from tests.support.sagemaker_sdk import SDK
from tests.support.stack import Stack

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "infra" / "training.yaml"
DEFINITION = json.loads((ROOT / "tests" / "sagemaker" / "definition.json").read_text(encoding="utf-8"))
BUCKET = "arn:aws:s3:::lenslet-data-123456789012-eu-central-1"
DATA = f"s3://{BUCKET.rpartition(':')[2]}/snapshots/0a1b/photos"
HERE = "eu-central-1:123456789012"
SAGEMAKER = f"arn:aws:sagemaker:{HERE}:"
REPOSITORY = f"arn:aws:ecr:{HERE}:repository/lenslet-training"
KINDS = {"Processing": "processing-job", "Training": "training-job"}


@cache
def stack(bucket: str = "") -> Stack:
    return Stack(read_template(TEMPLATE), {"DataBucket": bucket})


@pytest.mark.parametrize("rule", rules.ROLE_RULES, ids=lambda rule: rule.__name__)
def test_rule(rule: Any) -> None:
    assert list(rule(stack())) == []


def is_allowed(action: str, resource: str, bucket: str = "") -> bool:
    for _, statement in rules.policies(stack(bucket)):
        places = [
            REPOSITORY if each == "<Repository.Arn>" else each
            for each in rules.as_list(statement["Resource"])
        ]
        if action in rules.as_list(statement["Action"]) and any(
            fnmatchcase(resource, each) for each in places
        ):
            return True
    return False


# --- what the jobs ask for, read from the definition


def steps() -> dict[str, dict[str, Any]]:
    chain = DEFINITION["Steps"]
    [gate] = [each for each in chain if each["Type"] == "Condition"]
    every = [*chain, *gate["Arguments"]["IfSteps"]]
    return {each["Name"]: each for each in every if each["Type"] in KINDS}


def resolved(value: Any) -> str:
    """The address that a run puts in the place of an expression of the definition."""
    if isinstance(value, str):
        return value
    if "Std:Join" in value:
        return str(value["Std:Join"]["On"]).join(map(resolved, value["Std:Join"]["Values"]))
    if found := re.fullmatch(r"Steps\.(\w+)\.ProcessingOutputConfig\.Outputs\['(\w+)'].*", value["Get"]):
        outputs = steps()[found[1]]["Arguments"]["ProcessingOutputConfig"]["Outputs"]
        return resolved(next(each["S3Output"]["S3Uri"] for each in outputs if each["OutputName"] == found[2]))
    if found := re.fullmatch(r"Steps\.(\w+)\.ModelArtifacts\.S3ModelArtifacts", value["Get"]):
        place = resolved(steps()[found[1]]["Arguments"]["OutputDataConfig"]["S3OutputPath"])
        return f"{place}/pipelines-0a1b-{found[1]}-2c3d/output/model.tar.gz"
    return {"Parameters.DataUri": DATA, "Execution.PipelineExecutionId": "0a1b"}[value["Get"]]


def addresses(content: Any, name: str) -> list[str]:
    """Each S3 address below a key of this name."""
    if isinstance(content, list):
        return [each for item in content for each in addresses(item, name)]
    if not isinstance(content, dict):
        return []
    return [
        each
        for key, value in content.items()
        for each in ([resolved(value)] if key == name else addresses(value, name))
    ]


def asked(name: str) -> list[tuple[str, str]]:
    """(action, resource) pairs of a step."""
    step, arguments = steps()[name], steps()[name]["Arguments"]
    job = f"{SAGEMAKER}{KINDS[step['Type']]}/pipelines-0a1b-{name}-2c3d"
    kind = step["Type"]
    pairs = [(f"sagemaker:{verb}{kind}Job", job) for verb in ("Create", "Describe", "Stop")]
    pairs += [("sagemaker:AddTags", job)]
    pairs += [("logs:PutLogEvents", f"arn:aws:logs:{HERE}:log-group:/aws/sagemaker/{kind}Jobs:log-stream:a")]
    read = addresses(arguments.get("ProcessingInputs", arguments.get("InputDataConfig")), "S3Uri")
    written = addresses(arguments.get("ProcessingOutputConfig", {}), "S3Uri")
    written += addresses(arguments, "S3OutputPath") + addresses(arguments.get("CheckpointConfig"), "S3Uri")
    pairs += [("s3:GetObject", f"arn:aws:s3:::{each.removeprefix('s3://')}/a") for each in read]
    pairs += [("s3:PutObject", f"arn:aws:s3:::{each.removeprefix('s3://')}/a") for each in written]
    assert read and (written or name == "Register")
    return pairs


@pytest.mark.parametrize("name", ["Prepare", "Train", "Convert", "Evaluate", "Register"])
def test_role_may_do_what_a_step_asks_for(name: str) -> None:
    assert [pair for pair in asked(name) if not is_allowed(*pair)] == []


# What AWS's SDK lists for such roles, less what these jobs do without: networks, keys, MLflow, hubs, lineage.
OF_JOBS = re.compile(
    r"(s3|ecr|logs|cloudwatch|iam):.*"
    r"|sagemaker:((Create|Describe|Stop)(Training|Processing)Job|AddTags|CreateModelPackage)"
)
LISTED = """
import json
from sagemaker.core.helper.iam_role_resolver import IamRoleResolver
print(json.dumps([each for kind in ("training", "pipeline") for each in IamRoleResolver().get_required_actions(kind)]))
"""


@pytest.mark.slow
def test_role_has_what_the_sdk_lists_for_jobs() -> None:
    if not SDK.exists():
        pytest.skip("the SDK is missing: make sagemaker")
    done = subprocess.run(
        [SDK, "-c", LISTED], capture_output=True, text=True, check=True,
        env={"AWS_DEFAULT_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"},
    )  # fmt: skip
    needed = {each for each in json.loads(done.stdout.splitlines()[-1]) if OF_JOBS.fullmatch(each)}
    assert {"s3:GetBucketLocation", "sagemaker:CreateTrainingJob", "iam:PassRole"} <= needed
    granted = {
        each for _, statement in rules.policies(stack()) for each in rules.as_list(statement["Action"])
    }
    assert needed - granted == set()


def test_jobs_run_the_image_of_the_repository() -> None:
    images = {
        each["Arguments"].get("AppSpecification", {}).get("ImageUri")
        or each["Arguments"]["AlgorithmSpecification"]["TrainingImage"]
        for each in steps().values()
    }
    [image] = images
    assert (
        image.partition("/")[2].partition(":")[0]
        == stack().resources["Repository"]["Properties"]["RepositoryName"]
    )
    assert is_allowed("ecr:BatchGetImage", REPOSITORY) and is_allowed(
        "ecr:GetDownloadUrlForLayer", REPOSITORY
    )
    repository = stack().of_type("AWS::ECR::Repository")["Repository"]
    assert repository["ImageTagMutability"] == "IMMUTABLE"  # a step is cached by the image's address
    rule = json.loads(repository["LifecyclePolicy"]["LifecyclePolicyText"])["rules"][-1]
    assert rule["selection"]["countNumber"] == 20


def test_role_is_passed_to_jobs_only() -> None:
    [passes] = [
        each for _, each in rules.policies(stack()) if each["Action"] == "iam:PassRole"
    ]  # fmt: skip
    own = stack().of_type("AWS::IAM::Role")["PipelineRole"]["RoleName"]
    assert passes["Resource"] == f"arn:aws:iam::123456789012:role/{own}"
    assert passes["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}


def test_versions_are_those_of_the_group_that_approvals_are_read_from() -> None:
    [group] = stack().of_type("AWS::SageMaker::ModelPackageGroup").values()
    name = group["ModelPackageGroupName"]
    version = f"{SAGEMAKER}model-package/{name}/3"
    assert PACKAGE.fullmatch(version)
    assert is_allowed("sagemaker:CreateModelPackage", version)
    assert is_allowed("sagemaker:CreateModelPackage", f"{SAGEMAKER}model-package-group/{name}")
    [register] = [each for each in steps().values() if each["Name"] == "Register"]
    words = [resolved(each) for each in register["Arguments"]["AppSpecification"]["ContainerArguments"]]
    assert f"--group={name}" in words


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:PutObject", f"{BUCKET}/photos/2026-11/cat/1.jpg"),
        ("s3:PutObject", f"{BUCKET}/snapshots/0a1b/photos/1.jpg"),
        ("s3:PutObject", f"{BUCKET}/annotations/1"),
        ("s3:GetObject", f"{BUCKET}/annotations/1"),
        ("s3:DeleteObject", f"{BUCKET}/lenslet-training/trained/a"),
        ("s3:GetObject", "arn:aws:s3:::others/snapshots/a"),
        ("sagemaker:UpdateModelPackage", f"{SAGEMAKER}model-package/lenslet/3"),  # an approval
        ("sagemaker:CreateModelPackage", f"{SAGEMAKER}model-package/others/3"),
        ("sagemaker:CreateTrainingJob", f"{SAGEMAKER}training-job/by-hand"),
        ("sagemaker:CreateEndpoint", f"{SAGEMAKER}endpoint/lenslet"),
        ("ecr:PutImage", REPOSITORY),
        ("iam:PassRole", "arn:aws:iam::123456789012:role/lenslet-stack-production-eu-central-1"),
    ],
)
def test_role_may_do_nothing_else(action: str, resource: str) -> None:
    assert not is_allowed(action, resource)


def test_another_bucket_takes_the_place_of_that_of_the_data() -> None:
    assert is_allowed("s3:PutObject", "arn:aws:s3:::mine/lenslet-training/a", "mine")
    assert not is_allowed("s3:PutObject", f"{BUCKET}/lenslet-training/a", "mine")


def test_moto_makes_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        client = boto3.client("cloudformation")
        client.create_stack(
            StackName="lenslet-training", TemplateBody=TEMPLATE.read_text(), Capabilities=["CAPABILITY_NAMED_IAM"]
        )  # fmt: skip
        [made] = client.describe_stacks(StackName="lenslet-training")["Stacks"]
        outputs = {each["OutputKey"]: each["OutputValue"] for each in made["Outputs"]}
        assert outputs["PipelineRoleArn"].endswith(":role/lenslet-training-eu-central-1")
        assert outputs["RepositoryUri"].endswith("/lenslet-training")

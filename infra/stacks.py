"""CloudFormation stacks: outputs of a stage, deployment by SAM, deletion."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import ClientError, WaiterError

from infra.images import REPOSITORY, registry
from infra.preflight import ROOT, Account, ReleaseError, ReleaseFailed

STAGES = ("staging", "production")
TEMPLATE = ROOT / "infra" / "template.yaml"
ACCOUNT_TEMPLATE = ROOT / "infra" / "account.yaml"
ACCOUNT_STACK = "lenslet-account"

# States in which CloudFormation accepts an update.
READY = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")
BUSY = "_IN_PROGRESS"


@dataclass(frozen=True)
class Stack:
    name: str
    status: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]

    def output(self, name: str) -> str:
        """Raises: ReleaseFailed if the stack has no output of that name, or an empty one."""
        if not self.outputs.get(name):
            raise ReleaseFailed(f"stack {self.name} has no output {name}: see its events in CloudFormation")
        return self.outputs[name]


class TemplateLoader(yaml.CSafeLoader):  # ten times as fast as the one in Python
    """YAML with CloudFormation's short functions, which are not evaluated: `!Ref X` becomes "X"."""


def _not_evaluated(loader: TemplateLoader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return node.value


TemplateLoader.add_multi_constructor("!", _not_evaluated)


def stack_name(stage: str) -> str:
    return f"lenslet-{stage}"


def declared_parameters(template: str) -> dict[str, dict[str, Any]]:
    """Name → declaration of each parameter of a YAML or JSON template. Raises: ReleaseError if it is neither."""
    try:
        content = yaml.load(template, TemplateLoader)  # noqa: S506  # a SafeLoader
        return dict(content.get("Parameters") or {})
    except (yaml.YAMLError, AttributeError) as error:
        raise ReleaseError(f"a template cannot be read: {error}") from error


def read_stack(account: Account, name: str) -> Stack | None:
    """None if there is no such stack, or it is empty: its first change set was never executed."""
    try:
        found = account.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    if found["StackStatus"] == "REVIEW_IN_PROGRESS":
        return None
    return Stack(
        name,
        found["StackStatus"],
        {each["ParameterKey"]: each.get("ParameterValue", "") for each in found.get("Parameters", ())},
        {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", ())},
    )


def stack_names(account: Account, start: str) -> list[str]:
    """Names of the region's stacks that begin so, in alphabetical order."""
    pages = account.client("cloudformation").get_paginator("describe_stacks").paginate()
    found = (each["StackName"] for page in pages for each in page["Stacks"])
    return sorted(name for name in found if name.startswith(start))


def need_stack(account: Account, name: str, remedy: str) -> Stack:
    stack = read_stack(account, name)
    if stack is None:
        raise ReleaseError(f"there is no stack {name} in {account.region}: {remedy}")
    return stack


def check_ready(stack: Stack | None) -> None:
    """Raises: ReleaseError if CloudFormation would refuse an update of the stack."""
    if stack is None or stack.status in READY:
        return
    if stack.status.endswith(BUSY):
        raise ReleaseError(f"stack {stack.name} is being changed ({stack.status}): wait until that has ended")
    if "UPDATE" in stack.status:  # it still serves requests, so it must not be removed
        remedy = f"aws cloudformation continue-update-rollback --stack-name {stack.name}"
    elif stack.name == ACCOUNT_STACK:
        remedy = f"aws cloudformation delete-stack --stack-name {stack.name}"
    else:
        remedy = f"make destroy STAGE={stack.name.removeprefix('lenslet-')}"
    raise ReleaseError(
        f"stack {stack.name} is {stack.status} and takes no update: {remedy}, then the same command again"
    )


def read_template(account: Account, name: str) -> str:
    """The template of a stack's last deployment, before SAM's transform."""
    answer = account.client("cloudformation").get_template(StackName=name, TemplateStage="Original")
    body = answer["TemplateBody"]
    return body if isinstance(body, str) else json.dumps(body)


def deploy_stack(
    account: Account,
    sam: str,
    name: str,
    template: Path,
    parameters: Mapping[str, str],
    role: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Stack:
    """Create or update a stack and wait. Parameters that are not given keep their values; every resource gets `tags`.

    `role`: ARN of the role that CloudFormation uses. Raises: ReleaseFailed; SAM has printed the reason.
    """
    command = [
        sam, "deploy", "--template-file", str(template), "--stack-name", name, "--region", account.region,
        "--capabilities", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND",
        "--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar",
        "--image-repository", f"{registry(account)}/{REPOSITORY}",
    ]  # fmt: skip
    if role:
        command += ["--role-arn", role]
    if tags:
        command += ["--tags", *(f"{key}={value}" for key, value in tags.items())]
    if parameters:
        quoted = (f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in parameters.items())
        command += ["--parameter-overrides", *quoted]
    done = subprocess.run(command)
    stack = read_stack(account, name)
    if done.returncode or stack is None:
        what = (
            "its update was rolled back, so it runs what it ran before"
            if stack and stack.status == "UPDATE_ROLLBACK_COMPLETE"
            else f"it is {stack.status if stack else 'not there'}"
        )
        raise ReleaseFailed(f"stack {name} was not deployed; {what}; see the reason above")
    return stack


def protect_stack(account: Account, name: str, *, is_on: bool = True) -> None:
    """Termination protection: CloudFormation refuses to delete the stack as long as it is on."""
    account.client("cloudformation").update_termination_protection(
        StackName=name, EnableTerminationProtection=is_on
    )


def read_key(account: Account, stack: Stack) -> str:
    """The value of the stage's API key: a secret that must not be printed."""
    key = account.client("apigateway").get_api_key(apiKey=stack.output("ApiKeyId"), includeValue=True)
    return str(key["value"])


def delete_stack(account: Account, name: str) -> None:
    """Raises: ReleaseFailed with CloudFormation's first reason if a resource could not be deleted."""
    cloudformation = account.client("cloudformation")
    cloudformation.delete_stack(StackName=name)
    try:
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=name)
    except WaiterError:
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        reasons = [
            f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
            for event in reversed(events)
            if event["ResourceStatus"] == "DELETE_FAILED" and "ResourceStatusReason" in event
        ]
        raise ReleaseFailed(
            f"stack {name} was not removed completely ({reasons[0] if reasons else 'see its events'}): "
            "remove the resource it names, then try again"
        ) from None

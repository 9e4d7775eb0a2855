"""Removal of a stage, or of everything, from an AWS account, with a list of what remains and may cost."""

import argparse

from botocore.exceptions import ClientError

from infra import gateway_logs, images, preflight, stacks
from infra.console import declined, named, say
from infra.cost import PRICES, read_prices
from infra.preflight import Account, ReleaseError
from infra.stacks import ACCOUNT_STACK, STAGES, stack_name

EVERYTHING = "everything"


def destroy(arguments: argparse.Namespace) -> int:
    account = preflight.find_account()
    if arguments.stage == EVERYTHING:
        return destroy_everything(account)
    stack = stacks.need_stack(account, stack_name(arguments.stage), "there is nothing to remove")
    bucket = stack.outputs.get("UploadBucket", "")
    if holds_objects(account, bucket):
        raise ReleaseError(
            f"bucket {bucket} is not empty, and CloudFormation would stop at it: look at what is in it, then "
            f"aws s3 rm s3://{bucket} --recursive"
        )
    say(
        f"stack {stack.name} in {account.region}, account {account.number}: endpoint, key, function, alarms, logs"
    )
    if not named(arguments.stage):
        return declined()
    if arguments.stage == "production":
        stacks.protect_stack(account, stack.name, is_on=False)
    stacks.delete_stack(account, stack.name)
    say(f"{stack.name} is removed")
    print_remains(account)
    return 0


def destroy_everything(account: Account) -> int:
    """Remove the account's stack with all images. Raises: ReleaseError while a stage exists, which needs its image."""
    left = [stage for stage in STAGES if stacks.read_stack(account, stack_name(stage))]
    if left:
        raise ReleaseError(f"a stage is still there: make destroy STAGE={left[0]}")
    stack = stacks.need_stack(account, ACCOUNT_STACK, "there is nothing to remove")
    known = images.read_images(account)
    say(f"stack {ACCOUNT_STACK} with {len(known)} images: after this no release can be restored")
    if not named(EVERYTHING):
        return declined()
    stacks.delete_stack(account, ACCOUNT_STACK)
    gateway_logs.restore_role(account, stack.outputs)
    images.remove_repository(account)
    say(f"{ACCOUNT_STACK} is removed, and the repository with its images")
    print_remains(account)
    return 0


def print_remains(account: Account) -> None:
    lines = remains(account)
    say("still there, and may cost:" if lines else "nothing of this project is left in this region")
    for line in lines:
        print(f"  {line}")


def remains(account: Account) -> list[str]:
    """One line for each remaining resource, with the command that removes it."""
    lines = []
    if known := images.read_images(account):
        gigabytes = sum(image.bytes for image in known.values()) / 1e9
        month = gigabytes * read_prices(PRICES).usd["image_storage"]
        lines.append(
            f"{len(known)} images in repository {images.REPOSITORY}, {gigabytes:.2f} GB, "
            f"about {month:.2f} USD a month: make destroy STAGE={EVERYTHING}"
        )
    pages = account.client("logs").get_paginator("describe_log_groups").paginate()
    lines += [
        f"log group {name}: aws logs delete-log-group --region {account.region} --log-group-name {name}"
        for page in pages
        for name in [group["logGroupName"] for group in page["logGroups"]]
        if images.REPOSITORY in name.lower()
    ]
    commands = {stack_name(stage): f"make destroy STAGE={stage}" for stage in STAGES}
    commands[ACCOUNT_STACK] = f"make destroy STAGE={EVERYTHING}"
    for name in stacks.stack_names(account, f"{images.REPOSITORY}-"):
        by_hand = f"aws cloudformation delete-stack --region {account.region} --stack-name {name}"
        lines.append(f"stack {name}: {commands.get(name, by_hand)}")
    return lines + kept_things(account)


def kept_things(account: Account) -> list[str]:
    """What stacks leave when they are deleted, because a deletion by mistake could not be undone."""
    names = [
        each["repositoryName"]
        for page in account.client("ecr").get_paginator("describe_repositories").paginate()
        for each in page["repositories"]
        if each["repositoryName"].startswith(f"{images.REPOSITORY}-")
    ]
    delete = f"aws ecr delete-repository --region {account.region} --force --repository-name"
    lines = [f"repository {name} with its images: {delete} {name}" for name in names]
    buckets = [each["Name"] for each in account.client("s3").list_buckets()["Buckets"]]
    end = f"-{account.number}-{account.region}"
    lines += [
        f"bucket {name}: look at what is in it, then empty and delete it in the console of S3, which knows versions"
        for name in buckets
        if name.startswith(f"{images.REPOSITORY}-") and name.endswith(end)
    ]
    return lines


def holds_objects(account: Account, bucket: str) -> bool:
    """Whether the bucket exists and is not empty."""
    if not bucket:
        return False
    try:
        return bool(account.client("s3").list_objects_v2(Bucket=bucket, MaxKeys=1)["KeyCount"])
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchBucket", "404"):
            return False
        raise

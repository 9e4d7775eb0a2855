"""Releases: build, deploy and check in staging; promote the same image to production; roll back; destroy.

    python -m infra.release deploy staging        make deploy STAGE=staging
    python -m infra.release promote               make promote
    python -m infra.release rollback              make rollback
    python -m infra.release destroy staging       make destroy STAGE=staging

All preconditions are checked before anything is changed. Exit code 0 on success; 1 if a step failed or was declined
(the message says which state it left); 2 if a precondition was not met and nothing was changed. docs/deploy.md explains
each step.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from infra import changes, concurrency, gateway_logs, images, parameters, preflight, stacks
from infra.checks import check_keys, check_stage
from infra.console import agreed, declined, say
from infra.findings import check_findings
from infra.images import Image
from infra.preflight import Account, ReleaseError, ReleaseFailed
from infra.removal import EVERYTHING, destroy
from infra.stacks import ACCOUNT_STACK, STAGES, Stack, stack_name


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    os.environ.setdefault("SAM_CLI_TELEMETRY", "0")  # SAM reports its use to AWS unless told not to
    try:
        return COMMANDS[arguments.command](arguments)
    except ReleaseFailed as error:
        print(f"infra.release: {error}", file=sys.stderr)
        return 1
    except ReleaseError as error:
        print(f"infra.release: {error}", file=sys.stderr)
        return 2
    except (BotoCoreError, ClientError) as error:
        print(f"infra.release: AWS: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("infra.release: interrupted; CloudFormation finishes what it has begun", file=sys.stderr)
        return 130


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m infra.release",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    deployed = commands.add_parser("deploy", help="build, push, deploy to staging, check")
    deployed.add_argument("stage", choices=STAGES)
    deployed.add_argument("--architecture", choices=preflight.PLATFORMS, help="the template's, if not given")
    promoted = commands.add_parser(
        "promote", help="deploy the image that was checked in staging to production"
    )
    for command in (deployed, promoted):
        command.add_argument(
            "--parameter", action="append", default=[], type=parameters.parameter, metavar="NAME=VALUE",
            help="of infra/template.yaml or, at the first deploy, infra/account.yaml; kept until it is given again",
        )  # fmt: skip
    promoted.add_argument("--digest", help="refuse if staging runs another image than this (sha256:…)")
    undone = commands.add_parser("rollback", help="return production to its previous image")
    for command in (promoted, undone):
        command.add_argument("--yes", action="store_true", help="do not ask")
    removed = commands.add_parser("destroy", help="remove a stage, or everything; asks for its name")
    removed.add_argument("stage", choices=(*STAGES, EVERYTHING))
    return parser.parse_args(argv)


def deploy(arguments: argparse.Namespace) -> int:
    if arguments.stage == "production":
        raise ReleaseError("production takes only what was checked in staging: make promote")
    architecture = arguments.architecture or parameters.default_architecture()
    own, shared = parameters.split(dict(arguments.parameter))
    sam, docker = preflight.find_sam(), preflight.check_docker(architecture)
    commit, account = preflight.find_commit(), preflight.find_account()
    name = stack_name(arguments.stage)
    account_stack, before = stacks.read_stack(account, ACCOUNT_STACK), stacks.read_stack(account, name)
    for each in (account_stack, before):
        stacks.check_ready(each)
    check_keys({**parameters.given_to(before), **own})
    if account_stack and (late := sorted(set(shared) - set(own))):
        raise ReleaseError(
            f"{', '.join(late)}: stack {ACCOUNT_STACK} is there already; docs/deploy.md says how to change it"
        )
    told = shared.get("AlarmEmail")
    if account_stack and told and told != account_stack.parameters.get("AlarmEmail"):
        say(
            f"{told} will get alarms, but not the budget's messages: docs/deploy.md says how to change {ACCOUNT_STACK}"
        )
    template = stacks.TEMPLATE.read_text(encoding="utf-8")
    own |= concurrency.fitting(
        account, own, parameters.given_to(before), stacks.declared_parameters(template)
    )
    tag = images.built_tag(commit, preflight.check_model(), architecture)
    say(f"account {account.number} in {account.region}, image {tag}: all preconditions are met")
    if account_stack is None:
        shared |= gateway_logs.role_settings(account, shared)
        say(f"making stack {ACCOUNT_STACK}: repository, budget, roles")
        stacks.deploy_stack(account, sam, ACCOUNT_STACK, stacks.ACCOUNT_TEMPLATE, shared)
    image = pushed_image(account, docker, tag, architecture)
    say(f"deploying {image.digest} to {name}")
    stack = put_image(account, sam, arguments.stage, template, image, own)
    check_and_mark(account, stack, image)
    say(f"{arguments.stage} is up and checked")
    print_access(stack)
    say("next: make promote")
    return 0


def pushed_image(account: Account, docker: str, tag: str, architecture: str) -> Image:
    """The image of this commit and model, built only if the repository doesn't have it: its tags are immutable."""
    image = images.find_image(images.read_images(account), tag)
    if image:
        say(f"{tag} is in the repository already, and is not built again")
        return image
    say(f"building {tag}")
    images.build_and_push(account, docker, tag, architecture)
    image = images.find_image(images.read_images(account), tag)
    if image is None:
        raise ReleaseFailed(f"{tag} was pushed, but the repository does not have it; nothing was deployed")
    return image


def check_and_mark(account: Account, stack: Stack, image: Image) -> None:
    """Check the stage, and record the result as a tag of the image, which `make promote` reads on any computer."""
    try:
        check_stage(account, stack, is_thorough=True)
    except ReleaseFailed as error:
        images.add_tag(account, image.digest, images.event_tag("failed"))
        raise ReleaseFailed(f"{error}: staging still runs this image, and make promote refuses it") from None
    images.add_tag(account, image.digest, images.event_tag("checked"))


def promote(arguments: argparse.Namespace) -> int:
    sam, account = preflight.find_sam(), preflight.find_account()
    staging = stacks.need_stack(account, stack_name("staging"), "make deploy STAGE=staging")
    production = stacks.read_stack(account, stack_name("production"))
    for stack in (staging, production):
        stacks.check_ready(stack)
    known = images.read_images(account)
    image = image_of(staging, known)
    if image is None or not image.is_checked:
        raise ReleaseError("the image in staging has not passed its checks: make deploy STAGE=staging")
    if arguments.digest not in (None, image.digest):
        raise ReleaseError(
            f"staging runs {image.digest} now, not {arguments.digest}: start the release again"
        )
    # The template that was checked in staging, not the one in this working tree.
    template = stacks.read_template(account, staging.name)
    given, declared = dict(arguments.parameter), stacks.declared_parameters(template)
    parameters.check_given(given, declared)
    settings = parameters.given_to(production)
    # At the first promotion, settings that are not given are those that were checked in staging.
    inherited = {} if production else parameters.given_to(staging)
    check_keys({**settings, **inherited, **given})
    check_findings(account, image)
    room = concurrency.fitting(account, {**inherited, **given}, settings, declared)
    given = {**inherited, **given, **room}
    before = image_of(production, known) if production else None
    earlier = stacks.read_template(account, production.name) if production else ""
    print(changes.table(before, image))
    if not agreed("Bring this to production?", arguments.yes):
        return declined()
    production = put_image(account, sam, "production", template, image, given)
    try:
        check_stage(account, production, is_thorough=False)
    except ReleaseFailed as error:
        if before is None:
            raise ReleaseFailed(
                f"{error}: production still runs this image, because there is no earlier one to return to"
            ) from None
        say(f"{error}: rolling back to {before.digest[:19]}")
        put_image(account, sam, "production", earlier, before, settings, with_canary=False)
        raise ReleaseFailed(f"production runs {before.digest[:19]} again, because {error}") from None
    images.add_tag(account, image.digest, images.event_tag("production"))
    say(f"production runs {image.digest[:19]}; make rollback takes it back")
    print_access(production)
    return 0


def rollback(arguments: argparse.Namespace) -> int:
    sam, account = preflight.find_sam(), preflight.find_account()
    production = stacks.need_stack(account, stack_name("production"), "there is nothing to take back")
    stacks.check_ready(production)
    check_keys(production.parameters)
    known = images.read_images(account)
    current = images.digest_of(production.parameters.get("ImageUri", ""))
    before = images.digest_before(images.production_history(known), current)
    if before is None:
        raise ReleaseError(f"no image was in production before {current[:19]} and is still in the repository")
    print(changes.table(known.get(current), known[before]))
    if not agreed("Take production back to this?", arguments.yes):
        return declined()
    # The template it was deployed with: a rollback takes over no later change of it.
    template = stacks.read_template(account, production.name)
    production = put_image(account, sam, "production", template, known[before], {}, with_canary=False)
    if current in known:
        images.add_tag(account, current, images.event_tag("withdrawn"))
    check_stage(account, production, is_thorough=False)
    say(f"production runs {before[:19]} again: {production.output('Endpoint')}")
    return 0


def print_access(stack: Stack) -> None:
    """Print how to reach the stage: not the key itself, which would end up in logs."""
    print(f"  endpoint   {stack.output('Endpoint')}")
    command = "aws apigateway get-api-key --include-value --query value --output text --api-key"
    print(f"  its key    {command} {stack.output('ApiKeyId')}")
    print(f"  dashboard  {stack.outputs.get('DashboardUrl', '-')}", flush=True)


def image_of(stack: Stack, known: Mapping[str, Image]) -> Image | None:
    """The image that the stack runs; None if the repository no longer has it."""
    return known.get(images.digest_of(stack.parameters.get("ImageUri", "")))


def put_image(
    account: Account,
    sam: str,
    stage: str,
    template: str,
    image: Image,
    given: Mapping[str, str],
    *,
    with_canary: bool = True,
) -> Stack:
    """Deploy an image to a stage. `template`: its text; `given`: parameters to change, the others stay."""
    shared = stacks.need_stack(account, ACCOUNT_STACK, "make deploy STAGE=staging").outputs
    own = parameters.of_release(
        template, stage, account, image, with_canary=with_canary, boundary=shared.get("BoundaryArn", "")
    )
    # Exists where workflows deploy: CloudFormation then uses that role's rights instead of the caller's.
    role = shared.get(f"{stage.title()}StackRoleArn")
    name = stack_name(stage)
    wanted = {**given, **own}
    if "ReleasedAt" in stacks.declared_parameters(template):
        wanted["ReleasedAt"] = parameters.release_time(stacks.read_stack(account, name), wanted)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.yaml"
        path.write_text(template, encoding="utf-8")
        stack = stacks.deploy_stack(account, sam, name, path, wanted, role, {"lenslet-stage": stage})
    if stage == "production":
        stacks.protect_stack(account, name)
    return stack


COMMANDS = {"deploy": deploy, "promote": promote, "rollback": rollback, "destroy": destroy}


if __name__ == "__main__":
    sys.exit(main())

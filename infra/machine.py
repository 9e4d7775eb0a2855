"""Another image on the virtual machine of infra/ec2.yaml, by Systems Manager.

    python -m infra.machine ghcr.io/OWNER/NAME-server@sha256:…

The machine pulls the image and waits until it is healthy; if it is not, the one before runs again. Then `lenslet test`
asks the endpoint, if LENSLET_API_KEY has a key. Exit code 0 if all is well, 1 if not, 2 if something is missing.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra import preflight, stacks
from infra.checks import SMOKE
from infra.console import say
from infra.preflight import ROOT, Account, ReleaseError, ReleaseFailed
from lenslet.checks.endpoint import KEY_VARIABLE

STACK = "lenslet-machine"
IMAGE = re.compile(r"[a-z0-9.-]+\.[a-z]+/[a-z0-9._/-]+@sha256:[0-9a-f]{64}")
LIMIT_S = 660  # the document's own limit, and a minute for the command's transfer
ENDED = ("Success", "Failed", "TimedOut", "Cancelled", "Undeliverable")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m infra.machine",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("image", help="image of the server by digest")
    arguments = parser.parse_args(argv)
    try:
        update(preflight.find_account(), arguments.image)
    except ReleaseFailed as error:
        print(f"infra.machine: {error}", file=sys.stderr)
        return 1
    except (ReleaseError, BotoCoreError, ClientError) as error:
        print(f"infra.machine: {error}", file=sys.stderr)
        return 2
    return 0


def update(account: Account, image: str, pause_s: float = 3) -> None:
    """Run the image by digest on the machine, and check it.

    Raises: ReleaseError for another name of an image, or without the stack; ReleaseFailed with the machine's reason.
    """
    if not IMAGE.fullmatch(image):
        raise ReleaseError(f"{image} is no image by digest: registry/repository@sha256:…")
    stack = stacks.need_stack(account, STACK, "sam deploy --template-file infra/ec2.yaml (docs/deploy.md)")
    ssm = account.client("ssm")
    machine = stack.output("InstanceId")
    command = ssm.send_command(
        DocumentName=stack.output("UpdateDocument"), InstanceIds=[machine], Parameters={"Image": [image]}
    )["Command"]["CommandId"]
    say(f"{machine} takes {image.rpartition('@')[2][:19]}")
    outcome = wait_for(ssm, command, machine, pause_s)
    if outcome["Status"] != "Success":
        reason = outcome.get("StandardErrorContent", "").strip() or outcome["StatusDetails"]
        raise ReleaseFailed(f"{machine}: {reason}")
    check_endpoint(stack.output("Endpoint"), os.environ)


def wait_for(ssm: Any, command: str, machine: str, pause_s: float) -> Mapping[str, Any]:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        try:
            outcome: Mapping[str, Any] = ssm.get_command_invocation(CommandId=command, InstanceId=machine)
        except ssm.exceptions.InvocationDoesNotExist:  # it takes a moment until it is known
            outcome = {"Status": "Pending"}
        if outcome["Status"] in ENDED:
            return outcome
        time.sleep(pause_s)
    raise ReleaseFailed(f"{machine} did not end the update within {LIMIT_S} s: is it running?")


def check_endpoint(url: str, environment: Mapping[str, str]) -> None:
    if not environment.get(KEY_VARIABLE):
        say(f"{url} was not asked: {KEY_VARIABLE} has no key")
        return
    code = subprocess.run([sys.executable, *SMOKE, url], cwd=ROOT, env=dict(environment)).returncode
    if code:
        raise ReleaseFailed(f"{SMOKE[0]} failed on {url} (exit code {code}): give the image before")


if __name__ == "__main__":
    sys.exit(main())

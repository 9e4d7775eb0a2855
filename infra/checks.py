"""Checks of a deployed stage: the contract (`lenslet test`) and accuracy and robustness (`lenslet accept`)."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping

from infra.preflight import ROOT, Account, ReleaseError, ReleaseFailed
from infra.stacks import Stack, read_key
from lenslet.checks.endpoint import BEARER_VARIABLE, KEY_VARIABLE, CheckError, open_endpoint, send_once

# A new key is known to all of the gateway's machines after half a minute or so; before, it answers 403.
KEY_WAIT_S = 120
SMOKE = ("test.py",)
ROBUSTNESS = ("-m", "lenslet", "accept")


def check_keys(settings: Mapping[str, str]) -> None:
    """`settings`: those that the stage will have. Raises: ReleaseError if its function would refuse the checks."""
    hashes, key = settings.get("ApiKeyHashes", ""), os.environ.get(BEARER_VARIABLE, "")
    if hashes and hashlib.sha256(key.encode()).hexdigest() not in hashes.lower().split(","):
        raise ReleaseError(
            f"with ApiKeyHashes the function asks the checks for a key, too: export {BEARER_VARIABLE}=…, one of those "
            "whose hashes it knows"
        )


def check_stage(account: Account, stack: Stack, *, is_thorough: bool) -> None:
    """Smoke check, and if `is_thorough` the robustness check. Raises: ReleaseFailed, naming the check that failed."""
    url = stack.output("Endpoint")
    # By the environment: a command line can be read by everybody on the computer.
    environment = {**os.environ, KEY_VARIABLE: read_key(account, stack)}
    _wait_for_key(url, environment[KEY_VARIABLE])
    _check_http_api(stack, environment)
    for check in (SMOKE, ROBUSTNESS) if is_thorough else (SMOKE,):
        name = " ".join(check)
        print(f"→ python {name} {url}", flush=True)
        code = subprocess.run([sys.executable, *check, url], cwd=ROOT, env=environment).returncode
        if code:
            raise ReleaseFailed(f"{name} failed on {url} (exit code {code})")


def _check_http_api(stack: Stack, environment: Mapping[str, str]) -> None:
    """The same smoke check by the HTTP API, if there is one that asks for a key and not for AWS's signature."""
    url, key = stack.outputs.get("HttpEndpoint"), environment.get(BEARER_VARIABLE)
    if not url or not stack.parameters.get("ApiKeyHashes"):
        return
    print(f"→ python {SMOKE[0]} {url}", flush=True)
    own = {**environment, KEY_VARIABLE: key or ""}
    code = subprocess.run([sys.executable, *SMOKE, url], cwd=ROOT, env=own).returncode
    if code:
        raise ReleaseFailed(f"{SMOKE[0]} failed on {url} (exit code {code})")


def _wait_for_key(url: str, key: str) -> None:
    """Until the gateway lets the key in, or for two minutes; what it answers then is for the checks to judge."""
    endpoint, deadline = open_endpoint(url, key), time.monotonic() + KEY_WAIT_S
    while time.monotonic() < deadline:
        try:
            if send_once(endpoint, "GET", "/").status_code == 200:
                return
        except CheckError:
            pass
        time.sleep(2)

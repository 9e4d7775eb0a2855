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

# The gateway answers 403 to a new key until all of its machines know it, which takes about half a minute.
KEY_WAIT_S = 120
SMOKE = ("test.py",)
ROBUSTNESS = ("-m", "lenslet", "accept")


def check_keys(settings: Mapping[str, str]) -> None:
    """Raises: ReleaseError if a function with these `settings` would refuse the requests of the checks."""
    hashes, key = settings.get("ApiKeyHashes", ""), os.environ.get(BEARER_VARIABLE, "")
    if hashes and hashlib.sha256(key.encode()).hexdigest() not in hashes.lower().split(","):
        raise ReleaseError(
            f"with ApiKeyHashes the checks need a key: export {BEARER_VARIABLE}=…, of which the function has the hash"
        )


def check_stage(account: Account, stack: Stack, *, is_thorough: bool) -> None:
    """Smoke check and, if `is_thorough`, the robustness check. Raises: ReleaseFailed, naming the failed check."""
    url = stack.output("Endpoint")
    # In the environment: other users of the computer can read a command line.
    environment = {**os.environ, KEY_VARIABLE: read_key(account, stack)}
    _wait_for_key(url, environment[KEY_VARIABLE])
    check_http_api(stack, environment)
    for check in (SMOKE, ROBUSTNESS) if is_thorough else (SMOKE,):
        name = " ".join(check)
        print(f"→ python {name} {url}", flush=True)
        code = subprocess.run([sys.executable, *check, url], cwd=ROOT, env=environment).returncode
        if code:
            raise ReleaseFailed(f"{name} failed on {url} (exit code {code})")


def check_http_api(stack: Stack, environment: Mapping[str, str]) -> None:
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
    """Wait until the gateway accepts the key, at most KEY_WAIT_S; the checks report any other answer."""
    endpoint, deadline = open_endpoint(url, key), time.monotonic() + KEY_WAIT_S
    while time.monotonic() < deadline:
        try:
            if send_once(endpoint, "GET", "/").status_code == 200:
                return
        except CheckError:
            pass
        time.sleep(2)

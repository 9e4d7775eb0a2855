"""The checks of a deployed stage: does it answer as promised, and as well as the model did before it was deployed?"""

import os
import subprocess
import sys
import time

import requests

from infra.preflight import ROOT, Account, ReleaseFailed
from infra.stacks import Stack, read_key

# A new key is known to all of the gateway's machines after half a minute or so; before, it answers 403.
KEY_WAIT_S = 120
SMOKE = ("test.py",)
ROBUSTNESS = ("-m", "bench.endpoint")


def check_stage(account: Account, stack: Stack, *, is_thorough: bool) -> None:
    """Smoke check, and if `is_thorough` the robustness check. Raises: ReleaseFailed, naming the check that failed."""
    url = stack.output("Endpoint")
    # By the environment: a command line can be read by everybody on the computer.
    environment = {**os.environ, "LENSLET_API_KEY": read_key(account, stack)}
    _wait_for_key(url, environment["LENSLET_API_KEY"])
    for check in (SMOKE, ROBUSTNESS) if is_thorough else (SMOKE,):
        name = " ".join(check)
        print(f"→ python {name} {url}", flush=True)
        code = subprocess.run([sys.executable, *check, url], cwd=ROOT, env=environment).returncode
        if code:
            raise ReleaseFailed(f"{name} failed on {url} (exit code {code})")


def _wait_for_key(url: str, key: str) -> None:
    """Until the gateway lets the key in, or for two minutes; what it answers then is for the checks to judge."""
    deadline = time.monotonic() + KEY_WAIT_S
    while time.monotonic() < deadline:
        try:
            if requests.get(url, headers={"X-Api-Key": key}, timeout=35).status_code == 200:
                return
        except requests.RequestException:
            pass
        time.sleep(2)

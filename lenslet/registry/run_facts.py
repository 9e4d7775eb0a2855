"""What a run says of the program that made it, and where a browser shows it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from lenslet.registry.mlflow_client import SERVER

LOCAL_PAGE = "http://127.0.0.1:5000"  # MLFLOW_PORT of the Makefile


def working_tree(folder: Path = Path(__file__).parent) -> str:
    """The git commit of this program, with -dirty if files differ from it; empty without git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def command_of_run() -> str:
    """The command line as it was typed; addresses in it lose user and password."""
    words = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return re.sub(r"//[^/@\s]*@", "//", words)


def run_address(experiment: str, run_id: str) -> str:
    """The page of a run on the server, or on that of `make mlflow`; without a password."""
    server = re.sub(r"//[^/@]*@", "//", os.environ.get(SERVER, "").rstrip("/"))
    path = f"/#/experiments/{experiment}/runs/{run_id}"
    return f"{server}{path}" if server.startswith("http") else f"`make mlflow`, then {LOCAL_PAGE}{path}"

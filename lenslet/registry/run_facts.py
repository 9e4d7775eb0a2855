"""Provenance of a run: git commit, command line, and its address in a browser."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lenslet.registry.mlflow_client import SERVER

# Tag, after `params.` → the setting in it.
TAGGED = {
    "image_size": "train.image_size",
    "backbone": "train.backbone.name",
    "weights": "train.backbone.weights",
    "epochs": "train.fine_tune.epochs",
    "seed": "train.seed",
}
OVERRIDES = "overrides."  # begins the keys of what --set replaced
LOCAL_PAGE = "http://127.0.0.1:5000"  # MLFLOW_PORT of the Makefile


def working_tree(folder: Path = Path(__file__).parent) -> str:
    """The git commit of this program, with -dirty if files differ from it; empty without git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def program_of_run() -> str:
    """What was started: `lenslet`, also where Python was told to run that package, or a file such as train.py."""
    name = Path(sys.argv[0]).name
    return "lenslet" if name == "__main__.py" else name


def command_of_run() -> str:
    """The command line as it was typed; addresses in it lose user and password."""
    words = shlex.join([program_of_run(), *sys.argv[1:]])
    return re.sub(r"//[^/@\s]*@", "//", words)


def params_tags(flat_params: Mapping[str, Any]) -> dict[str, str]:
    """Tags that MLflow's table of runs can show and filter by: the main settings, and all that --set replaced.

    `flat_params`: dotted key → value, as `lenslet.training.record.flat` gives it.
    """
    tags = {f"params.{name}": str(flat_params[key]) for name, key in TAGGED.items() if key in flat_params}
    given = [
        f"{key.removeprefix(OVERRIDES)}={value}"
        for key, value in flat_params.items()
        if key.startswith(OVERRIDES)
    ]
    return {**tags, "params.set": " ".join(given)} if given else tags


def run_address(experiment: str, run_id: str) -> str:
    """The page of a run on the server, or on that of `make mlflow`; without a password."""
    server = re.sub(r"//[^/@]*@", "//", os.environ.get(SERVER, "").rstrip("/"))
    path = f"/#/experiments/{experiment}/runs/{run_id}"
    return f"{server}{path}" if server.startswith("http") else f"`make mlflow`, then {LOCAL_PAGE}{path}"

"""openapi.yaml against a running server: requests made from the contract, right and wrong, by schemathesis."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.endpoint import ROOT, running

KEY = "a-key-for-this-test"
# What the contract can't say of a picture or a link shows when it is read; that a request is wrong, never.
CONFIG = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "413", "415", "422"]
"""
# Schema → its format in tests/support/schemathesis_hooks.py: of random text, none is a picture.
FORMATS = {"Link": "link", "EncodedImage": "picture"}


def contract_of(media_type: str, security: list[dict[str, list[str]]]) -> dict[str, Any]:
    """openapi.yaml for bodies of one type: OpenAPI has no words for parameters that go with another type only."""
    contract = yaml.safe_load((ROOT / "openapi.yaml").read_text())
    contract["security"] = security
    for schema, form in FORMATS.items():
        contract["components"]["schemas"][schema]["format"] = form
    # In a batch a link that is too long is one result's error, and the batch has status 200.
    del contract["components"]["schemas"]["Link"]["maxLength"]
    operation = contract["paths"]["/predict"]["post"]
    if media_type == "application/json":
        del operation["parameters"]
    content = operation["requestBody"]["content"][media_type]
    content.pop("examples", None)  # some look up names; tests/serving/test_openapi.py has them all
    operation["requestBody"]["content"] = {media_type: content}
    return contract


def run_schemathesis(folder: Path, contract: dict[str, Any], *arguments: str) -> str:
    """What `st run` prints; it makes the same requests each time."""
    (folder / "openapi.yaml").write_text(yaml.safe_dump(contract))
    (folder / "schemathesis.toml").write_text(CONFIG)
    command = [Path(sys.executable).with_name("st"), "--config-file", folder / "schemathesis.toml", "run"]
    command += [folder / "openapi.yaml", "--checks", "all", "--max-examples", "100", "--seed", "1"]
    command += ["--generation-database", "none", "--continue-on-failure", "--no-color", *arguments]
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("media_type", "needs_key"), [("application/json", False), ("image/*", False), ("application/json", True)]
)
def test_server_keeps_the_contract(tmp_path, monkeypatch, media_type, needs_key):
    security, arguments = [{}], []
    if needs_key:
        monkeypatch.setenv("LENSLET_API_KEYS", hashlib.sha256(KEY.encode()).hexdigest())
        security, arguments = [{"apiKey": []}], ["--header", f"X-Api-Key: {KEY}"]
    with running() as (address, _):
        printed = run_schemathesis(tmp_path, contract_of(media_type, security), "--url", address, *arguments)
    made = re.search(r"(\d+) generated", printed)
    assert made, printed
    assert int(made.group(1)) > 150, printed

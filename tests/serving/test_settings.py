"""Mistyped settings, and a client's key without the service's hashes, stop the start with one sentence."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lenslet.serving.settings import CLIENT_SETTINGS, SERVICE_SETTINGS, check_settings

ROOT = Path(__file__).parents[2]
HASH = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"

MISTYPED = {
    "LENSLET_LINK_HOST": "LENSLET_LINK_HOST is not a setting of Lenslet; "
    "did you mean LENSLET_LINK_HOSTS (hosts that http(s) links may name)?",
    "LENSLET_KEYS": "did you mean LENSLET_API_KEYS (SHA-256 hashes of the accepted API keys)?",
    "LENSLET_API_KEYZ": "did you mean LENSLET_API_KEYS (SHA-256 hashes of the accepted API keys)?",
    "LENSLET_APIKEYS": "did you mean LENSLET_API_KEYS (",
    "LENSLET_CORS_ORIGIN": "did you mean LENSLET_CORS_ORIGINS (",
    "LENSLET_S3_BUCKET": "did you mean LENSLET_S3_BUCKETS (",
    "LENSLET_CONTACTS": "did you mean LENSLET_CONTACT (",
    "LENSLET_MODLE": "did you mean LENSLET_MODEL (path of the model folder)?",
    "LENSLET_SHADOWS": "did you mean LENSLET_SHADOW (folder of a candidate model that answers a sample",
    "LENSLET_SHADOW_SHARES": "did you mean LENSLET_SHADOW_SHARE (",
    "LENSLET_ENDPIONT": "did you mean LENSLET_ENDPOINT (address of the endpoint that the page asks)?",
    "lenslet_api_keys": "lenslet_api_keys is not a setting of Lenslet; did you mean LENSLET_API_KEYS (",
    "LENSLET_LOUD": "LENSLET_LOUD is not a setting of Lenslet; those of the service are LENSLET_MODEL, ",
}
CLIENTS_KEYS = {
    "LENSLET_API_KEY": "LENSLET_API_KEY is a client's setting and lets everybody in here: "
    "put the SHA-256 hash of the key into LENSLET_API_KEYS, or unset LENSLET_API_KEY to serve without keys",
    "LENSLET_BEARER_KEY": "LENSLET_BEARER_KEY is a client's setting and lets everybody in here: "
    "put the SHA-256 hash of the key into LENSLET_API_KEYS, or unset LENSLET_BEARER_KEY to serve without keys",
}


@pytest.mark.parametrize("name", MISTYPED)
def test_mistyped_setting_is_refused_with_the_likely_one(name: str) -> None:
    with pytest.raises(ValueError, match=re.escape(MISTYPED[name])):
        check_settings({"PATH": "/bin", name: "the-value"})
    with pytest.raises(ValueError, match=re.escape(MISTYPED[name])) as refused:
        check_settings({"LENSLET_API_KEYS": HASH, name: "the-value"})
    assert "the-value" not in str(refused.value)  # it may be a key


@pytest.mark.parametrize("name", CLIENTS_KEYS)
def test_clients_key_is_refused_unless_the_service_has_hashes(name: str) -> None:
    for others in ({}, {"LENSLET_API_KEYS": " "}):
        with pytest.raises(ValueError, match=f"^{re.escape(CLIENTS_KEYS[name])}$"):
            check_settings({name: "the-key", **others})
    check_settings({name: "the-key", "LENSLET_API_KEYS": HASH})


@pytest.mark.parametrize(
    "environment",
    [
        {"LENSLET_ENDPOINT": "http://127.0.0.1:8080", "LENSLET_PUBLISH": "0.0.0.0"},
        {"LENSLET_PUBLIC_ENDPOINT": "https://example.com/prod"},
        {"LENSLET_LINK_HOSTS": "images.example.com", "LENSLET_MODEL": "model"},
        {"LENSLET_LINK_HOST": "", "LENSLET_API_KEY": " "},  # blank is not set
        {"LENSLETTER": "mail", "MY_LENSLET_KEY": "1"},
        # Kubernetes, for services called lenslet and lenslet-page
        {
            "LENSLET_SERVICE_HOST": "10.0.0.1",
            "LENSLET_SERVICE_PORT": "80",
            "LENSLET_SERVICE_PORT_HTTP": "80",
            "LENSLET_PORT": "tcp://10.0.0.1:80",
            "LENSLET_PORT_80_TCP": "tcp://10.0.0.1:80",
            "LENSLET_PORT_80_TCP_ADDR": "10.0.0.1",
            "LENSLET_PAGE_PORT_80_TCP_PROTO": "tcp",
        },
    ],
)
def test_these_environments_are_fine(environment: dict[str, str]) -> None:
    check_settings(environment)


def test_settings_of_the_documentation_are_those_of_the_table() -> None:
    listed = re.findall(
        r"^\| `(LENSLET_\w+)`", (ROOT / "docs" / "settings.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(listed) == SERVICE_SETTINGS.keys() | CLIENT_SETTINGS.keys()


@pytest.mark.parametrize("name", ["LENSLET_LINK_HOST", "LENSLET_API_KEY"])
def test_function_does_not_start(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import lambda_func"],
        cwd=ROOT, env={**os.environ, name: "hush"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"ValueError: {(MISTYPED | CLIENTS_KEYS)[name]}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LENSLET_LINK_HOST", "LENSLET_API_KEY"])
def test_server_does_not_start(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lenslet", "serve", "--port", "0"],
        cwd=ROOT, env={**os.environ, name: "hush"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"lenslet serve: a setting is wrong: {(MISTYPED | CLIENTS_KEYS)[name]}\n"

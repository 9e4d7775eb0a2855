"""The generated clients: built, type-checked with the examples of docs/api.md, and run against the real server."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.documents import section
from tests.support.endpoint import ROOT, running
from tests.support.photos import RED, flat, saved

PHOTO = saved(flat(RED), "PNG")
CLIENTS = ROOT / ".venv-clients" / "bin" / "python"
IS_COMPLETE = CLIENTS.exists() and shutil.which("npm")
# Silent about the client's own code, as about installed packages: it calls different things by one name.
TYPE_CHECK = (
    ROOT / ".venv/bin/mypy", "--strict", "--follow-imports", "silent", "--no-incremental", "--config-file", "",
    "--python-executable", CLIENTS,
)  # fmt: skip
LOCAL = "http://127.0.0.1:8080"  # of the examples

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not IS_COMPLETE and not os.environ.get("CI"), reason="needs npm and make .venv-clients/installed"
    ),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clients")
    run(sys.executable, "clients/generate.py", "--out", out)
    return out


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running("--workers", "2") as (found, _):
        yield found


def run(*command: str | Path, at: Path = ROOT, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)), cwd=at, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def example(language: str, address: str) -> str:
    text = section("docs/api.md", "Clients")
    [code] = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert LOCAL in code
    return code.replace(LOCAL, address)


def expected(address: str) -> Any:
    answer = requests.post(
        f"{address}/predict?top=2", PHOTO, headers={"Content-Type": "image/png"}, timeout=60
    )
    return [each["label"] for each in answer.json()["predictions"]]


PYTHON_CALLS = """
import base64
import json
import sys

from lenslet_client.api.classify import predict
from lenslet_client.api.service import describe, models
from lenslet_client.models import Form, PredictRequest

from example import classify, client

photo = open(sys.argv[1], "rb").read()
encoded = base64.b64encode(photo).decode()
raw = classify(photo)
of_json = predict.sync(client=client, body=PredictRequest(image=encoded, top=2, explain=True))
of_form = predict.sync(client=client, body=Form(file=File(BytesIO(photo), "a.png"), top=2))
refused = predict.sync(client=client, body=PredictRequest(image="%"))
described, listed = describe.sync(client=client), models.sync(client=client)
print(json.dumps([each.to_dict() for each in (raw, of_json, of_form, refused, described, listed)]))
"""


def test_python_client(made: Path, address: str, tmp_path: Path) -> None:
    [wheel] = made.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path)
    (tmp_path / "example.py").write_text(example("python", address))
    run(*TYPE_CHECK, "example.py", at=tmp_path)
    (tmp_path / "calls.py").write_text(
        "from io import BytesIO\nfrom lenslet_client.types import File\n" + PYTHON_CALLS
    )
    (tmp_path / "photo.png").write_bytes(PHOTO)
    raw, of_json, of_form, refused, described, listed = json.loads(
        run(CLIENTS, "calls.py", "photo.png", at=tmp_path)
    )
    for answer in (raw, of_json, of_form):
        assert [each["label"] for each in answer["predictions"]] == expected(address)
    assert of_json["explanation"]["grid"]
    assert refused["error"]["code"] == "bad_request"
    assert listed["models"][0]["description"] == described == requests.get(address, timeout=60).json()


def test_wrong_use_of_the_python_client_is_a_type_error(made: Path, tmp_path: Path) -> None:
    [wheel] = made.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path)
    (tmp_path / "wrong.py").write_text(
        "from lenslet_client.models import PredictRequest\nPredictRequest(image=b'', tops=2)\n"
    )
    done = subprocess.run(
        [*TYPE_CHECK, "wrong.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert 'Unexpected keyword argument "tops"' in done.stdout
    assert 'Argument "image" to "PredictRequest" has incompatible type "bytes"' in done.stdout


TYPESCRIPT_CALLS = """
import { classify } from "./build/example.js";
const answers = [await classify(process.argv[2])];
try { await classify("%"); } catch (error) { answers.push(error.message); }
console.log(JSON.stringify(answers));
"""
WRONG = """
const wrong = createLenslet({ baseUrl: "" }).POST("/predict", { body: { image: 7 } });
"""


def test_typescript_client(made: Path, address: str, tmp_path: Path) -> None:
    [archive] = made.glob("*.tgz")
    shutil.copy(ROOT / "clients/typescript/package-lock.json", tmp_path)
    shutil.copy(ROOT / "clients/typescript/package.json", tmp_path)
    run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", at=tmp_path)
    installed = tmp_path / "node_modules" / "lenslet-client"
    installed.mkdir()
    run("tar", "--extract", "--strip-components", "1", "--file", archive, at=installed)
    options = json.loads((ROOT / "clients/typescript/tsconfig.json").read_text())
    (tmp_path / "tsconfig.json").write_text(json.dumps({**options, "files": ["example.ts"]}))
    (tmp_path / "example.ts").write_text(example("ts", address))
    run("npm", "exec", "--offline", "--", "tsc", at=tmp_path)
    (tmp_path / "calls.mjs").write_text(TYPESCRIPT_CALLS)
    answer, message = json.loads(run("node", "calls.mjs", base64.b64encode(PHOTO).decode(), at=tmp_path))
    assert [each["label"] for each in answer["predictions"]] == expected(address)
    assert message.startswith("the image is not valid base64: its character number 1, ")
    (tmp_path / "example.ts").write_text(example("ts", address) + WRONG)
    done = subprocess.run(
        ["npm", "exec", "--offline", "--", "tsc"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert "Type 'number' is not assignable to type 'string'" in done.stdout

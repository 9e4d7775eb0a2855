"""The prediction backend before a real endpoint: requests in the form that Label Studio 1.23 was recorded to send."""

import base64
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from starlette.requests import Request
from starlette.responses import Response

from lenslet.cli import main as lenslet
from lenslet.labelling.backend import Backend, Counter, application
from lenslet.labelling.label_studio import LabelStudio
from tests.support.asgi_server import serving
from tests.support.endpoint import running

PHOTO = Path("data/sample/test/forest/00.jpg")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with running() as (address, _):
        yield address


def ask(
    folder: Path,
    path: str,
    endpoint: str = "http://127.0.0.1:9",
    headers: dict[str, str] | None = None,
    content: Any = None,
    body: bytes | None = None,
    **settings: Any,
) -> requests.Response:
    """One request to a backend that is started for it."""
    backend = Backend(endpoint, Counter(folder / "counter.json"), **settings)
    with serving(application(backend)) as address:
        if content is None and body is None:
            return requests.get(address + path, timeout=30)
        return requests.post(address + path, json=content, data=body, headers=headers, timeout=30)


def task(image: str) -> dict[str, Any]:
    return {"id": 10, "data": {"image": image}, "annotations": [], "predictions": []}


@pytest.mark.slow
def test_photos_are_answered_through_the_endpoint(endpoint: str, tmp_path: Path) -> None:
    photo = "data:image/jpeg;base64," + base64.b64encode(PHOTO.read_bytes()).decode()
    tasks = [task(photo), task("data:image/jpeg;base64,AAAA"), task("file:///etc/passwd"), {"id": 1}]
    content = {"tasks": tasks, "project": "3.1", "label_config": "<View/>"}
    found = ask(tmp_path, "/predict", endpoint, content=content)
    assert found.status_code == 200
    first, *others = found.json()["results"]
    [choice] = first["result"]
    assert choice["value"] == {"choices": ["forest"]}
    assert 0.5 < first["score"] <= 1
    assert [other["result"] for other in others] == [[], [], []]
    version = ask(tmp_path, "/setup", endpoint, content={"project": "3.1"}).json()["model_version"]
    assert first["model_version"] == version


def test_endpoint_that_is_away_costs_the_prediction_only(tmp_path: Path) -> None:
    found = ask(tmp_path, "/predict", content={"tasks": [task("data:image/png;base64,AAAA")]})
    assert found.json()["results"][0]["result"] == []
    assert ask(tmp_path, "/setup", content={}).status_code == 502


def test_annotations_are_counted_and_survive_a_restart(tmp_path: Path) -> None:
    counts: list[int] = []
    for _ in range(2):
        ask(tmp_path, "/webhook", content={"action": "ANNOTATION_CREATED"}, on_annotation=counts.append)
    ask(tmp_path, "/webhook", content={"action": "PROJECT_UPDATED"})
    assert counts == [1, 2]
    assert json.loads((tmp_path / "counter.json").read_text()) == {"annotations": 2}


def test_webhook_with_a_secret(tmp_path: Path) -> None:
    event = {"action": "ANNOTATION_CREATED"}
    given = {None: 403, "other": 403, "kept": 201}
    for secret, status in given.items():
        headers = {"X-Lenslet-Secret": secret} if secret else None
        found = ask(tmp_path, "/webhook", content=event, headers=headers, webhook_secret="kept")
        assert found.status_code == status


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"tasks": 3}', b"\xff\xfe"])
def test_bodies_that_label_studio_does_not_send(body: bytes, tmp_path: Path) -> None:
    assert ask(tmp_path, "/predict", body=body).status_code == 400


def test_health(tmp_path: Path) -> None:
    assert ask(tmp_path, "/health").json()["status"] == "UP"


@pytest.mark.parametrize(
    "image", ["@127.0.0.1:9/a.jpg", "//127.0.0.1:9/a.jpg", "a.jpg", "?a", "http://[", "http:x"]
)
def test_addresses_that_could_name_another_host_get_no_token(image: str, tmp_path: Path) -> None:
    """The address of Label Studio with such a path behind it would be one of another host."""
    with serving(_never) as studio:
        tasks = {"tasks": [task(image)]}
        found = ask(tmp_path, "/predict", content=tasks, studio=LabelStudio(studio, "a token"))
    assert found.status_code == 200
    assert found.json()["results"][0]["result"] == []


async def _never(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("nothing may be asked")


def test_photos_of_label_studio_are_fetched_with_its_token(tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []

    async def studio(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        asked.append((str(request.url.path), request.headers["authorization"]))
        await Response(PHOTO.read_bytes())(scope, receive, send)

    with serving(studio) as address:
        image = f"{address}/data/upload/1/a.jpg"
        backend = Backend(
            "http://127.0.0.1:9", Counter(tmp_path / "c"), studio=LabelStudio(address, "a token")
        )
        assert backend.predict(task(image))["result"] == []  # no endpoint answers
    assert asked == [("/data/upload/1/a.jpg", "Token a token")]


@contextmanager
def running_command(*arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`lenslet label backend` on a free port; its address and the process."""
    command = [sys.executable, "-m", "lenslet", "label", "backend", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        address = re.search(r"http://\S+", process.stdout.readline())
        assert address
        yield address.group(), process
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_command_listens_on_the_loopback_counts_and_ends_on_sigterm(tmp_path: Path) -> None:
    counter = tmp_path / "counter.json"
    with running_command("--counter", str(counter), "--enough", "2") as (address, process):
        assert address.startswith("http://127.0.0.1:")
        assert requests.get(f"{address}/health", timeout=30).json()["status"] == "UP"
        for _ in range(2):
            requests.post(f"{address}/webhook", json={"action": "ANNOTATION_CREATED"}, timeout=30)
        assert process.stdout
        assert process.stdout.readline().startswith("2 more annotations, 2 in all: ")
        process.terminate()
        assert process.wait(timeout=30) == 0
    assert json.loads(counter.read_text()) == {"annotations": 2}


def test_command_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert lenslet(["label", "backend", "--endpoint", "file:///etc/passwd"]) == 2
    assert "--endpoint takes an address" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert lenslet(["label", "backend", "--port", port]) == 2
    assert f"cannot listen on 127.0.0.1, port {port}" in capsys.readouterr().err


@pytest.mark.slow
def test_server_has_the_limits_of_lenslet_serve(tmp_path: Path) -> None:
    with running_command("--counter", str(tmp_path / "n.json")) as (address, process):
        many = {f"x-{number}": "y" for number in range(200)}
        assert requests.get(f"{address}/health", headers=many, timeout=60).status_code == 400
        process.terminate()
        assert process.wait(60) == 0

"""compose.yaml and its two images; both processes are started without an engine, as the files specify."""

import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from lenslet.serving.settings import check_settings
from tests.support.containers import (
    ROOT,
    Builder,
    Image,
    build_context,
    copied_names,
    files_in,
    megabytes,
    stages,
)
from tests.support.documents import settings
from tests.support.mlflow_server import free_port

pytest_plugins = ["tests.support.images"]

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PAGE_MEGABYTES = 600
LARGEST_LOG_BYTES = 1_000_000
WAIT_S = 60


def interpolated(text: str, environment: dict[str, str]) -> str:
    """`${NAME:-default}` and `${NAME:+replacement}` as Compose reads them; a default may hold one more of them."""

    def value(found: re.Match[str]) -> str:
        given = environment.get(found[1], "")
        return (given or found[3]) if found[2] == ":-" else (found[3] if given else "")

    while (changed := re.sub(r"\$\{(\w+)(:[-+])([^${}]*)\}", value, text)) != text:
        text = changed
    return text


def environment_of(service: str) -> dict[str, str]:
    return {name: interpolated(value, {}) for name, value in SERVICES[service]["environment"].items()}


def test_compose_file_follows_the_specification() -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    checked = subprocess.run(
        [checker, "--builtin-schema", "vendor.compose-spec", "compose.yaml"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_services_may_do_no_more_than_they_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["cap_drop"] == ["ALL"]
    assert service["restart"] == "unless-stopped"
    assert service["mem_limit"] == {"function": "1536m", "page": "1g"}[name]
    assert not {"privileged", "network_mode", "volumes", "user", "cap_add"} & service.keys()


def test_ports_are_those_of_this_computer_unless_somebody_says_otherwise() -> None:
    published = [port for service in SERVICES.values() for port in service["ports"]]
    assert [interpolated(port, {}) for port in published] == ["127.0.0.1:8080:8080", "127.0.0.1:8501:8501"]
    opened = {"LENSLET_PUBLISH": "0.0.0.0", "PORT": "80", "PAGE_PORT": "443"}
    assert [interpolated(port, opened) for port in published] == ["0.0.0.0:80:8080", "0.0.0.0:443:8501"]


def test_page_waits_for_the_function_and_asks_it() -> None:
    assert SERVICES["page"]["depends_on"] == {"function": {"condition": "service_healthy"}}
    assert environment_of("page") == {
        "LENSLET_ENDPOINT": "http://function:8080",
        "LENSLET_PUBLIC_ENDPOINT": "http://127.0.0.1:8080",
        "LENSLET_API_KEY": "",
    }


def test_every_setting_of_the_function_can_be_made() -> None:
    """Those of docs/settings.md, except folders (the model, samples), which are part of the images."""
    listed = {name for name in settings("The service") if name.startswith("LENSLET_")}
    assert "LENSLET_S3_BUCKETS" in listed
    folders = {"LENSLET_MODEL", "LENSLET_MODELS", "LENSLET_SHADOW", "LENSLET_SHADOW_SHARE"}
    # These tell the function that its clients have keys; `check_settings` then wants the hashes, too.
    keys = {"LENSLET_API_KEY", "LENSLET_BEARER_KEY"}
    assert listed - folders | keys == SERVICES["function"]["environment"].keys()
    assert settings("The page") - {"LENSLET_SAMPLES"} == environment_of("page").keys()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, None),
        ({"LENSLET_API_KEY": "hush"}, "LENSLET_API_KEY is a client's setting"),
        ({"LENSLET_BEARER_KEY": "hush"}, "LENSLET_BEARER_KEY is a client's setting"),
        ({"LENSLET_API_KEY": "hush", "LENSLET_API_KEYS": "0" * 64}, None),
        ({"LENSLET_API_KYES": "0" * 64}, "LENSLET_API_KYES is not a setting .* LENSLET_API_KEYS"),
        ({"LENSLET_LINK_HOST": "example.com"}, "LENSLET_LINK_HOST is not a setting .* LENSLET_LINK_HOSTS"),
        ({"LENSLET_PUBLISH": "0.0.0.0", "PORT": "80"}, None),
    ],
)
def test_function_does_not_start_open_with_settings_of_a_file(
    given: dict[str, str], message: str | None
) -> None:
    """As Compose makes the environment of the container: all of `env_file`, then what `environment` says."""
    function = SERVICES["function"]
    files = [file["path"] for file in function.get("env_file", ())]
    environment = {name: interpolated(value, given) for name, value in function["environment"].items()}
    environment = {**(given if ".env" in files else {}), **environment}
    assert "hush" not in environment.values()
    with pytest.raises(ValueError, match=message) if message else nullcontext():
        check_settings(environment)


def test_variables_of_the_file_are_those_of_the_document() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    named = set(re.findall(r"\$\{(\w+):?-", text))
    assert named - settings("The service", "The page") == settings("Docker Compose")


def test_stages_and_files_of_the_builds_exist() -> None:
    assert SERVICES["function"]["build"]["target"] in [
        stage.name for stage in stages((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    ]
    assert (ROOT / SERVICES["page"]["build"]["dockerfile"]).exists()
    for service in SERVICES.values():
        assert service["build"]["context"] == "."
        assert interpolated(service["build"]["args"]["PYTHON_IMAGE"], {}) == "python:3.11-slim"


def test_page_context_is_what_its_dockerfile_copies() -> None:
    folder = ROOT / "frontend"
    names = copied_names((folder / "Dockerfile").read_text(encoding="utf-8"))
    assert names == {"requirements/page.txt", "frontend", "data/sample/test"}
    context = build_context((folder / "Dockerfile.dockerignore").read_text(encoding="utf-8"))
    assert {path.parts[0] for path in context} == {"requirements", "frontend", "data"}
    # Whatever the page is made of, or will be, is in its image.
    page = {path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".pyc", ".txt")}
    page -= {folder / "Dockerfile", folder / "Dockerfile.dockerignore"}
    page = {path for path in page if path.name != "secrets.toml"}
    assert {path.relative_to(ROOT) for path in page} <= set(context)
    assert len([path for path in context if path.suffix == ".jpg"]) == 6  # the first drawing of each scene


# --- both processes

# No file may grow beyond 0 bytes: like a read-only file system, also for root.


def forbid_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@contextmanager
def container(
    image: Image, service: str, changes: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """The service's process, its log through a pipe; `changes` stand for what an engine's network would do."""

    def changed(text: str) -> str:
        for old, new in changes.items():
            text = text.replace(old, new)
        return text

    command = image.entrypoint + SERVICES[service].get("command", image.arguments)
    environment = {**image.environment, "HOME": "/nonexistent"}
    environment |= {name: changed(value) for name, value in environment_of(service).items()}
    with log.open("wb") as file:
        collector = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file)
        process = subprocess.Popen(
            [changed(part) for part in command], cwd=image.folder, env=environment,
            stdout=collector.stdin, stderr=collector.stdin, preexec_fn=forbid_files,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            collector.communicate()


def wait_until_healthy(image: Image, process: subprocess.Popen[bytes], changes: dict[str, str]) -> None:
    """By the image's own health check."""
    check = [
        part.replace("8080", changes["8080"]).replace("8501", changes["8501"]) for part in image.health_check
    ]
    end = time.monotonic() + WAIT_S
    while subprocess.run(check, cwd="/", env=image.environment, capture_output=True).returncode:
        assert process.poll() is None, "the process ended"
        assert time.monotonic() < end, "not healthy in time"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def images(function_builder: Builder, page_builder: Builder) -> dict[str, Image]:
    return {"function": function_builder.build("server"), "page": page_builder.build()}


@pytest.mark.slow
def test_images_are_small_and_run_without_rights(
    images: dict[str, Image], capsys: pytest.CaptureFixture[str]
) -> None:
    installed = images["page"].root.parent / "python"
    size = megabytes(images["page"].root) + megabytes(installed)
    with capsys.disabled():
        print(f"\npage: {size:.0f} MB unpacked over the base image, the limit is {PAGE_MEGABYTES}")
    assert size <= PAGE_MEGABYTES
    assert [image.user for image in images.values()] == ["65534:65534"] * 2
    assert sorted(path.name for path in images["page"].folder.iterdir()) == [
        "data", "frontend", "page.txt"
    ]  # fmt: skip
    # The page holds no model, and no code of the function.
    assert not list(images["page"].folder.rglob("*.tflite"))
    assert not list(images["page"].folder.rglob("inference"))


@pytest.mark.slow
def test_both_processes_start_work_and_stop(images: dict[str, Image], tmp_path: Path) -> None:
    ports = {"8080": str(free_port()), "8501": str(free_port())}
    changes = {**ports, "0.0.0.0": "127.0.0.1", "//function:": "//127.0.0.1:"}
    before = {name: files_in(image.root) for name, image in images.items()}
    logs = {name: tmp_path / f"{name}.log" for name in images}
    with container(images["function"], "function", changes, logs["function"]) as function:
        wait_until_healthy(images["function"], function, changes)
        with container(images["page"], "page", changes, logs["page"]) as page:
            wait_until_healthy(images["page"], page, changes)
            drawing = (ROOT / "data/sample/test/forest/00.jpg").read_bytes()
            answer = requests.post(
                f"http://127.0.0.1:{ports['8080']}/predict",
                data=drawing,
                headers={"Content-Type": "image/jpeg"},
                timeout=30,
            )
            assert answer.status_code == 200
            shown = run_page(images["page"], changes)
            assert shown == {"failures": [], "tabs": 3}
            for process in (page, function):
                process.terminate()
                assert process.wait(timeout=30) == 0
    assert {name: files_in(image.root) for name, image in images.items()} == before
    assert all(log.stat().st_size < LARGEST_LOG_BYTES for log in logs.values())
    assert "Traceback" not in logs["page"].read_text() + logs["function"].read_text()


# In the image's own Python: the packages that are pinned there, and its files alone.
ASK_PAGE = """
import json
from streamlit.testing.v1 import AppTest
page = AppTest.from_file("frontend/app.py", default_timeout=60).run()
print(json.dumps({"failures": [each.message for each in page.exception], "tabs": len(page.tabs)}))
"""


def run_page(image: Image, changes: dict[str, str]) -> dict[str, Any]:
    """What the page shows when it is opened, with the function answering."""
    environment = environment_of("page")
    environment["LENSLET_ENDPOINT"] = f"http://127.0.0.1:{changes['8080']}"
    run = subprocess.run(
        ["python", "-c", ASK_PAGE], cwd=image.folder, env={**image.environment, **environment},
        capture_output=True, text=True, timeout=WAIT_S,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    shown: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return shown

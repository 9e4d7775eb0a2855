"""The function's image, built from the Dockerfile without an engine, and run under a Runtime API."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty

import pytest

import lambda_func
from tests.serving.test_lambda_func import ANSWERS
from tests.support.containers import (
    ROOT,
    Builder,
    Image,
    build_context,
    copied,
    copied_names,
    files_in,
    instructions,
    megabytes,
)
from tests.support.runtime_api import Report, RuntimeApi, running_runtime_api

pytest_plugins = ["tests.support.images"]

EVENTS = ROOT / "tests" / "events"
LARGEST_MEGABYTES = 150
# What Lambda itself sets and the function may look at. HOME is not among them.
LAMBDA_ENVIRONMENT = {
    "AWS_LAMBDA_FUNCTION_NAME": "lenslet",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
    "AWS_REGION": "eu-central-1",
    "LANG": "en_US.UTF-8",
    "TZ": ":UTC",
}


@dataclass
class Function:
    """A running container and the Runtime API around it."""

    api: RuntimeApi
    process: subprocess.Popen[bytes]
    log: Path
    started: float  # time.perf_counter() just before the process

    def invoke(self, event: bytes) -> Report:
        try:
            return self.api.invoke(event)
        except Empty:
            pytest.fail(f"no answer; exit code {self.process.poll()}\n{self.log.read_text()}")


@contextmanager
def running(image: Image, log: Path, **environment: str) -> Iterator[Function]:
    with running_runtime_api() as api, log.open("wb") as output:
        bare = {
            **LAMBDA_ENVIRONMENT,
            **image.environment,
            **environment,
            "AWS_LAMBDA_RUNTIME_API": api.address,
        }
        bare["LAMBDA_TASK_ROOT"] = str(image.folder)
        started = time.perf_counter()
        process = subprocess.Popen(image.command, cwd=image.folder, env=bare, stdout=output, stderr=output)
        try:
            yield Function(api, process, log, started)
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def image(function_builder: Builder) -> Image:
    return function_builder.build()


@pytest.fixture(scope="module")
def function(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    with running(image, tmp_path_factory.mktemp("function") / "log") as running_function:
        yield running_function


def test_build_context_is_what_the_dockerfile_copies() -> None:
    names = copied_names((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert names == {
        "requirements/lambda.txt", "lambda_func.py", "lenslet/__init__.py", "lenslet/inference",
        "lenslet/serving/*.py", "lenslet/serving/openapi.json", "lenslet/serving/links",
        "model/model.tflite", "model/model.json",
        # for the stage `server`
        "requirements/http.txt", "lenslet/__main__.py", "lenslet/cli.py", "lenslet/commands/__init__.py",
        "lenslet/commands/hints.py", "lenslet/commands/options.py", "lenslet/commands/parser.py",
        "lenslet/commands/serve.py", "lenslet/commands/table.py", "lenslet/shipped/__init__.py", "lenslet/serving/http",
    }  # fmt: skip
    context = build_context((ROOT / ".dockerignore").read_text(encoding="utf-8"))
    assert sorted(copied(sorted(names), context)) == context


QUIET = {
    "LENSLET_LOG_LEVEL": "CRITICAL",
    "LENSLET_METRICS_DISABLED": "true",
    "AWS_DEFAULT_REGION": "eu-central-1",
}
# Third parties that the function's image holds, with what they need.
IMPORTABLE = """
import importlib.abc, json, sys

PACKAGES = {
    "numpy", "PIL", "tflite_runtime", "ai_edge_litert", "jmespath",
    "boto3", "botocore", "s3transfer", "dateutil", "six", "urllib3", "certifi",
}
OWN = ("lenslet.inference", "lenslet.serving")


class OnlyTheImage(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        is_own = name in ("lenslet", "lambda_func") or name.startswith(OWN)
        is_own = is_own and not name.startswith("lenslet.serving.http")
        if not (is_own or top in sys.stdlib_module_names or top in PACKAGES):
            raise ModuleNotFoundError(f"the image has no {name}", name=name)
        return None


sys.meta_path.insert(0, OnlyTheImage())
import lambda_func

late = [name for name in ("boto3", "certifi", "ssl", "http.client") if name in sys.modules]
for name in sys.argv[1:]:
    event = json.load(open(f"tests/events/{name}.json"))
    print(json.dumps(lambda_func.handler(event, None)))
import boto3, certifi, ssl  # what links need
from lenslet.serving.links import connection, fetcher
fetcher.s3_client(1.0)
connection._tls(None, None)
print(json.dumps(late))
"""


def test_function_needs_nothing_that_the_image_does_not_hold() -> None:
    """Every other module of the project, and every other package, is blocked."""
    names = ["direct_predict_explained", "http_api_link_refused", "function_url_predict_raw_png"]
    done = subprocess.run(
        [sys.executable, "-c", IMPORTABLE, *names],
        cwd=ROOT, env={**os.environ, **QUIET}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *answers, late = map(json.loads, done.stdout.splitlines())
    assert answers == [
        lambda_func.handler(json.loads((EVENTS / f"{name}.json").read_bytes()), None) for name in names
    ]
    assert late == []


def test_build_context_holds_what_the_server_imports(tmp_path: Path) -> None:
    for path in build_context((ROOT / ".dockerignore").read_text(encoding="utf-8")):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).symlink_to(ROOT / path)
    code = "import lenslet.__main__, lenslet.commands.serve, lenslet.serving.http.server, lambda_func"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_dockerfile_lines_are_read_as_docker_reads_them() -> None:
    text = '# a comment\nARG BASE=x\n\nRUN pip install \\\n    # not part of it\n    numpy\nCMD ["a"]\n'
    assert [(keyword, rest.split()) for keyword, rest in instructions(text)] == [
        ("ARG", ["BASE=x"]),
        ("RUN", ["pip", "install", "numpy"]),
        ("CMD", ['["a"]']),
    ]


@pytest.mark.slow
def test_image_is_small(image: Image, capsys: pytest.CaptureFixture[str]) -> None:
    size = megabytes(image.folder)
    with capsys.disabled():
        print(f"\nimage: {size:.0f} MB unpacked, the limit is {LARGEST_MEGABYTES}")
    assert size <= LARGEST_MEGABYTES


@pytest.mark.slow
def test_image_has_nothing_of_the_server_in_it(image: Image, function_builder: Builder) -> None:
    """To the last byte what the stage `function` holds: `server`, which follows on it too, adds nothing here."""
    assert function_builder.stages[-1].base == "function"
    assert files_in(image.root) == files_in(function_builder.build("function").root)
    assert image.command == ["python", "-m", "awslambdaric", "lambda_func.handler"]
    code = {str(path.relative_to(image.folder)) for path in image.folder.glob("lenslet/**/*.py")}
    assert {str(Path(name).parent) for name in code} == {
        "lenslet", "lenslet/inference", "lenslet/serving", "lenslet/serving/links"
    }  # fmt: skip
    assert [name for name in sorted(code) if name.count("/") == 1] == ["lenslet/__init__.py"]
    for name in ("uvicorn", "starlette", "http.txt"):
        assert not (image.folder / name).exists()


@pytest.mark.slow
def test_image_has_no_training_in_it(image: Image) -> None:
    assert [path.name for path in sorted((image.folder / "model").iterdir())] == [
        "model.json",
        "model.tflite",
    ]
    for module in ("tensorflow", "keras", "lenslet.training", "lenslet.evaluation", "pytest"):
        run = subprocess.run(
            ["python", "-c", f"import {module}"],
            cwd=image.folder, env=image.environment, capture_output=True, text=True,
        )  # fmt: skip
        assert f"ModuleNotFoundError: No module named '{module}'" in run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ANSWERS)
def test_image_answers_as_the_tested_function(function: Function, name: str) -> None:
    event = (EVENTS / f"{name}.json").read_bytes()
    report = function.invoke(event)
    assert report.kind == "response"
    status, code = ANSWERS[name]
    assert report.content.get("statusCode") == status
    content = json.loads(report.content["body"] or "{}") if status else report.content
    assert content.get("error", {}).get("code") == code
    # The same to the last digit: another Pillow or runtime in the image would show here.
    assert report.content == lambda_func.handler(json.loads(event), None)


@pytest.mark.slow
def test_broken_event_is_reported_and_the_function_survives(function: Function) -> None:
    report = function.invoke(b"{not JSON")
    assert (report.kind, report.content["errorType"]) == ("error", "Runtime.UnmarshalError")
    assert function.invoke(b"{}").kind == "response"


@pytest.mark.slow
def test_missing_model_is_reported_as_an_init_error(image: Image, tmp_path: Path) -> None:
    with running(image, tmp_path / "log", LENSLET_MODEL=str(tmp_path)) as function:
        report = function.api.next_report()
        assert (report.kind, report.content["errorType"]) == ("init/error", "ArtifactError")
        assert "`lenslet convert` writes it" in report.content["errorMessage"]
        assert function.process.wait(timeout=10) == 1


@pytest.mark.slow
def test_speed_is_printed(image: Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is asserted: the machine may be busy. `python -m bench.serving` compares."""
    event = (EVENTS / "direct_predict_image.json").read_bytes()
    first, later = [], []
    for _ in range(5):
        with running(image, tmp_path / "log") as function:
            function.invoke(event)
            first.append(time.perf_counter() - function.started)
            for _ in range(50):
                started = time.perf_counter()
                function.invoke(event)
                later.append(time.perf_counter() - started)
    with capsys.disabled():
        print(
            f"\nimage: cold start {statistics.median(first) * 1000:.0f} ms, "
            f"warm round trip {statistics.median(later) * 1000:.1f} ms (medians)"
        )

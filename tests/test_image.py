"""What the Dockerfile says, done by hand without a Docker engine, and run under a Runtime API."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty

import pytest

import lambda_func
from tests.runtime_api import Report, RuntimeApi, running_runtime_api
from tests.test_lambda_func import ANSWERS

ROOT = Path(__file__).parents[1]
EVENTS = ROOT / "tests" / "events"
LARGEST_MEGABYTES = 180
# What Lambda itself sets and the function may look at. HOME is not among them.
LAMBDA_ENVIRONMENT = {
    "AWS_LAMBDA_FUNCTION_NAME": "lenslet",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
    "AWS_REGION": "eu-central-1",
    "LANG": "en_US.UTF-8",
    "TZ": ":UTC",
}


@dataclass(frozen=True)
class Image:
    """What a container of the image would start with."""

    folder: Path  # stands for the last WORKDIR
    command: list[str]
    environment: dict[str, str]


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


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """(keyword, the rest) of each instruction: comments dropped, continued lines joined."""
    lines = [line for line in dockerfile.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    keywords = [line.partition(" ") for line in "\n".join(lines).replace("\\\n", " ").splitlines()]
    return [(keyword, rest.strip()) for keyword, _, rest in keywords]


def build_context(dockerignore: str) -> list[Path]:
    """The files that .dockerignore, an allow-list, lets through to the engine; relative to the repository."""
    first, *exceptions = [line for line in dockerignore.splitlines() if line and not line.startswith("#")]
    assert first == "*", "the first rule must shut everything out"
    assert all(rule.startswith("!") for rule in exceptions)
    return sorted(path.relative_to(ROOT) for rule in exceptions for path in ROOT.glob(rule[1:]))


def copied(sources: list[str], context: list[Path]) -> dict[Path, Path]:
    """Which file COPY reads → where it goes below the target: a folder stands for all that is in it."""
    files: dict[Path, Path] = {}
    for source in map(Path, sources):
        found = [path for path in context if path == source or source in path.parents]
        assert found, f"COPY {source}: no such file is in the build context"
        files |= {path: path.relative_to(source) if path != source else Path(path.name) for path in found}
    return files


def build(folder: Path) -> Image:
    """Follow the Dockerfile below `folder`. An empty virtual environment, Python and pip, is the base image.

    USER is the one line that is not followed: to change the user, a test would have to run as root.
    """
    steps = instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    context = build_context((ROOT / ".dockerignore").read_text(encoding="utf-8"))
    venv.create(folder / "python", with_pip=True)
    environment = {"PATH": f"{folder / 'python' / 'bin'}:/usr/bin:/bin"}
    places = {rest: folder / "root" / rest.strip("/") for keyword, rest in steps if keyword == "WORKDIR"}
    here = folder
    command: list[str] = []
    for keyword, rest in steps:
        match keyword:
            case "WORKDIR":
                here = places[rest]
                here.mkdir(parents=True, exist_ok=True)
            case "COPY" if rest.startswith("--from="):
                _, source, target = rest.split()
                assert (places[source], target) == (here, "./"), "stages share their folders here"
            case "COPY":
                *sources, target = rest.split()
                for file, place in copied(sources, context).items():
                    (here / target / place).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / file, here / target / place)
            case "RUN":
                for inside, outside in places.items():
                    rest = rest.replace(inside, str(outside))
                run_step(rest, here, environment)
            case "ENV":
                name, _, value = rest.partition("=")
                environment[name] = value
            case "ENTRYPOINT" | "CMD":
                command += json.loads(rest)
            case _:
                assert keyword in ("ARG", "FROM", "USER"), f"this test cannot follow {keyword}"
    return Image(here, command, environment)


def run_step(command: str, folder: Path, environment: dict[str, str]) -> None:
    """One RUN. pip needs this machine's settings; what it must not see is this Python's packages."""
    around = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    step = subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, env={**around, **environment}, capture_output=True, text=True
    )
    assert step.returncode == 0, f"RUN {command}\n{step.stdout}{step.stderr}"


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
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the image holds Python 3.11, whose wheels another Python cannot install")
    return build(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def function(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    with running(image, tmp_path_factory.mktemp("function") / "log") as running_function:
        yield running_function


def test_build_context_is_what_the_dockerfile_copies() -> None:
    steps = instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    sources = [rest.split()[:-1] for keyword, rest in steps if keyword == "COPY" and "--from" not in rest]
    names = {name.strip("/") for line in sources for name in line}
    assert names == {
        "requirements-lambda.txt", "lambda_func.py", "inference", "model/model.tflite", "model/model.json"
    }  # fmt: skip
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {rule[1:].removesuffix("/*.py") for rule in rules if rule.startswith("!")}
    assert allowed == names


def test_dockerfile_lines_are_read_as_docker_reads_them() -> None:
    text = '# a comment\nARG BASE=x\n\nRUN pip install \\\n    # not part of it\n    numpy\nCMD ["a"]\n'
    assert [(keyword, rest.split()) for keyword, rest in instructions(text)] == [
        ("ARG", ["BASE=x"]),
        ("RUN", ["pip", "install", "numpy"]),
        ("CMD", ['["a"]']),
    ]


@pytest.mark.slow
def test_image_is_small(image: Image, capsys: pytest.CaptureFixture[str]) -> None:
    megabytes = sum(path.stat().st_size for path in image.folder.rglob("*") if path.is_file()) / 1e6
    with capsys.disabled():
        print(f"\nimage: {megabytes:.0f} MB unpacked, the limit is {LARGEST_MEGABYTES}")
    assert megabytes <= LARGEST_MEGABYTES


@pytest.mark.slow
def test_image_has_no_training_in_it(image: Image) -> None:
    assert [path.name for path in sorted((image.folder / "model").iterdir())] == [
        "model.json",
        "model.tflite",
    ]
    for module in ("tensorflow", "keras", "training", "evaluation", "pytest"):
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
def test_broken_event_is_reported_and_the_function_lives_on(function: Function) -> None:
    report = function.invoke(b"{not JSON")
    assert (report.kind, report.content["errorType"]) == ("error", "Runtime.UnmarshalError")
    assert function.invoke(b"{}").kind == "response"


@pytest.mark.slow
def test_missing_model_is_reported_as_an_init_error(image: Image, tmp_path: Path) -> None:
    with running(image, tmp_path / "log", LENSLET_MODEL=str(tmp_path)) as function:
        report = function.api.next_report()
        assert (report.kind, report.content["errorType"]) == ("init/error", "ArtifactError")
        assert "convert.py writes it" in report.content["errorMessage"]
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

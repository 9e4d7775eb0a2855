"""`lenslet pipeline sagemaker`: the definition against a golden file; create, update, start and status against moto."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from infra.sagemaker import container
from tests.support.endpoint import ROOT
from tests.support.sagemaker_sdk import BUCKET, client, sagemaker_environment

GOLDEN = Path(__file__).with_name("definition.json")
ROLE = "arn:aws:iam::123456789012:role/lenslet-sagemaker"
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/lenslet-training:0123456789ab"
DEFINE = ("define", "--role", ROLE, "--image", IMAGE, "--bucket", BUCKET)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with sagemaker_environment(tmp_path_factory.mktemp("sagemaker")) as environment:
        client("s3", environment)
        yield environment


def lenslet(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lenslet", "pipeline", "sagemaker", *words],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_definition_create_start_and_status(cloud: dict[str, str]) -> None:
    printed = lenslet(cloud, *DEFINE, "--json")
    assert printed.returncode == 0, printed.stderr[-2000:]
    definition = json.loads(printed.stdout)
    assert definition == json.loads(GOLDEN.read_text(encoding="utf-8"))

    spot = json.loads(lenslet(cloud, *DEFINE, "--spot", "--json").stdout)
    train = {each["Name"]: each for each in definition["Steps"]}["Train"]["Arguments"]
    train["EnableManagedSpotTraining"] = True
    train["StoppingCondition"]["MaxWaitTimeInSeconds"] = 86_400
    # Where container.py looks for them, and the same for all runs: steps are cached by it.
    place = f"s3://{BUCKET}/lenslet-training/checkpoints"
    train["CheckpointConfig"] = {"S3Uri": place}
    assert spot == definition

    sagemaker = client("sagemaker", cloud)
    for again in (False, True):  # the second time it is updated
        done = lenslet(cloud, *DEFINE)
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.splitlines()[-1].endswith(":pipeline/lenslet-training"), again
    [found] = sagemaker.list_pipelines()["PipelineSummaries"]
    assert found["PipelineName"] == "lenslet-training"

    for words, sentence in (
        ((), "--set DataUri=s3://… is needed"),
        (("--set", "Epochs=3"), "not Epochs"),
    ):
        refused = lenslet(cloud, "start", *words)
        assert refused.returncode == 2 and sentence in refused.stderr
    started = lenslet(cloud, "start", "--set", "DataUri=s3://a/b", "--set", "LearningRate=2e-4")
    assert started.returncode == 0, started.stderr[-2000:]
    arn = started.stdout.splitlines()[-1]
    given = sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=arn)["PipelineParameters"]
    assert {"Name": "LearningRate", "Value": "2e-4"} in given
    followed = lenslet(cloud, "status")
    assert followed.returncode == 0 and arn in followed.stdout, followed.stderr[-2000:]
    answer = json.loads(lenslet(cloud, "status", "--json").stdout)
    assert (answer["execution"], answer["status"]) == (arn, "Succeeded")  # moto ends a run at once


def test_golden_definition_is_the_chain() -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    steps = {each["Name"]: each for each in golden["Steps"]}
    assert list(steps) == ["Prepare", "Train", "Convert", "Evaluate", "Gate"]
    assert [each["Name"] for each in steps["Gate"]["Arguments"]["IfSteps"]] == ["Register"]
    assert [each["Type"] for each in steps["Gate"]["Arguments"]["ElseSteps"]] == ["Fail"]
    cached = {name for name, each in steps.items() if each.get("CacheConfig", {}).get("Enabled")}
    assert cached == {"Prepare", "Train", "Convert", "Evaluate"}
    assert {each["Name"] for each in golden["Parameters"]} == {
        "DataUri", "Backbone", "BatchSize", "Optimizer", "LearningRate", "Augmentation", "Settings", "Weights",
        "InstanceType", "MinimumAccuracy",
    }  # fmt: skip


def test_steps_run_the_commands_of_dvc() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    code = (ROOT / "infra/sagemaker/container.py").read_text(encoding="utf-8")
    for name, stage in stages.items():
        commands = stage["cmd"] if isinstance(stage["cmd"], list) else [stage["cmd"]]
        asked = [re.sub(r"^python (\w+)\.py", r"python -m lenslet \1", each) for each in commands]
        assert any(each.startswith(f"python -m lenslet {name}") for each in asked), name
        assert re.search(rf'(run\(\s*|lenslet\(\[)"{name}"', code), name
    assert set(container.STEPS) >= {"train", "convert", "evaluate"}


def test_image_copies_what_the_steps_import() -> None:
    text = (ROOT / "infra/sagemaker/Dockerfile").read_text(encoding="utf-8")
    copied = {
        source.rstrip("/")
        for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE)
        for source in line.split()
    }
    assert copied == {
        "requirements/training.txt",
        "params.yaml",
        "lambda_func.py",
        "lenslet",
        "infra",
        "model",
    }
    ignore = (ROOT / "infra/sagemaker/Dockerfile.dockerignore").read_text(encoding="utf-8")
    assert {line[1:] for line in ignore.splitlines() if line.startswith("!")} == copied
    assert "RUN pip install --no-cache-dir --require-hashes --requirement training.txt\n" in text
    assert 'ENTRYPOINT ["python", "-m", "infra.sagemaker.container"]' in text


def test_command_says_what_is_missing(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "lenslet", "pipeline", "sagemaker", "status"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, "works in the project's folder only" in done.stderr) == (2, True), done.stderr
    (tmp_path / "infra" / "sagemaker").mkdir(parents=True)
    (tmp_path / "infra" / "sagemaker" / "manage.py").touch()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "make sagemaker" in done.stderr


def test_wrong_service_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lenslet", "pipeline", "vertex"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2 and "sagemaker" in done.stderr

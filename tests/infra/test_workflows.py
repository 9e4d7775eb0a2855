"""The workflows of .github/: what they name exists, nothing of others moves under them, and they may do little."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from lenslet.cli import COMMANDS, main

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
PINNED = re.compile(r"uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+")
PROPOSES = {"contents", "pull-requests", "actions"}
# What each job may write; everything else may only read. A new right needs a row here.
WRITES = {
    ("release.yml", "staging"): {"id-token"},
    ("release.yml", "production"): {"id-token"},
    ("rollback.yml", "rollback"): {"id-token"},
    ("image.yml", "machine"): {"id-token"},
    ("image.yml", "publish"): {"packages", "id-token", "attestations"},
    ("image.yml", "release"): {"contents"},
    ("retrain.yml", "train"): {"id-token"},
    ("retrain.yml", "propose"): PROPOSES,
    ("approved.yml", "fetch"): {"id-token"},
    ("approved.yml", "propose"): PROPOSES,
    ("propose.yml", "propose"): PROPOSES,
}
# Secrets, each as a variable of a step's environment.
SECRETS = {"retrain.yml": {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}}


def complaints(name: str, text: str) -> Iterator[str]:
    """What is wrong with a workflow, a sentence each."""
    workflow = yaml.safe_load(text)
    if workflow.get("permissions") != {"contents": "read"}:
        yield "the workflow as a whole may do more, or less, than read"
    if "group" not in workflow.get("concurrency", {}):
        yield "no concurrency group"
    for secret in set(re.findall(r"secrets\.(\w+)", text)) - SECRETS.get(name, set()):
        yield f"names a secret: {secret}"
    for line in re.findall(r"uses: .*", text):
        if not PINNED.fullmatch(line) and not (ROOT / line.removeprefix("uses: ")).is_file():
            yield f"not pinned by a commit with its version: {line}"
    for job_name, job in workflow["jobs"].items():
        yield from complaints_of_job(name, job_name, job)
    starts = workflow[True]  # so YAML 1.1 reads the key `on`
    for pattern in (starts.get("push") or {}).get("paths", []):
        if not list(ROOT.glob(pattern)):
            yield f"waits for changes of {pattern}, which does not exist"


def complaints_of_job(name: str, job_name: str, job: dict[str, Any]) -> Iterator[str]:
    writes = {right for right, kind in job.get("permissions", {}).items() if kind != "read"}
    if writes != WRITES.get((name, job_name), set()):
        yield f"{job_name} may write {', '.join(sorted(writes)) or 'nothing'}"
    if "uses" not in job and "timeout-minutes" not in job:
        yield f"{job_name} has no time limit"
    if writes - {"id-token"} and "make" in str(job.get("steps")):
        yield f"{job_name} runs the project's code with a token that writes"
    for step in job.get("steps", []):
        is_checkout = step.get("uses", "").startswith("actions/checkout@")
        if is_checkout and step.get("with", {}).get("persist-credentials") is not False:
            yield f"{job_name} leaves its token in the checkout"
        elsewhere = {key: value for key, value in step.items() if key != "env"}
        if "secrets." in str(elsewhere):
            yield f"{job_name} gives a secret to more than a step's environment"
        # A value that GitHub puts into a script is run by it; one in the environment is not.
        if "${{" in step.get("run", ""):
            yield f"{job_name} has an expression in a script"
        yield from missing(step.get("run", ""))


def missing(script: str) -> Iterator[str]:
    """Targets, files and options that a script names and that are not there."""
    for words in re.findall(r"^\s*make ([^\n|;&]+)", script, re.MULTILINE):
        if complaint := complaint_of_make(words):
            yield f"make {words}: {complaint}"
    written = re.findall(r"(?:--output|>) (\S+)", script)
    for file in re.findall(r"""[\s@"]((?:[\w.-]+/)*[\w.-]+\.(?:py|json|yml|yaml))\b""", f" {script}"):
        if file not in written and not any((folder / file).is_file() for folder in (ROOT, FOLDER)):
            yield f"there is no {file}"
    for command, words in re.findall(r"python -m lenslet (\w+)([^\n|;&]*)", script):
        if command not in COMMANDS:
            yield f"there is no lenslet {command}"
            continue
        described = help_of(command, *re.findall(r"^ (\w+)", words))
        unknown = [option for option in re.findall(r"--[a-z-]+", words) if f"{option} " not in described]
        yield from (f"lenslet {command} has no {option}" for option in unknown)


@cache
def complaint_of_make(words: str) -> str:
    dry = subprocess.run(["make", "--dry-run", *words.split()], cwd=ROOT, capture_output=True, text=True)
    return dry.stderr.strip() if dry.returncode else ""


def help_of(command: str, *subcommand: str) -> str:
    printed = io.StringIO()
    with pytest.raises(SystemExit) as stopped, contextlib.redirect_stdout(printed):
        main([command, *subcommand, "--help"])
    assert stopped.value.code == 0
    return " ".join(re.split(r"[\s\]]+", printed.getvalue())) + " "


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_is_sound(path: Path) -> None:
    assert list(complaints(path.name, path.read_text(encoding="utf-8"))) == []


def test_there_is_one_for_each_purpose() -> None:
    assert [path.name for path in WORKFLOWS] == [
        "approved.yml", "check.yml", "image.yml", "propose.yml", "release.yml", "retrain.yml", "rollback.yml",
    ]  # fmt: skip


def test_one_action_is_one_commit_everywhere() -> None:
    pins = {pin for path in WORKFLOWS for pin in PINNED.findall(path.read_text(encoding="utf-8"))}
    assert len({action for action, _ in pins}) == len(pins)


BREAKS = [
    # workflow, what stands there, what is put there instead, the complaint
    ("check.yml", "contents: read", "contents: write", "the workflow as a whole may do more"),
    ("check.yml", "concurrency:", "env:", "no concurrency group"),
    ("check.yml", "de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2", "v6", "not pinned by a commit"),
    ("check.yml", "de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2", "de0fac2e4500 # v6.0.2", "not pinned"),
    ("check.yml", "run: make check", "run: make chekc", "*** No rule to make target 'chekc'"),
    ("check.yml", "run: make test", "run: make test TEST=${{ github.event.ref }}", "an expression in a script"),
    ("check.yml", "persist-credentials: false", "persist-credentials: true", "leaves its token"),
    ("check.yml", "    timeout-minutes: 90\n", "", "test has no time limit"),
    ("image.yml", "make .venv-infra/installed", "make .venv-sam/installed", "make .venv-sam/installed"),
    ("image.yml", "test.py http", "smoke.py http", "there is no smoke.py"),
    ("release.yml", "id-token: write", "packages: write", "staging may write packages"),
    ("release.yml", "lambda_func.py", "function.py", "waits for changes of function.py"),
    ("release.yml", "lenslet/inference/**", "inference/**", "waits for changes of inference/**"),
    ("release.yml", "workflows/check.yml", "workflows/checks.yml", "not pinned by a commit"),
    ("release.yml", "vars.AWS_DEPLOY_ROLE", "secrets.AWS_KEY", "names a secret: AWS_KEY"),
    ("release.yml", "lenslet gate", "lenslet gates", "there is no lenslet gates"),
    ("retrain.yml", "vars.AWS_DATA_ROLE", "secrets.MLFLOW_TRACKING_PASSWORD", "to more than a step's environment"),
    ("image.yml", "attestations: write", "contents: write", "publish may write contents"),
    ("image.yml", "infra/sbom.py", "infra/bom.py", "there is no infra/bom.py"),
    ("image.yml", "bench/image_speed.py", "bench/speed.py", "there is no bench/speed.py"),
    ("rollback.yml", "make rollback YES=1", "make roll-back YES=1", "No rule to make target 'roll-back'"),
    ("retrain.yml", "--alias staging", "--aliased staging", "lenslet register has no --aliased"),
    ("propose.yml", "git add model", "make install\n          git add model", "runs the project's code with a token"),
    ("propose.yml", "gh workflow run check.yml", "gh workflow run test.yml", "there is no test.yml"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "complaint"), BREAKS, ids=[row[2] for row in BREAKS])
def test_broken_workflow_is_found(name: str, old: str, new: str, complaint: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert old in text
    assert complaint in "\n".join(complaints(name, text.replace(old, new, 1)))


# --- what is published


def job(name: str, of: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / of).read_text(encoding="utf-8"))["jobs"][name]
    return found


def test_images_are_published_for_tags_only_and_named_by_digest() -> None:
    publish = job("publish", "image.yml")
    assert publish["if"] == "startsWith(github.ref, 'refs/tags/v')" and publish["needs"] == "image"
    [build] = [step for step in publish["steps"] if step.get("id") == "build"]
    assert build["with"]["push"] is True and build["with"]["no-cache"] is True
    digest = "${{ steps.build.outputs.digest }}"
    attested = [step for step in publish["steps"] if "/attest-" in step.get("uses", "")]
    assert [step["with"]["subject-digest"] for step in attested] == [digest, digest]
    [sign] = [step for step in publish["steps"] if "cosign sign" in step.get("run", "")]
    assert sign["run"] == 'cosign sign --yes "$IMAGE@$DIGEST"' and sign["env"] == {"DIGEST": digest}


def test_jobs_of_every_push_publish_nothing() -> None:
    assert "permissions" not in job("image", "image.yml")
    assert "push: true" not in (FOLDER / "check.yml").read_text(encoding="utf-8")


def test_image_is_timed_on_both_processors_as_on_lambda() -> None:
    """Lambda's arm64 lists no processors, without which the runtime has no fast kernels."""
    image = job("image", "image.yml")
    rows = {row["architecture"]: row["runner"] for row in image["strategy"]["matrix"]["include"]}
    assert rows == {"x86_64": "ubuntu-24.04", "arm64": "ubuntu-24.04-arm"}
    [script] = [step["run"] for step in image["steps"] if "bench/image_speed.py" in step.get("run", "")]
    timed = re.findall(r'"\$\{run\[@\]\}" (.*)lenslet - < bench/image_speed.py', script)
    assert timed == ["", "--tmpfs /sys/devices/system/cpu:ro "]


def test_images_are_built_from_a_cache_of_their_processor() -> None:
    [build] = [
        step["with"]
        for step in job("image", "image.yml")["steps"]
        if "build-push-action" in step.get("uses", "")
    ]
    scope = "scope=${{ matrix.architecture }}"
    assert build["cache-from"] == f"type=gha,{scope}" and build["cache-to"] == f"type=gha,{scope},mode=max"


def test_rollback_waits_for_releases_and_asks_the_same_reviewers() -> None:
    rollback = yaml.safe_load((FOLDER / "rollback.yml").read_text(encoding="utf-8"))
    release = yaml.safe_load((FOLDER / "release.yml").read_text(encoding="utf-8"))
    assert rollback["concurrency"] == release["concurrency"]
    assert rollback["jobs"]["rollback"]["environment"] == "production"
    assert rollback[True] == {"workflow_dispatch": None}  # by hand


def test_bill_of_materials_lists_what_the_locks_pin() -> None:
    done = subprocess.run(
        [sys.executable, "infra/sbom.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(done.stdout) is None
    named = {(each["name"], each.get("version")) for each in json.loads(done.stdout)["components"]}
    locks = [
        (ROOT / path).read_text(encoding="utf-8")
        for path in ("requirements/lambda.txt", "requirements/http.txt")
    ]
    pinned = {
        line.split(" ")[0] for text in locks for line in text.splitlines() if re.match(r"[a-z].*==", line)
    }
    assert pinned == {f"{name}=={version}" for name, version in named if version}
    assert {("tflite-runtime", "2.14.0"), ("model/model.tflite", None)} <= named


def test_updates_of_actions_are_proposed() -> None:
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8"))["updates"]
    assert [each["package-ecosystem"] for each in updates] == ["github-actions"]


def tool(name: str) -> str:
    """Of this environment, or of the PATH."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if not found and os.environ.get("CI") == "true":
        pytest.fail(f"{name} is missing: `make install` brings it")
    if not found:
        pytest.skip(f"{name} is missing: `make install` brings it")
    return found


def lint(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    # actionlint finds shellcheck by the PATH.
    environment = {**os.environ, "PATH": f"{Path(tool(command[0])).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        [tool(command[0]), *command[1:]], cwd=folder, env=environment, capture_output=True, text=True
    )


ACTIONLINT = ("actionlint", "-no-color", "-shellcheck", "shellcheck")
ZIZMOR = ("zizmor", "--offline", "--no-progress", "--min-severity", "medium", ".github")


@pytest.mark.parametrize("command", [ACTIONLINT, ZIZMOR], ids=["actionlint", "zizmor"])
def test_linter_finds_nothing(command: tuple[str, ...]) -> None:
    done = lint(ROOT, *command)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("command", "old", "new", "finding"),
    [
        (ACTIONLINT, "runs-on: ubuntu-24.04", "runs-on: ubuntu-24.05", "ubuntu-24.05"),
        (ACTIONLINT, "run: make test", 'run: rm -r $FOLDER/*', "SC2086"),
        (ZIZMOR, "run: make test", "run: echo ${{ github.head_ref }}", "template-injection"),
    ],
    ids=["runner", "shellcheck", "injection"],
)  # fmt: skip
def test_linter_works(command: tuple[str, ...], old: str, new: str, finding: str, tmp_path: Path) -> None:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    text = (FOLDER / "check.yml").read_text(encoding="utf-8")
    (folder / "check.yml").write_text(text.replace(old, new), encoding="utf-8")
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)  # actionlint looks for a repository
    done = lint(tmp_path, *command)
    assert done.returncode != 0
    assert finding in done.stdout

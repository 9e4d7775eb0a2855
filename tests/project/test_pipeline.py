"""dvc.yaml: what it names exists, and `dvc repro` runs a stage when its code, photos or numbers have changed."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml

from lenslet.config import Params
from tests.support.imports import imports_of, needed_by

PIPELINE = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))
[VARS] = PIPELINE["vars"]
VALUES = {
    "photos": f"--data {VARS['photos']['data']}",
    "photos.data": VARS["photos"]["data"],
}
STAGES = ("train", "convert", "gate")
# Stage → the commands that it runs; each reads the section of params.yaml of its name.
COMMANDS = {"train": ("train",), "convert": ("convert", "evaluate"), "gate": ("gate",)}


def filled(text: str) -> str:
    """A line of dvc.yaml with its vars put in."""
    return re.sub(r"\$\{([\w.]+)\}", lambda match: VALUES[match[1]], text)


def all_outputs() -> list[str]:
    return [out for stage in PIPELINE["stages"].values() for out in stage.get("outs", [])]


def leaves(kind: Any, prefix: str) -> Iterator[str]:
    """Dotted names of all values under a section of params.yaml."""
    for name, hint in get_type_hints(kind).items():
        if is_dataclass(hint):
            yield from leaves(hint, f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}"


@pytest.mark.parametrize("stage", STAGES)
def test_dependencies_are_in_git_or_come_from_an_earlier_stage(stage: str) -> None:
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout
    for dependency in map(filled, PIPELINE["stages"][stage]["deps"]):
        made = any(f"{dependency}/".startswith(f"{out}/") for out in all_outputs())
        assert made or re.search(rf"^{re.escape(dependency)}(/|$)", listed, re.MULTILINE), dependency


@pytest.mark.parametrize("stage", STAGES)
def test_command_and_its_options_exist(stage: str) -> None:
    listed = PIPELINE["stages"][stage]["cmd"]
    lines = [listed] if isinstance(listed, str) else listed
    for command, words in zip(COMMANDS[stage], map(filled, lines), strict=True):
        start = rf"python ({command}\.py|-m lenslet {command}) "
        assert re.match(start, words), words
        sources = [Path("lenslet/commands") / name for name in (f"{command}.py", "options.py", "parser.py")]
        known = "".join(source.read_text(encoding="utf-8") for source in sources)
        for option in re.findall(r"--[\w-]+", words):
            assert f'"{option}"' in known, option


# What changes no output: the table of commands, their options and printing, the record of runs and versions.
NO_DEPENDENCY = (
    "lenslet.cli",
    "lenslet.commands.options",
    "lenslet.commands.output",
    "lenslet.commands.parser",
    "lenslet.commands.report_places",
    "lenslet.registry",
    "lenslet.shipped",
)


@pytest.mark.parametrize("stage", STAGES)
def test_dependencies_are_the_code_that_the_command_imports(stage: str) -> None:
    needed = {
        path
        for command in COMMANDS[stage]
        for module in (f"lenslet.commands.{command}", "lenslet.config")  # the parser, too, reads params.yaml
        for path in needed_by(module, NO_DEPENDENCY)
        if path.name != "__init__.py" or list(imports_of(path))
    }
    listed = [Path(each) for each in PIPELINE["stages"][stage]["deps"] if each.startswith("lenslet/")]
    assert not {path for path in needed if not {path, *path.parents} & set(listed)}
    assert not [each for each in listed if not any(each in (path, *path.parents) for path in needed)]


@pytest.mark.parametrize("stage", STAGES)
def test_every_number_of_its_section_is_watched(stage: str) -> None:
    watched = PIPELINE["stages"][stage]["params"]
    hints = get_type_hints(Params)
    there = {name for command in COMMANDS[stage] for name in leaves(hints[command], command)}
    assert {name for name in there if any(f"{name}.".startswith(f"{key}.") for key in watched)} == there
    for key in watched:
        assert any(f"{name}.".startswith(f"{key}.") for name in there), key


def test_shipped_model_is_no_output() -> None:
    assert not [out for out in all_outputs() if not out.startswith(("out/pipeline", "report/pipeline"))]


def environment(folder: Path) -> dict[str, str]:
    """Without settings, caches, weights or a git identity of the person who runs the tests."""
    names = ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "KERAS_HOME")
    identity = {f"GIT_{role}_{key}": "test" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    folders = {name: str(folder / name.lower()) for name in names}
    # Empty: Python writes __pycache__ into the packages, which are dependencies.
    return {**os.environ, **folders, **identity, "PATH": search, "PYTHONDONTWRITEBYTECODE": ""}


class Project:
    """A copy of this project in a git repository of its own."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.folder = folder / "project"
        self.environment = environment(folder)
        for name in names:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, self.folder / name)
        self.git("init", "--quiet")

    def git(self, *arguments: str) -> str:
        return self.run(["git", *arguments])

    def dvc(self, *arguments: str, code: int = 0) -> str:
        return self.run([sys.executable, "-m", "dvc", *arguments], code)

    def changed_stages(self) -> set[str]:
        """What `dvc status` names, asked within this process: to start DVC takes longer than its answer."""
        from dvc.repo import Repo

        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            patch.chdir(self.folder)  # else stages are named by the path of their file
            with Repo(str(self.folder)) as repo:
                return set(repo.status())

    def run(self, command: list[str], code: int = 0) -> str:
        """What the command prints; fails with it if the command does not end with `code`."""
        finished = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert finished.returncode == code, finished.stdout + finished.stderr
        return finished.stdout + finished.stderr

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "a state")

    def set(self, key: str, value: Any) -> None:
        """Write one number into params.yaml."""
        path = self.folder / "params.yaml"
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        *parents, name = key.split(".")
        section = content
        for parent in parents:
            section = section[parent]
        assert name in section
        section[name] = value
        path.write_text(yaml.safe_dump(content), encoding="utf-8")


def stages_run(printed: str) -> list[str]:
    return re.findall(r"^Running stage '(\w+)'", printed, re.MULTILINE)


def stages_skipped(printed: str) -> list[str]:
    return re.findall(r"^Stage '(\w+)' didn't change, skipping", printed, re.MULTILINE)


def test_stages_form_a_chain_without_a_circle(tmp_path: Path) -> None:
    project = Project(tmp_path, ["dvc.yaml", "params.yaml", ".dvc/config"])
    edges = re.findall(r'"(\w+)" -> "(\w+)"', project.dvc("dag", "--dot"))
    expected = {("train", "convert"), ("convert", "gate")}
    assert set(edges) == expected


QUICK = {
    "train.image_size": 64,
    "train.head.epochs": 5,
    "train.fine_tune.epochs": 0,
    "convert.precisions": ["float32"],
    "convert.explanation_photos": 2,
    "evaluate.corruption_photos": 6,
    # A head of a second on 64 pixels is not fit for release; here the gate must open.
    "gate.min": {"accuracy": 0, "robustness_mean": 0, "robustness_worst": 0},
    "gate.max": {"calibration_error": 1, "megabytes": 100},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project as it stands in the working tree, with quick numbers."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    names = [name for name in listed if Path(name).is_file() and name != "dvc.lock"]
    project = Project(tmp_path_factory.mktemp("pipeline"), names)
    for key, value in QUICK.items():
        project.set(key, value)
    project.commit()
    return project


@pytest.fixture(scope="module")
def first_run(project: Project) -> str:
    """What the first `dvc repro` in a fresh clone prints; its dvc.lock is committed then."""
    printed = project.dvc("repro")
    # Nothing but the lock is new to git, and no file of git (the shipped model, for one) was changed.
    assert project.git("status", "--porcelain") == "?? dvc.lock\n"
    project.commit()
    return printed


@pytest.fixture
def finished(first_run: str, project: Project) -> Iterator[Project]:
    """The project after its first run; what a test changes in git's files is undone."""
    yield project
    project.git("checkout", "--quiet", ".")


@pytest.mark.slow
def test_fresh_clone_runs_all_stages_without_network_or_downloaded_weights(
    first_run: str, project: Project
) -> None:
    assert stages_run(first_run) == list(STAGES)
    assert "all limits are kept" in first_run
    for out in map(filled, all_outputs()):
        assert (project.folder / out).exists()


@pytest.mark.slow
def test_second_run_does_nothing(first_run: str, project: Project) -> None:
    printed = project.dvc("repro")
    assert stages_skipped(printed) == list(STAGES)
    assert not stages_run(printed)
    assert json.loads(project.dvc("status", "--json")) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "value", "stages"),
    [
        ("train.head.dropout", 0.3, {"train"}),
        ("train.fine_tune.epochs", 1, {"train"}),
        ("train.augmentation.zoom", 0.1, {"train"}),
        ("convert.conformal_alpha", 0.1, {"convert"}),
        ("evaluate.corruption_photos", 7, {"convert"}),
        ("gate.max.megabytes", 90, {"gate"}),
        ("tune.trials", 2, set()),
        ("train.backbone.weights", "none", {"train"}),
    ],
)
def test_one_number_changes_its_stage_alone(
    key: str, value: Any, stages: set[str], finished: Project
) -> None:
    finished.set(key, value)
    assert finished.changed_stages() == stages


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "stages"),
    [
        ("lenslet/commands/train.py", {"train"}),
        ("lenslet/training/fine_tuning.py", {"train"}),
        ("lenslet/training/record.py", {"train", "convert"}),
        ("lenslet/conversion/candidates.py", {"convert"}),
        ("lenslet/reporting/plots.py", {"convert"}),
        ("lenslet/registry/tracking.py", set()),
        ("lenslet/serving/answer.py", set()),
        ("lenslet/inference/decode.py", set(STAGES)),
        ("data/sample/train/sea/00.jpg", {"train", "convert"}),
        ("model/model.keras", set()),
        ("README.md", set()),
    ],
)
def test_one_file_changes_the_stages_that_read_it(changed: str, stages: set[str], finished: Project) -> None:
    with (finished.folder / changed).open("ab") as file:
        file.write(b"\n")
    assert finished.changed_stages() == stages


@pytest.mark.slow
def test_remote_brings_a_lost_model_back(finished: Project, tmp_path: Path) -> None:
    model = finished.folder / "out/pipeline/model.keras"
    before = model.read_bytes()
    finished.dvc("remote", "add", "--local", "--default", "store", str(tmp_path / "store"))
    finished.dvc("push")
    shutil.rmtree(finished.folder / ".dvc/cache/files")
    shutil.rmtree(finished.folder / "out")
    finished.dvc("pull")
    assert model.read_bytes() == before
    assert json.loads(finished.dvc("status", "--json")) == {}


@pytest.mark.slow
def test_changed_number_is_run_and_compared_with_the_last_commit(finished: Project) -> None:
    finished.set("evaluate.corruption_photos", 0)
    printed = finished.dvc("repro", code=255)  # no corruptions, so the gate misses two metrics
    assert stages_skipped(printed) == ["train"]
    assert stages_run(printed) == ["convert", "gate"]
    assert "failed to reproduce 'gate'" in printed
    numbers = json.loads(finished.dvc("params", "diff", "--json"))
    assert numbers == {"params.yaml": {"evaluate.corruption_photos": {"old": 6, "new": 0, "diff": -6}}}
    figures = json.loads(finished.dvc("metrics", "diff", "--json"))["report/pipeline/metrics.json"]
    assert "old" in figures["robustness_mean"]
    assert figures["robustness_mean"]["new"] is None
    assert "index.html" in finished.dvc("plots", "diff")
    finished.git("checkout", "--quiet", ".")
    assert stages_run(finished.dvc("repro")) == []  # the figures of before come from the cache
    assert (finished.folder / "report/pipeline/robustness.png").exists()

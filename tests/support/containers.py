"""Images built from a Dockerfile without a Docker engine: a folder for each stage."""

import json
import os
import shutil
import subprocess
import venv
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass
class Image:
    """File system and configuration of an image."""

    root: Path  # stands for /
    folder: Path  # stands for the last WORKDIR
    environment: dict[str, str]
    entrypoint: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    health_check: list[str] = field(default_factory=list)
    user: str = ""

    @property
    def command(self) -> list[str]:
        return self.entrypoint + self.arguments


@dataclass
class Stage:
    """The instructions from one FROM to the next; `base` is another stage's name, or an image from outside."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """(keyword, the rest) of each instruction: comments dropped, continued lines joined."""
    lines = [line for line in dockerfile.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    keywords = [line.partition(" ") for line in "\n".join(lines).replace("\\\n", " ").splitlines()]
    return [(keyword, rest.strip()) for keyword, _, rest in keywords]


def stages(dockerfile: str) -> list[Stage]:
    """The stages in their order; one without a name has its number for a name, as in Docker."""
    found: list[Stage] = []
    for keyword, rest in instructions(dockerfile):
        if keyword == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(name or str(len(found)), base))
        elif found:
            found[-1].steps.append((keyword, rest))
        else:
            assert keyword == "ARG", f"{keyword} stands before the first FROM"
    return found


def copied_names(dockerfile: str) -> set[str]:
    """The sources of all COPY instructions that read the build context."""
    steps = [rest for keyword, rest in instructions(dockerfile) if keyword == "COPY"]
    return {name.strip("/") for rest in steps if not rest.startswith("--from=") for name in rest.split()[:-1]}


def build_context(dockerignore: str) -> list[Path]:
    """The files that .dockerignore, an allow-list, lets through to the engine; relative to the repository."""
    first, *exceptions = [line for line in dockerignore.splitlines() if line and not line.startswith("#")]
    assert first == "*", "the first rule must shut everything out"
    assert all(rule.startswith("!") for rule in exceptions)
    return sorted(path.relative_to(ROOT) for rule in exceptions for path in ROOT.glob(rule[1:]))


def copied(sources: list[str], context: list[Path]) -> dict[Path, Path]:
    """File that COPY reads → where it goes below the target: a folder stands for all that is in it.

    As in Docker, `*` in the last part of a source stands for any characters of a file's name.
    """
    files: dict[Path, Path] = {}
    for source in map(Path, sources):
        if "*" in source.name:
            found = [path for path in context if path.parent == source.parent and path.match(source.name)]
            assert found, f"COPY {source}: no such file is in the build context"
            files |= {path: Path(path.name) for path in found}
            continue
        found = [path for path in context if path == source or source in path.parents]
        assert found, f"COPY {source}: no such file is in the build context"
        files |= {path: path.relative_to(source) if path != source else Path(path.name) for path in found}
    return files


class Builder:
    """Builds the stages of one Dockerfile below `folder`, each once.

    An empty virtual environment, Python and pip, is the base image; all stages share it. USER is the one line that is
    not followed: to change the user, a test would have to run as root.
    """

    def __init__(self, dockerfile: Path, dockerignore: Path, folder: Path) -> None:
        self.folder = folder
        self.stages = stages(dockerfile.read_text(encoding="utf-8"))
        self.context = build_context(dockerignore.read_text(encoding="utf-8"))
        self.built: dict[str, Image] = {}

    def build(self, target: str = "") -> Image:
        """The image of the stage `target`, the last one if none is named."""
        stage = next((each for each in self.stages if each.name == target), self.stages[-1])
        assert not target or stage.name == target, f"there is no stage {target}"
        if stage.name not in self.built:
            self.built[stage.name] = self._follow(stage)
        return self.built[stage.name]

    def _follow(self, stage: Stage) -> Image:
        image = self._start(stage)
        for keyword, rest in stage.steps:
            match keyword:
                case "WORKDIR":
                    image.folder = image.root / rest.strip("/")
                    image.folder.mkdir(parents=True, exist_ok=True)
                case "COPY" if rest.startswith("--from="):
                    source, path, target = rest.removeprefix("--from=").split()
                    shutil.copytree(
                        self.build(source).root / path.strip("/"), image.folder / target, dirs_exist_ok=True
                    )
                case "COPY":
                    *sources, target = rest.split()
                    for file, place in copied(sources, self.context).items():
                        (image.folder / target / place).parent.mkdir(parents=True, exist_ok=True)
                        shutil.copy(ROOT / file, image.folder / target / place)
                case "RUN":
                    run_step(self._inside(rest, image.root), image)
                case "ENV":
                    name, _, value = rest.partition("=")
                    image.environment[name] = value
                case "ENTRYPOINT":
                    image.entrypoint, image.arguments = (
                        json.loads(rest),
                        [],
                    )  # which discards an earlier CMD, as in Docker
                case "CMD":
                    image.arguments = json.loads(rest)
                case "HEALTHCHECK":
                    image.health_check = json.loads(rest.partition("CMD ")[2])
                case "USER":
                    image.user = rest
                case _:
                    assert keyword in ("ARG", "EXPOSE"), f"this test cannot follow {keyword}"
        return image

    def _start(self, stage: Stage) -> Image:
        root = self.folder / stage.name
        if any(each.name == stage.base for each in self.stages):
            base = self.build(stage.base)
            shutil.copytree(base.root, root)
            return Image(
                root, root / base.folder.relative_to(base.root), dict(base.environment), base.entrypoint,
                base.arguments, base.health_check, base.user,
            )  # fmt: skip
        python = self.folder / "python"
        if not python.exists():
            venv.create(python, with_pip=True)
        root.mkdir()
        return Image(root, root, {"PATH": f"{python / 'bin'}:/usr/bin:/bin"})

    def _inside(self, command: str, root: Path) -> str:
        """The command with the WORKDIRs of all stages below `root`."""
        for place in {rest for each in self.stages for keyword, rest in each.steps if keyword == "WORKDIR"}:
            command = command.replace(place, str(root / place.strip("/")))
        return command


def run_step(command: str, image: Image) -> None:
    """Execute one RUN instruction, with the environment of the tests for pip, but without their Python packages."""
    around = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    step = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=image.folder,
        env={**around, **image.environment},
        capture_output=True,
        text=True,
    )
    assert step.returncode == 0, f"RUN {command}\n{step.stdout}{step.stderr}"


def files_in(folder: Path) -> dict[str, tuple[int, int]]:
    """Name → (size, time of the last change) of every file, to test that a process changes none."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6

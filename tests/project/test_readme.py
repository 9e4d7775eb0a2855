"""What the README, CONTRIBUTING and `--help` say exists, exists."""

import re
import subprocess
from pathlib import Path

import pytest

README = Path("README.md").read_text(encoding="utf-8")


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in listed.split("\0") if name]


def file_map() -> dict[str, str]:
    """First column's name → second column, of the table under "The files"."""
    table = README.split("## The files")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \|$", table, re.MULTILINE)
    return {name: text for names, text in rows for name in re.findall(r"`([^`]+)`", names)}


def test_file_map_names_every_file_and_folder_of_the_root() -> None:
    roots = {path.parts[0] + ("/" if len(path.parts) > 1 else "") for path in tracked_files()}
    assert set(file_map()) == roots


@pytest.mark.parametrize("package", ["inference/", "training/", "evaluation/", "model/"])
def test_file_map_names_every_module(package: str) -> None:
    named = set(re.findall(r"`([\w.]+\.(?:py|html|json|tflite|keras|md))`", file_map()[package]))
    there = {path.name for path in tracked_files() if f"{path.parts[0]}/" == package} - {"__init__.py"}
    # Some rows mention a file of the model folder to say what a module is about.
    assert there <= named
    assert named - there <= {"model.json", "training.json"}


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        ".github/CONTRIBUTING.md",
        ".github/SECURITY.md",
        "docs/security.md",
        "docs/settings.md",
        "data/README.md",
        "docs/deploy.md",
        "Makefile",
    ],
)
def test_named_files_and_targets_exist(document: str) -> None:
    text = Path(document).read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", Path("Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)|^make ([a-z]+)", text, re.MULTILINE)) <= {
        pair for target in targets for pair in ((target, ""), ("", target))
    }
    for command in re.findall(r"python ([\w/]+\.py)", text):
        assert Path(command).exists(), command
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert Path(module.replace(".", "/") + ".py").exists() or module in ("venv", "pytest"), module
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (Path(document).parent / link).exists(), link


def test_options_in_the_readme_are_in_the_commands() -> None:
    for command, options in re.findall(r"python (\w+\.py)([^\n`#]*)", README):
        source = Path(command).read_text(encoding="utf-8")
        for option in re.findall(r"--[a-z-]+", options):
            assert f'"{option}"' in source, f"{command} {option}"


def test_same_versions_in_the_image_and_outside() -> None:
    """requirements-serve.txt on Python 3.11 is what requirements-lambda.txt pins."""
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", Path("requirements-lambda.txt").read_text(), re.MULTILINE))
    serve = re.findall(r"^([\w.-]+)==([^;\s]+)(.*)", Path("requirements-serve.txt").read_text(), re.MULTILINE)
    shared = [(name, version) for name, version, marker in serve if name in pinned and "< " not in marker]
    shared = [(name, version) for name, version in shared if (name, version) != ("numpy", "2.2.6")]
    assert {"tflite-runtime", "numpy", "pillow", "boto3", "certifi"} <= {name for name, _ in shared}
    for name, version in shared:
        assert pinned[name] == version, name

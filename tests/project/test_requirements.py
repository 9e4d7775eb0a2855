"""The pinned lists are what pyproject.toml asks for, and hold the same versions wherever they share a package."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.containers import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
GROUPS = PROJECT["dependency-groups"]
# List → the extras or the dependency group that it resolves.
ASKED = {
    "requirements.txt": ["dev"],
    "requirements/lambda.txt": ["lambda"],
    "requirements/http.txt": ["http"],
    "requirements/training.txt": ["train"],
    "requirements/page.txt": ["page"],
    "requirements/serve.txt": ["serve", "build"],
    "requirements/infra.txt": GROUPS["infra"],
    "requirements/checkov.txt": GROUPS["checkov"],
    "requirements/sagemaker.txt": GROUPS["sagemaker"],
    "requirements/clients.txt": GROUPS["clients"],
    "requirements/label-studio.txt": GROUPS["label-studio"],
    "requirements/step-functions.txt": ["function", *GROUPS["step-functions"]],
    "requirements/ray.txt": ["ray"],
    "requirements/bench.txt": GROUPS["bench"],
}
IMAGES = ["lambda", "http", "page", "training"]
PYTHONS = {path: ["3.11"] for path in ASKED}
PYTHONS |= {
    path: ["3.10", "3.11", "3.12", "3.13"] for path in ("requirements/page.txt", "requirements/serve.txt")
}


def requirements_of(names: list[str]) -> list[Requirement]:
    """Requirements of extras, through the extras that these name, or the requirements that are given themselves."""
    found: list[Requirement] = []
    for name in names:
        if name in EXTRAS:
            found += requirements_of(EXTRAS[name])
        elif name.startswith("lenslet["):
            found += requirements_of(name.removeprefix("lenslet[").removesuffix("]").split(","))
        else:
            found.append(Requirement(name))
    return found


def on(python: str, requirements: list[Requirement]) -> dict[str, str]:
    """Name → version specifier, of those that are meant for this Python under Linux on x86-64."""
    place = {
        "python_version": python, "python_full_version": f"{python}.7", "sys_platform": "linux",
        "platform_machine": "x86_64",
    }  # fmt: skip
    return {
        canonicalize_name(each.name): str(each.specifier)
        for each in requirements
        if each.marker is None or each.marker.evaluate(place)
    }


def listed(path: str) -> list[Requirement]:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    return [
        Requirement(line.removesuffix("\\")) for line in lines if re.match(r"[\w.-]+(\[[\w,]+\])?==", line)
    ]


def direct_names(path: str) -> set[str]:
    """Packages that the list says pyproject.toml itself asks for."""
    text = (ROOT / path).read_text(encoding="utf-8")
    return {
        canonicalize_name(re.split(r"[=\[]", entry)[0])
        for entry in re.split(r"\n(?=[a-zA-Z])", text)
        if "lenslet (pyproject.toml" in entry
    }


def test_every_list_is_compared() -> None:
    lists = {f"requirements/{path.name}" for path in (ROOT / "requirements").glob("*.txt")}
    assert lists | {"requirements.txt"} == ASKED.keys()
    assert {path.name for path in ROOT.glob("requirements*")} == {"requirements", "requirements.txt"}


@pytest.mark.parametrize("path", ASKED)
def test_list_pins_what_the_project_asks_for(path: str) -> None:
    for python in PYTHONS[path]:
        asked = on(python, requirements_of(ASKED[path]))
        pinned = on(python, listed(path))
        assert {name: pinned.get(name) for name in asked} == asked, f"run `make lock` (Python {python})"


@pytest.mark.parametrize("path", ASKED)
def test_list_holds_nothing_that_the_project_no_longer_asks_for(path: str) -> None:
    asked = {canonicalize_name(each.name) for each in requirements_of(ASKED[path])}
    assert direct_names(path) - asked == set(), "run `make lock`"
    assert direct_names(path) != set()


def test_project_pins_one_version_a_package_and_python() -> None:
    for extra in EXTRAS:
        for requirement in requirements_of([extra]):
            assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), requirement
    assert on("3.11", requirements_of(["function"]))["numpy"] == "==1.26.4"
    assert on("3.11", requirements_of(["function"]))["tflite-runtime"] == "==2.14.0"


@pytest.mark.parametrize("image", IMAGES)
def test_images_hold_the_versions_that_are_tested(image: str) -> None:
    """Of what the project asks for; what that brings along may differ in its last digits."""
    full = on("3.11", listed("requirements.txt"))
    direct = direct_names(f"requirements/{image}.txt")
    pinned = on("3.11", listed(f"requirements/{image}.txt"))
    assert {name: full[name] for name in direct & pinned.keys()} == {
        name: pinned[name] for name in direct & pinned.keys()
    }


@pytest.mark.parametrize("image", IMAGES)
def test_images_install_wheels_by_their_hashes(image: str) -> None:
    text = (ROOT / f"requirements/{image}.txt").read_text(encoding="utf-8")
    assert "\n--only-binary :all:\n" in text
    for entry in re.findall(r"^[a-z].*(?:\n    .*)*", text, re.MULTILINE):
        assert "--hash=sha256:" in entry, entry


@pytest.mark.slow
def test_make_lock_changes_nothing(tmp_path: Path) -> None:
    """Needs PyPI."""
    command = [sys.executable, "requirements/lock.py", "--into", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    for path in ASKED:
        assert (tmp_path / path).read_text() == (ROOT / path).read_text(), f"run `make lock`: {path}"

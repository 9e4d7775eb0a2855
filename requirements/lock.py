"""Resolve the extras and dependency groups of pyproject.toml into pinned lists: `requirements.txt` and `requirements/`.

    make lock
    make lock OPTIONS="--upgrade"

What a list pins already stays, unless pyproject.toml says otherwise; `--upgrade` (uv's option) moves what
pyproject.toml leaves open. Needs PyPI. --into writes the lists to another folder, for a comparison.
"""

import argparse
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
HASHES = ("--generate-hashes", "--only-binary", ":all:", "--emit-build-options")
IMAGE = (*HASHES, "--python-platform", "linux")
AT_ONCE = 4  # lists; each spends most of its time waiting for PyPI


@dataclass(frozen=True)
class Lock:
    """One list: what it is for, what is resolved, and for which versions of Python, first and last."""

    purpose: str
    source: tuple[str, ...]
    first: str = "3.11"
    last: str = "3.11"
    options: tuple[str, ...] = ("--universal",)


# A list that stands alone may be a constraint (-c) on others.
LOCKS = {
    "requirements.txt": Lock(
        "The full environment, .venv: training, evaluation, page, releases, tests.", ("--extra", "dev")
    ),
    "requirements/lambda.txt": Lock("The function's image.", ("--extra", "lambda"), options=IMAGE),
    "requirements/http.txt": Lock(
        "The server's image, beside lambda.txt.",
        ("--extra", "http"),
        options=(*IMAGE, "-c", "requirements/lambda.txt"),
    ),
    "requirements/training.txt": Lock(
        "The training image, infra/sagemaker/Dockerfile.",
        ("--extra", "train"),
        options=(*IMAGE, "-c", "requirements.txt"),
    ),
    "requirements/page.txt": Lock(
        "The page: its image and .venv-page.", ("--extra", "page"), "3.10", "3.13", (*HASHES, "--universal")
    ),
    "requirements/serve.txt": Lock(
        "Serving and classifying outside the image, .venv-serve.",
        ("--extra", "serve", "--extra", "build"),
        "3.10",
        "3.13",
    ),
    "requirements/infra.txt": Lock("SAM's command line, .venv-infra.", ("--group", "infra")),
    "requirements/checkov.txt": Lock("Checkov, .venv-checkov.", ("--group", "checkov")),
    "requirements/sagemaker.txt": Lock(
        "The SDK of the SageMaker pipeline, .venv-sagemaker.", ("--group", "sagemaker")
    ),
    "requirements/clients.txt": Lock("The generator of clients, .venv-clients.", ("--group", "clients")),
    "requirements/label-studio.txt": Lock("Label Studio, .venv-label-studio.", ("--group", "label-studio")),
    "requirements/step-functions.txt": Lock(
        "Interpreter and linter of the state machine, .venv-step-functions.",
        ("--extra", "function", "--group", "step-functions"),
    ),
    "requirements/ray.txt": Lock("Bulk prediction on a Ray cluster, .venv-ray.", ("--extra", "ray")),
    "requirements/bench.txt": Lock(
        "The peers of `make bench`, beside requirements.txt.",
        ("--group", "bench"),
        options=("--universal", "-c", "requirements.txt"),
    ),
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--into", type=Path, default=ROOT, help="folder for the lists (the project)")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that are allowed")
    arguments = parser.parse_args(argv)
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "requirements").mkdir()
        for path in LOCKS:
            if (ROOT / path).exists():
                shutil.copy(ROOT / path, folder / path)
        upgrade = ["--upgrade"] if arguments.upgrade else []
        for paths in waves():
            with ThreadPoolExecutor(AT_ONCE) as threads:
                texts = list(threads.map(lambda path: resolve_apart(folder, path, upgrade), paths))
            for path, text in zip(paths, texts, strict=True):
                (folder / path).write_text(text, encoding="utf-8")
        for path in LOCKS:
            (arguments.into / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(folder / path, arguments.into / path)
    return 0


def waves() -> list[list[str]]:
    """Lists that can be resolved at once, after those of the waves before, which constrain some of them."""
    first = [path for path, lock in LOCKS.items() if "-c" not in lock.options]
    return [first, [path for path in LOCKS if path not in first]]


def resolve_apart(folder: Path, path: str, options: list[str]) -> str:
    """`resolve` in a copy of the folder: uv reads settings of this list from its pyproject.toml."""
    with TemporaryDirectory() as name:
        copy = shutil.copytree(folder, Path(name) / "project")
        return resolve(copy, path, LOCKS[path], options)


def resolve(folder: Path, path: str, lock: Lock, options: list[str]) -> str:
    """The text of one list. Raises SystemExit with uv's words where nothing fits."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    after = f"3.{int(lock.last.removeprefix('3.')) + 1}"
    always = [f"sys_platform == '{system}' and python_version < '{after}'" for system in ("darwin", "linux")]
    (folder / "pyproject.toml").write_text(
        f"{project}\n[tool.uv]\nenvironments = {always}\n", encoding="utf-8"
    )
    command: list[str | Path] = [
        Path(sys.executable).with_name("uv"),
        "pip",
        "compile",
        "--quiet",
        "--no-header",
    ]
    command += [
        "--no-emit-package",
        "pip",
        "--python-version",
        lock.first,
        *lock.source,
        *lock.options,
        *options,
    ]
    command += ["--output-file", path] + ([] if lock.source[0] == "--group" else ["pyproject.toml"])
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(f"make lock: {path}: {run.stderr.strip()}")
    header = f"# {lock.purpose} Python {python_range(lock)}. Made by `make lock` from pyproject.toml.\n"
    return header + without_conditions_that_hold(Path(folder, path).read_text(encoding="utf-8"), lock, after)


def python_range(lock: Lock) -> str:
    return lock.first if lock.first == lock.last else f"{lock.first} to {lock.last}"


def without_conditions_that_hold(text: str, lock: Lock, after: str) -> str:
    """Markers less what is true wherever the list is used: Linux or macOS, and a Python from first to last."""
    systems = "(sys_platform == 'darwin' or sys_platform == 'linux')"
    always = [f"python_full_version < '{after}'", systems]
    always += [f"python_full_version == '{lock.first}.*'"] if lock.first == lock.last else []
    for condition in always:
        text = text.replace(f"{condition} and ", "").replace(f" and {condition}", "")
    whole = "|".join(map(re.escape, (*always, systems[1:-1])))
    return re.sub(rf" ; ({whole})(?=( \\)?$)", "", text, flags=re.MULTILINE)


if __name__ == "__main__":
    sys.exit(main())

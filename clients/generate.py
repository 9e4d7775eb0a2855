"""Generate the clients of the HTTP API for Python and TypeScript from openapi.yaml, and pack them.

    make clients
    .venv/bin/python clients/generate.py --out dist/clients

Writes lenslet_client-VERSION-py3-none-any.whl (openapi-python-client) and lenslet-client-VERSION.tgz
(openapi-typescript and openapi-fetch). Needs .venv-clients, which `make clients` installs, npm, and a network the first
time. docs/api.md shows how to use them.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
TYPESCRIPT = ROOT / "clients" / "typescript"
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
# What openapi-python-client says to generators that do not know them; a photo's bytes are sent under this very type.
PYTHON_CONFIG = {"content_type_overrides": {"image/*": "application/octet-stream"}}
LEFT_OUT = ("head", "options")  # of monitors and browsers
CHOICES = ("oneOf", "anyOf")

Node = dict[str, Any]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="clients/generate.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "clients", help="folder (dist/clients)")
    out = parser.parse_args(argv).out.resolve()
    npm = shutil.which("npm")
    if not PYTHON.exists() or not npm:
        missing = "npm" if PYTHON.exists() else ".venv-clients (make clients installs it)"
        print(f"the clients cannot be generated: {missing} is not installed", file=sys.stderr)
        return 2
    out.mkdir(parents=True, exist_ok=True)
    contract = for_generators(yaml.safe_load((ROOT / "openapi.yaml").read_text(encoding="utf-8")))
    try:
        with TemporaryDirectory() as name:
            make_python(contract, Path(name), out)
            make_typescript(contract, Path(name), out, npm)
    except subprocess.CalledProcessError as error:
        print(f"the clients were not generated: {error.cmd[0]} has failed", file=sys.stderr)
        return 1
    print("\n".join(f"written: {each}" for each in sorted(out.iterdir())))
    return 0


def for_generators(contract: Node) -> Node:
    """The contract without what makes generators give up on a type, and without operations that no program calls.

    "Exactly one of these fields" is a choice between objects to them, each of any type; the bytes of a photo, which
    have no schema in OpenAPI 3.1, are a file.
    """
    paths = {
        path: {method: each for method, each in methods.items() if method not in LEFT_OUT}
        for path, methods in contract["paths"].items()
    }
    photo = paths["/predict"]["post"]["requestBody"]["content"]["image/*"]
    photo["schema"] = {"type": "string", "format": "binary"}
    found: Node = _without_required_choices({**contract, "paths": paths})
    return found


def _without_required_choices(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_required_choices(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _without_required_choices(value)
        for key, value in node.items()
        if not (key in CHOICES and all(each.keys() == {"required"} for each in value))
    }


def make_python(contract: Node, work: Path, out: Path) -> None:
    """Raises: CalledProcessError."""
    source = work / "python"
    document, config = work / "openapi.json", work / "config.json"
    document.write_text(json.dumps(contract), encoding="utf-8")
    config.write_text(json.dumps(PYTHON_CONFIG), encoding="utf-8")
    generator = PYTHON.with_name("openapi-python-client")
    _run(generator, "generate", "--path", document, "--config", config, "--output-path", source,
         "--meta", "setup", "--fail-on-warning")  # fmt: skip
    _run(PYTHON, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps",
         "--no-build-isolation", "--wheel-dir", out, source)  # fmt: skip


def make_typescript(contract: Node, work: Path, out: Path, npm: str) -> None:
    """Raises: CalledProcessError."""
    source = work / "typescript"
    shutil.copytree(TYPESCRIPT, source, ignore=shutil.ignore_patterns("node_modules"))
    _run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--silent", at=source)
    _run(
        npm,
        "exec",
        "--offline",
        "--",
        "openapi-typescript",
        work / "openapi.json",
        "--output",
        "schema.ts",
        at=source,
    )
    _run(npm, "exec", "--offline", "--", "tsc", at=source)
    _run(npm, "version", "--silent", "--allow-same-version", contract["info"]["version"], at=source)
    _run(npm, "pack", "--silent", "--pack-destination", out, at=source)


def _run(*command: str | Path, at: Path = ROOT) -> None:
    """What it prints goes to standard error, which has room for it. Raises: CalledProcessError."""
    path = f"{PYTHON.parent}{os.pathsep}{os.environ.get('PATH', '')}"  # openapi-python-client calls ruff
    subprocess.run(
        list(map(str, command)), cwd=at, check=True, stdout=sys.stderr, env={**os.environ, "PATH": path}
    )


if __name__ == "__main__":
    sys.exit(main())

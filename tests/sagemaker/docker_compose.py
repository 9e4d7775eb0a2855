"""A stand-in for `docker compose` in SageMaker's local mode: the steps really run, in a mount namespace of their own.

Understands what the SDK asks for: `docker compose version`, `docker compose -f FILE up …` and `docker images -q NAME`.
Each volume is bound to its place below /opt, where nothing else is seen; the image is this repository and its
environment. Needs root on Linux. Variables: IMAGE_ROOT (the repository), IMAGE_PYTHON. (A file of the name docker.py
would hide Docker's package from the SDK.)
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import yaml


def main() -> int:
    words = sys.argv[1:]
    if words[:2] == ["compose", "version"]:
        print("Docker Compose version v2.0.0")
        return 0
    if words[:1] == ["images"]:
        print("0123456789ab")
        return 0
    content = yaml.safe_load(Path(words[words.index("-f") + 1]).read_text(encoding="utf-8"))
    [service] = content["services"].values()
    return run(service)


def run(service: dict[str, object]) -> int:
    lines = ["mount -t tmpfs none /opt", "mkdir -p /opt/ml"]
    for volume in service["volumes"]:  # type: ignore[attr-defined]
        source, _, place = volume.partition(":")
        place = place.removesuffix(":z")
        Path(source).mkdir(parents=True, exist_ok=True)  # as Docker does
        lines += [
            f"mkdir -p {shlex.quote(place)}",
            f"mount --bind {shlex.quote(source)} {shlex.quote(place)}",
        ]
    python = os.environ["IMAGE_PYTHON"]
    entrypoint = service.get("entrypoint") or [
        "python",
        "-m",
        "infra.sagemaker.container",
        service["command"],
    ]
    command = [python if word == "python" else word for word in entrypoint]  # type: ignore[attr-defined]
    lines += [f"cd {shlex.quote(os.environ['IMAGE_ROOT'])}", f"exec {shlex.join(map(str, command))}"]
    given = dict(pair.split("=", 1) for pair in service["environment"])  # type: ignore[attr-defined]
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "AWS_ENDPOINT_URL")}
    kept["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"]  # SageMaker's name for it
    environment = {**kept, **given, "MLFLOW_TRACKING_URI": "off", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(["unshare", "-m", "sh", "-ec", "\n".join(lines)], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())

"""Define, start and follow the training pipeline on Amazon SageMaker.

    lenslet pipeline sagemaker define --role ARN --image URI
    lenslet pipeline sagemaker start --set DataUri=s3://bucket/snapshots/…/photos
    lenslet pipeline sagemaker status

The pipeline runs the stages of dvc.yaml as SageMaker jobs and registers a model that passed the gate, for approval. It
belongs to the project's folder (infra/sagemaker/) and has an environment of its own: make sagemaker.
"""

import os
import subprocess
import sys
from pathlib import Path

from lenslet.commands.options import add_options
from lenslet.commands.parser import CommandParser, parser_for
from lenslet.inference.errors import InputError

ENVIRONMENT = Path(".venv-sagemaker")
MODULE = "infra.sagemaker.manage"  # reads the same words, with the SDK


def main(argv: list[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    make_parser().parse_args(words)
    if not Path("infra", "sagemaker", "manage.py").is_file():
        raise InputError("lenslet pipeline works in the project's folder only: git clone it, and cd there")
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        raise InputError(f"{ENVIRONMENT} is missing: make sagemaker")
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    return subprocess.run([python, "-m", MODULE, *words], env=environment).returncode


def make_parser() -> CommandParser:
    parser = parser_for("pipeline", __doc__)
    services = parser.add_subparsers(dest="service", required=True, metavar="sagemaker")
    sagemaker = services.add_parser("sagemaker", help="Amazon SageMaker Pipelines")
    steps = sagemaker.add_subparsers(dest="step", required=True, metavar="define | start | status")
    defining = steps.add_parser("define", help="create the pipeline, or update it")
    add = defining.add_argument
    add("--role", required=True, metavar="ARN", help="role that its jobs have")
    add("--image", required=True, metavar="URI", help="training image in ECR (infra/sagemaker/Dockerfile)")
    add("--bucket", metavar="NAME", help="for what the steps write (the account's SageMaker bucket)")
    add("--instance-type", default="ml.m5.xlarge", metavar="NAME", help="unless a run says so (%(default)s)")
    add("--spot", action="store_true", help="train on spot instances, and continue after an interruption")
    add("--json", action="store_true", help="print the definition, and change nothing")
    starting = steps.add_parser("start", help="run it")
    starting.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter; can be repeated"
    )
    following = steps.add_parser("status", help="print a run's steps; exit code 1 if it failed")
    following.add_argument("--execution", metavar="ARN", help="the run (the last one)")
    add_options(following, "--json")
    return parser

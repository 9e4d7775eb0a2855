"""Define, start and follow the pipeline on SageMaker: what `lenslet pipeline sagemaker` runs in .venv-sagemaker."""

import argparse
import json
import sys
from contextlib import redirect_stdout
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.sagemaker.parameters import DEFAULTS, NAME
from lenslet.commands.pipeline import make_parser


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    try:
        return STEPS[arguments.step](arguments)
    except (BotoCoreError, ClientError, ValueError) as error:
        print(f"lenslet pipeline: {error}", file=sys.stderr)
        return 2


def define(arguments: argparse.Namespace) -> int:
    # The SDK logs what it imports; standard output is for --json. Only now, because it takes seconds.
    with redirect_stdout(sys.stderr):
        from infra.sagemaker import definition, sdk

    session = sdk.PipelineSession(boto_session=boto3.Session(), default_bucket=arguments.bucket)
    pipeline = definition.pipeline(
        session, arguments.role, arguments.image, uses_spot=arguments.spot, instance_type=arguments.instance_type
    )  # fmt: skip
    if arguments.json:
        print(json.dumps(json.loads(pipeline.definition()), indent=2))
        return 0
    print(pipeline.upsert(role_arn=arguments.role)["PipelineArn"])
    return 0


def start(arguments: argparse.Namespace) -> int:
    """Raises: ValueError for a parameter that the pipeline does not have, which AWS says minutes later."""
    pairs = [text.partition("=") for text in arguments.set]
    wrong = [name for name, equals, _ in pairs if not equals or name not in DEFAULTS]
    if wrong:
        raise ValueError(f"--set takes NAME=VALUE of {', '.join(DEFAULTS)}, not {wrong[0]}")
    if "DataUri" not in [name for name, _, _ in pairs]:
        raise ValueError("--set DataUri=s3://… is needed: python -m infra.snapshot prints one")
    answer = client().start_pipeline_execution(
        PipelineName=NAME,
        PipelineParameters=[{"Name": name, "Value": value} for name, _, value in pairs],
    )
    print(answer["PipelineExecutionArn"])
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Exit code 1 if it failed."""
    sagemaker = client()
    arn = arguments.execution
    if not arn:
        found = sagemaker.list_pipeline_executions(PipelineName=NAME)["PipelineExecutionSummaries"]
        if not found:
            raise ValueError(f"{NAME} was never started")
        arn = found[0]["PipelineExecutionArn"]
    about = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    steps = steps_of(sagemaker, arn)
    if arguments.json:
        facts = {"execution": arn, "status": about["PipelineExecutionStatus"], "steps": steps}
        print(json.dumps(facts, indent=2, default=str))
    else:
        print(f"{about['PipelineExecutionStatus']:<12}{arn}")
        for step in steps:
            print(f"{step['StepStatus']:<12}{step['StepName']:<10}{step.get('FailureReason', '')}")
    return int(about["PipelineExecutionStatus"] == "Failed")


def steps_of(sagemaker: Any, arn: str) -> list[Any]:
    """In the order of their start. Empty where the service lists none."""
    try:
        pages = sagemaker.get_paginator("list_pipeline_execution_steps").paginate(
            PipelineExecutionArn=arn, SortOrder="Ascending"
        )
        return [step for page in pages for step in page["PipelineExecutionSteps"]]
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:  # moto has no steps
            return []
        raise


def client() -> Any:
    return boto3.client("sagemaker")


STEPS = {"define": define, "start": start, "status": status}

if __name__ == "__main__":
    sys.exit(main())

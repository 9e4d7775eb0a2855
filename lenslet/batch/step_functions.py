"""Batches on AWS: start the state machine of infra/batch.yaml, and follow one that runs."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lenslet.batch.progress import duration
from lenslet.inference.errors import InputError
from lenslet.inference.object_keys import S3_URL

POLL_S = 10.0
ENDED = ("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")


class AwsError(InputError):
    """AWS refuses, or there is nothing to ask; the message is one sentence with the remedy."""


@dataclass(frozen=True)
class Ended:
    """An execution that has ended."""

    execution: str  # its ARN
    status: str  # of ENDED
    output: Mapping[str, Any]  # of `lenslet.serving.label_batch.write_manifest`; empty unless it succeeded
    reason: str  # why it did not succeed


def places_on_aws(places: list[str], out: str | None) -> tuple[str, str, str]:
    """Source, and bucket and prefix of the parts. Raises: AwsError unless both are in S3."""
    there = S3_URL.fullmatch(out or "")
    if len(places) != 1 or not S3_URL.fullmatch(places[0]) or not there or not there[2].strip("/"):
        raise AwsError("--aws takes one s3://bucket/prefix of photos, and --out s3://bucket/prefix of parts")
    return places[0], there[1], there[2].strip("/")


def start(
    stage: str, source: str, bucket: str, prefix: str, client: Callable[[str], Any]
) -> tuple[str, bool]:
    """The ARN of the execution that classifies `source` into the bucket, and whether it ran already.

    `client`: from the name of a service to its client. Raises: AwsError.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    given = {"source": source, "bucket": bucket, "prefix": prefix}
    try:
        machine = _machine(stage, client("cloudformation"))
        states = client("stepfunctions")
        running = states.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]
        for each in running:
            found = states.describe_execution(executionArn=each["executionArn"])
            if json.loads(found["input"]) == given:
                return str(each["executionArn"]), True
        begun = states.start_execution(stateMachineArn=machine, input=json.dumps(given))
    except (ClientError, BotoCoreError) as error:
        raise AwsError(f"AWS refuses: {' '.join(str(error).split())}") from error
    return str(begun["executionArn"]), False


def follow(execution: str, states: Any, say: Callable[[str], None], poll_s: float = POLL_S) -> Ended:
    """Say how far the execution is, until it ends. Raises: AwsError."""
    from botocore.exceptions import BotoCoreError, ClientError

    began_s, before = time.monotonic(), None
    try:
        while True:
            found = states.describe_execution(executionArn=execution)
            if found["status"] in ENDED:
                output = json.loads(found.get("output") or "{}")
                reason = ": ".join(filter(None, (found.get("error"), found.get("cause"))))
                return Ended(execution, found["status"], output, reason)
            counts = _counts(execution, states)
            before = counts["succeeded"] if before is None else before
            say(_progress(counts, counts["succeeded"] - before, time.monotonic() - began_s))
            time.sleep(poll_s)
    except (ClientError, BotoCoreError) as error:
        raise AwsError(f"AWS refuses: {' '.join(str(error).split())}") from error


def _machine(stage: str, cloudformation: Any) -> str:
    from botocore.exceptions import ClientError

    name = f"lenslet-{stage}-batch"
    try:
        [stack] = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            raise AwsError(
                f"there is no stack {name} in this region: deploy infra/batch.yaml (docs/scale.md)"
            ) from error
        raise
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", ())}
    if "StateMachineArn" not in outputs:
        raise AwsError(f"the stack {name} has no output StateMachineArn: see its events in CloudFormation")
    return str(outputs["StateMachineArn"])


def _counts(execution: str, states: Any) -> Mapping[str, int]:
    """Parts of the map that runs; none before the plan is made."""
    for each in states.list_map_runs(executionArn=execution)["mapRuns"]:
        found: Mapping[str, int] = states.describe_map_run(mapRunArn=each["mapRunArn"])["itemCounts"]
        return found
    return {"total": 0, "succeeded": 0, "failed": 0}


def _progress(counts: Mapping[str, int], since: int, seconds: float) -> str:
    if not counts["total"]:
        return "planning"
    left = counts["total"] - counts["succeeded"] - counts["failed"]
    rest = f", {duration(left * seconds / since)} left" if since else ""
    return f"{counts['succeeded']:,} of {counts['total']:,} parts{rest}, {counts['failed']:,} failed"

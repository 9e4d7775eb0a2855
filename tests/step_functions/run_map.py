"""Run the state machine of infra/batch.yaml in moto's interpreter, with the real handler as its function.

    .venv-step-functions/bin/python tests/step_functions/run_map.py DEFINITION.json CASE

In an environment of its own: moto's interpreter and DVC need different versions of antlr4. Prints JSON: status and
output of the execution, and the objects that were written.
"""

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import boto3
from moto import mock_aws
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.core.config import default_user_config

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
ALIAS = "arn:aws:lambda:us-east-1:123456789012:function:lenslet-staging-batch:live"
ROLE = "arn:aws:iam::123456789012:role/states"

calls: Counter[str] = Counter()


def invoke(
    self: Any, function_name: str, qualifier: Any, body: Any, headers: Any, response_headers: Any
) -> bytes:
    """In place of a container: what Lambda answers, and how it answers an exception."""
    import lambda_func

    event = json.loads(body)
    calls[str(event.get("part", event["task"]))] += 1
    try:
        SCENARIOS[case](event)
        return json.dumps(lambda_func.label_batch(event, None)).encode()
    except Exception as error:
        response_headers["x-amz-function-error"] = "Unhandled"
        return json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)}).encode()


def nothing(event: Any) -> None:
    pass


def storage_is_away_once(event: Any) -> None:
    from lenslet.serving.label_batch import StorageAway

    if event.get("part") == "1" and calls["1"] == 1:
        raise StorageAway("SlowDown")


def part_is_refused(event: Any) -> None:
    from lenslet.serving.label_batch import TaskRefused

    if event.get("part") == "1":
        raise TaskRefused("another model")


SCENARIOS = {"plain": nothing, "away": storage_is_away_once, "refused": part_is_refused, "again": nothing}


def main() -> None:
    definition = Path(sys.argv[1]).read_text()
    default_user_config["stepfunctions"] = {"execute_state_machine": True}  # type: ignore[typeddict-unknown-key]
    LambdaSimpleBackend.invoke = invoke  # type: ignore[method-assign,assignment]
    default_user_config["lambda"] = {"use_docker": False}
    from lenslet.serving import label_batch

    # One of 22 parts is within the 5 % that may fail, one of 3 is not: moto itself tolerates any share.
    label_batch.PART_PHOTOS = 1 if case == "refused" else 3
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}, "lambda": {"use_docker": False}}):
        print(json.dumps(run(definition)))


def run(definition: str) -> dict[str, Any]:
    s3 = boto3.client("s3", region_name="us-east-1")
    for bucket in ("in-photos", "out-answers"):
        s3.create_bucket(Bucket=bucket)
    samples = sorted((ROOT / "data/sample/test").glob("*/00.jpg"))
    for photo in samples:
        s3.put_object(Bucket="in-photos", Key=f"set/{photo.parent.name}.jpg", Body=photo.read_bytes())
    for number in range(14 if case == "refused" else 0):
        s3.put_object(Bucket="in-photos", Key=f"set/more-{number}.jpg", Body=samples[0].read_bytes())
    s3.put_object(Bucket="in-photos", Key="set/broken.jpg", Body=samples[0].read_bytes()[:300])
    s3.put_object(Bucket="in-photos", Key="set/notes.txt", Body=b"no photo")
    states = boto3.client("stepfunctions", region_name="us-east-1")
    machine = states.create_state_machine(name="batch", definition=definition, roleArn=ROLE)[
        "stateMachineArn"
    ]
    given = json.dumps({"source": "s3://in-photos/set", "bucket": "out-answers", "prefix": "run"})
    for number in range(2 if case == "again" else 1):
        execution = states.start_execution(stateMachineArn=machine, name=f"run-{number}", input=given)
        while True:
            found = states.describe_execution(executionArn=execution["executionArn"])
            if found["status"] != "RUNNING":
                break
            time.sleep(0.1)
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="out-answers")["Contents"]]
    return {
        "status": found["status"],
        "output": json.loads(found.get("output") or "null"),
        "error": found.get("error"),
        "cause": found.get("cause"),
        "calls": calls,
        "keys": keys,
        "parts": {
            key: s3.get_object(Bucket="out-answers", Key=key)["Body"].read().decode()
            for key in keys
            if "/part-" in key
        },
    }


if __name__ == "__main__":
    case = sys.argv[2]
    main()

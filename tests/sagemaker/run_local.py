"""Run the pipeline in SageMaker's local mode, in .venv-sagemaker: `run_local.py BUCKET '{"DataUri": "s3://…", …}'`.

Prints one line of JSON: the status, and that of each step.
"""

import json
import sys

import boto3

from infra.sagemaker import definition, sdk

ROLE = "arn:aws:iam::123456789012:role/lenslet-sagemaker"


def main() -> int:
    bucket, given = sys.argv[1], json.loads(sys.argv[2])
    place = {"boto_session": boto3.Session(), "default_bucket": bucket}
    pipeline = definition.pipeline(
        sdk.PipelineSession(**place), ROLE, "lenslet-training:local", instance_type="local"
    )
    session = sdk.LocalPipelineSession(**place)
    session.create_pipeline(pipeline, "")
    execution = session.start_pipeline_execution(pipeline.name, PipelineParameters=given)
    steps = {
        each["StepName"]: each["StepStatus"] for each in execution.list_steps()["PipelineExecutionSteps"]
    }
    print(json.dumps({"status": execution.describe()["PipelineExecutionStatus"], "steps": steps}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

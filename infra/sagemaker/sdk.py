"""All that is used of the SageMaker SDK (version 3, .venv-sagemaker), imported in this file alone."""

import os
from pathlib import Path

os.environ.setdefault("SAGEMAKER_USER_CONFIG_OVERRIDE", str(Path(__file__).with_name("config.yaml")))
# The SDK would ask IAM whether the role has rights that these jobs do not need (networks, keys), and refuse it.
os.environ.setdefault("SAGEMAKER_VALIDATE_ROLE", "false")

from sagemaker.core.processing import Processor
from sagemaker.core.shapes import (
    CheckpointConfig,
    OutputDataConfig,
    ProcessingInput,
    ProcessingOutput,
    ProcessingS3Input,
    ProcessingS3Output,
    StoppingCondition,
)
from sagemaker.core.workflow.conditions import ConditionEquals, ConditionGreaterThanOrEqualTo
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.local import LocalPipelineSession
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep, TrainingStep
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData

__all__ = [
    "CacheConfig", "CheckpointConfig", "Compute", "ConditionEquals", "ConditionGreaterThanOrEqualTo", "ConditionStep",
    "ExecutionVariables", "FailStep", "InputData", "Join", "JsonGet", "LocalPipelineSession", "ModelTrainer",
    "OutputDataConfig", "ParameterFloat", "ParameterString", "Pipeline", "PipelineSession", "ProcessingInput",
    "ProcessingOutput", "ProcessingS3Input", "ProcessingS3Output", "ProcessingStep", "Processor", "PropertyFile",
    "StoppingCondition", "TrainingStep",
]  # fmt: skip

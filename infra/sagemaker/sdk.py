"""All that is used of the SageMaker SDK (version 2, .venv-sagemaker), imported in this file alone.

Version 3 has other names for the same things: a change of the SDK is a change of this file and of definition.py.
"""

import os
from pathlib import Path

os.environ.setdefault("SAGEMAKER_SUPPRESS_V2_WARNING", "1")
os.environ.setdefault("SAGEMAKER_USER_CONFIG_OVERRIDE", str(Path(__file__).with_name("config.yaml")))

from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.processing import ProcessingInput, ProcessingOutput, Processor
from sagemaker.workflow.condition_step import ConditionStep
from sagemaker.workflow.conditions import ConditionEquals, ConditionGreaterThanOrEqualTo
from sagemaker.workflow.fail_step import FailStep
from sagemaker.workflow.functions import Join, JsonGet
from sagemaker.workflow.parameters import ParameterFloat, ParameterString
from sagemaker.workflow.pipeline import Pipeline
from sagemaker.workflow.pipeline_context import LocalPipelineSession, PipelineSession
from sagemaker.workflow.properties import PropertyFile
from sagemaker.workflow.steps import CacheConfig, ProcessingStep, TrainingStep

__all__ = [
    "CacheConfig", "ConditionEquals", "ConditionGreaterThanOrEqualTo", "ConditionStep", "Estimator", "FailStep", "Join",
    "JsonGet", "LocalPipelineSession", "ParameterFloat", "ParameterString", "Pipeline", "PipelineSession",
    "ProcessingInput", "ProcessingOutput", "ProcessingStep", "Processor", "PropertyFile", "TrainingInput",
    "TrainingStep",
]  # fmt: skip

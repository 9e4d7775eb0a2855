"""Settings of `params.yaml`: one module a section; importing this loads the standard library only."""

from lenslet.config.convert import ConvertParams
from lenslet.config.endpoint import EndpointParams
from lenslet.config.evaluate import EvaluateParams
from lenslet.config.gate import GateParams
from lenslet.config.params import Params, find_params, read_params, write_params
from lenslet.config.parsing import ParamsError, Range, parse_params
from lenslet.config.train import (
    AugmentationParams,
    BackboneParams,
    DistillParams,
    FineTuneParams,
    HeadParams,
    TrainParams,
)
from lenslet.config.tune import TuneParams

__all__ = [
    "AugmentationParams",
    "BackboneParams",
    "ConvertParams",
    "DistillParams",
    "EndpointParams",
    "EvaluateParams",
    "FineTuneParams",
    "GateParams",
    "HeadParams",
    "Params",
    "ParamsError",
    "Range",
    "TrainParams",
    "TuneParams",
    "find_params",
    "parse_params",
    "read_params",
    "write_params",
]

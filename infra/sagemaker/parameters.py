"""The pipeline's name and parameters: all that is known of it without the SDK, whose import takes seconds."""

NAME = "lenslet-training"
AS_IN_FILE = "-"  # the value of a parameter that leaves the one of params.yaml
# Parameter → default; None: each run has to give it. Those of training go into params.yaml, unless they are "-".
DEFAULTS: dict[str, str | float | None] = {
    "DataUri": None,
    "Backbone": AS_IN_FILE,
    "BatchSize": AS_IN_FILE,
    "Optimizer": AS_IN_FILE,
    "LearningRate": AS_IN_FILE,
    "Augmentation": AS_IN_FILE,
    "Settings": AS_IN_FILE,
    "Weights": AS_IN_FILE,
    "InstanceType": None,  # the pipeline is defined with one
    "MinimumAccuracy": 0.9,
}

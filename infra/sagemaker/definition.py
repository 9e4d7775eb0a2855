"""The pipeline: prepare → train → convert → evaluate → gate → register, all in one image (Dockerfile beside this).

Each step runs the command of the stage in dvc.yaml that has its name; infra/sagemaker/container.py says which. A step
is taken from the cache if its arguments and the addresses of its inputs are those of a run of the last 30 days:
addresses of snapshots hold a hash of the photos (infra/snapshot.py).
"""

from typing import Any

from infra.sagemaker import sdk
from infra.sagemaker.parameters import DEFAULTS, NAME

GROUP = "lenslet"
ENTRYPOINT = ["python", "-m", "infra.sagemaker.container"]
FOLDER = "/opt/ml/processing"
# Option of the step Prepare, which writes params.yaml → the pipeline's parameter.
OF_PARAMS = {
    "backbone": "Backbone",
    "batch-size": "BatchSize",
    "optimizer": "Optimizer",
    "learning-rate": "LearningRate",
    "augmentation": "Augmentation",
    "settings": "Settings",
    "weights": "Weights",
}
DAY_S = 86_400
CACHE = sdk.CacheConfig(enable_caching=True, expire_after="30d")


def parameters(instance_type: str) -> dict[str, Any]:
    """Name → parameter."""
    kinds = {str: sdk.ParameterString, float: sdk.ParameterFloat, type(None): sdk.ParameterString}
    defaults = {**DEFAULTS, "InstanceType": instance_type}
    return {name: kinds[type(value)](name=name, default_value=value) for name, value in defaults.items()}


def pipeline(session: Any, role: str, image: str, *, uses_spot: bool = False, instance_type: str) -> Any:
    """The pipeline for a PipelineSession. A LocalPipelineSession runs it, if its instance type is "local"."""
    given = parameters(instance_type)
    make = Steps(session, role, image, given)
    prepare = make.processing(
        "Prepare", [("photos", given["DataUri"])], ["params"],
        [f"--{option}={{}}" for option in OF_PARAMS], [given[name] for name in OF_PARAMS.values()],
    )  # fmt: skip
    params = output(prepare, "params")
    train = make.training(params, uses_spot=uses_spot)
    trained = train.properties.ModelArtifacts.S3ModelArtifacts
    photos = ("photos", given["DataUri"])
    convert = make.processing("Convert", [photos, ("params", params), ("trained", trained)], ["model"])
    model = output(convert, "model")
    figures = sdk.PropertyFile(name="Evaluation", output_name="report", path="evaluation.json")
    evaluate = make.processing(
        "Evaluate", [photos, ("params", params), ("model", model)], ["report"], property_files=[figures]
    )
    report = output(evaluate, "report")
    register = make.processing(
        "Register", [("report", report)], [],
        ["--group={}", "--image={}", "--report-uri={}", "--data-uri={}"],
        [GROUP, image, report, given["DataUri"]],
        is_cached=False,
    )  # fmt: skip

    def figure(path: str) -> Any:
        return sdk.JsonGet(step_name=evaluate.name, property_file=figures, json_path=path)

    gate = sdk.ConditionStep(
        name="Gate",
        conditions=[
            sdk.ConditionGreaterThanOrEqualTo(left=figure("accuracy"), right=given["MinimumAccuracy"]),
            sdk.ConditionEquals(left=figure("limits_kept"), right=1),
        ],
        if_steps=[register],
        else_steps=[sdk.FailStep(name="Refused", error_message="the gate refused the model: see Evaluate")],
    )
    return sdk.Pipeline(
        name=NAME,
        parameters=list(given.values()),
        steps=[prepare, train, convert, evaluate, gate],
        sagemaker_session=session,
    )


def output(step: Any, name: str) -> Any:
    """S3 address of a processing step's output."""
    return step.properties.ProcessingOutputConfig.Outputs[name].S3Output.S3Uri


def fetched(name: str, source: Any) -> Any:
    """An input of a step: what lies at the S3 address `source`."""
    place = sdk.ProcessingS3Input(
        s3_uri=source, s3_data_type="S3Prefix", s3_input_mode="File", local_path=f"{FOLDER}/{name}"
    )
    return sdk.ProcessingInput(input_name=name, s3_input=place)


class Steps:
    """Makes steps that share a session, a role, the image and the pipeline's parameters."""

    def __init__(self, session: Any, role: str, image: str, given: dict[str, Any]) -> None:
        self.session, self.role, self.image, self.given = session, role, image, given
        self.place = f"s3://{session.default_bucket()}/{NAME}"

    def processing(
        self,
        name: str,
        inputs: list[tuple[str, Any]],
        outputs: list[str],
        options: list[str] | None = None,
        values: list[Any] | None = None,
        *,
        property_files: list[Any] | None = None,
        is_cached: bool = True,
    ) -> Any:
        """`options` are formats as "--name={}" of the `values`, which only AWS may know."""
        processor = sdk.Processor(
            role=self.role,
            image_uri=self.image,
            instance_count=1,
            instance_type=self.given["InstanceType"],
            entrypoint=[*ENTRYPOINT, name.lower()],
            max_runtime_in_seconds=DAY_S // 4,
            sagemaker_session=self.session,
        )
        pairs = zip(options or [], values or [], strict=True)
        arguments = [sdk.Join(on="", values=[option.removesuffix("{}"), value]) for option, value in pairs]
        return sdk.ProcessingStep(
            name=name,
            step_args=processor.run(
                inputs=[fetched(each, source) for each, source in inputs],
                outputs=[self.kept(name, each) for each in outputs],
                arguments=arguments or None,
            ),
            property_files=property_files,
            cache_config=CACHE if is_cached else None,
        )

    def kept(self, step: str, name: str) -> Any:
        """An output of a step, at a place of its run: outputs are no part of what a step is cached by."""
        place = [self.place, sdk.ExecutionVariables.PIPELINE_EXECUTION_ID, step, name]
        target = sdk.ProcessingS3Output(
            s3_uri=sdk.Join(on="/", values=place), s3_upload_mode="EndOfJob", local_path=f"{FOLDER}/{name}"
        )
        return sdk.ProcessingOutput(output_name=name, s3_output=target)

    def training(self, params: Any, *, uses_spot: bool) -> Any:
        """`uses_spot` is no parameter of a run: without spot instances AWS refuses a longest wait, which they need."""
        compute = {"instance_type": self.given["InstanceType"], "instance_count": 1}
        limits: dict[str, Any] = {"max_runtime_in_seconds": DAY_S // 2}
        spot: dict[str, Any] = {}
        if uses_spot:
            compute["enable_managed_spot_training"] = True
            limits["max_wait_time_in_seconds"] = DAY_S
            # Interrupted, it goes on after its last epoch. One place for all runs, because steps are cached by it, too;
            # container.py keeps them apart there.
            spot["checkpoint_config"] = sdk.CheckpointConfig(s3_uri=f"{self.place}/checkpoints")
        trainer = sdk.ModelTrainer(
            training_image=self.image,
            role=self.role,
            compute=sdk.Compute(**compute),
            stopping_condition=sdk.StoppingCondition(**limits),
            output_data_config=sdk.OutputDataConfig(s3_output_path=f"{self.place}/trained"),
            hyperparameters={"weights": self.given["Weights"]},
            sagemaker_session=self.session,
            **spot,
        )
        channels = [
            sdk.InputData(channel_name="photos", data_source=self.given["DataUri"]),
            sdk.InputData(channel_name="params", data_source=params),
        ]
        step_args = trainer.train(input_data_config=channels)
        return sdk.TrainingStep(name="Train", step_args=step_args, cache_config=CACHE)

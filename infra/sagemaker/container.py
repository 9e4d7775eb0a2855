"""Entry point of the pipeline's steps in the image: the commands of dvc.yaml, on SageMaker's folders below /opt/ml.

    python -m infra.sagemaker.container prepare | train | convert | evaluate | register [options]

SageMaker itself calls the image with the word `train`. Exit code as of the command that failed; SageMaker shows it.
"""

import argparse
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

from infra import snapshot, training_inputs
from infra.sagemaker.parameters import AS_IN_FILE
from lenslet.cli import main as lenslet
from lenslet.inference.artifact import sha256_of

ML = Path("/opt/ml")
INPUTS = ("backbone", "batch_size", "optimizer", "learning_rate", "augmentation")
# Of a model folder: what is served, and what the next training starts from.
MODEL_FILES = ("model.tflite", "model.json", "MODEL_CARD.md", "model.keras", "training.json")
# The part of metrics.json that evaluate and register name; the rest stays in the report.
FIGURES = ("accuracy", "roc_auc", "calibration_error", "robustness_mean", "macro_f1")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.sagemaker.container", description=__doc__)
    parser.add_argument("step", choices=STEPS)
    for name in (*INPUTS, "settings", "weights", "group", "image", "report-uri", "data-uri"):
        parser.add_argument(f"--{name.replace('_', '-')}", default=AS_IN_FILE)
    arguments = parser.parse_args(argv)
    return STEPS[arguments.step](arguments)


def run(command: str, *options: object) -> None:
    """Raises SystemExit with the command's exit code if it is not 0."""
    print(f"→ lenslet {command}", *options, flush=True)
    if code := lenslet([command, *map(str, options)]):
        raise SystemExit(code)


def prepare(arguments: argparse.Namespace) -> int:
    """params.yaml with the parameters of this run, and the findings about the photos."""
    photos, out = ML / "processing" / "photos", ML / "processing" / "params"
    out.mkdir(parents=True, exist_ok=True)
    params = Path(shutil.copy("params.yaml", out))
    inputs = {name: value for name in INPUTS if (value := getattr(arguments, name)) != AS_IN_FILE}
    overrides = training_inputs.overrides_of(inputs)
    for pair in arguments.settings.split() if arguments.settings != AS_IN_FILE else ():
        key, _, value = pair.partition("=")
        overrides[key] = value
    training_inputs.set_params(overrides, params)
    # Findings are for people; what would spoil a training, train itself refuses or leaves out.
    weights = [] if arguments.weights in (AS_IN_FILE, "none") else ["--weights", arguments.weights]
    lenslet(["lint", str(photos), "--params", str(params), "--lint-csv", str(out / "lint.csv"), *weights])
    return 0


def train(arguments: argparse.Namespace) -> int:
    # Not /opt/ml/model itself: a folder is written beside its name, and renamed.
    channels, out = ML / "input" / "data", ML / "work" / "model"
    hyperparameters = json.loads(
        (ML / "input" / "config" / "hyperparameters.json").read_text(encoding="utf-8")
    )
    weights = str(hyperparameters.get("weights", AS_IN_FILE)).strip('"')
    options = [] if weights == AS_IN_FILE else ["--weights", weights]
    params = channels / "params" / "params.yaml"
    # A folder a training: --resume refuses what was begun with other photos or settings, and on spot instances the
    # checkpoints of earlier trainings are here, too.
    runs = ML / "checkpoints" / identity(channels / "photos", params, weights)
    run(
        "train", "--data", channels / "photos", "--params", params, "--out", out, "--runs", runs, "--resume", *options,
    )  # fmt: skip
    shutil.copytree(out, ML / "model", dirs_exist_ok=True)
    return 0


def identity(photos: Path, params: Path, weights: str) -> str:
    """A name that trainings share whose photos, settings and start are the same."""
    parts = (snapshot.manifest_of(photos), params.read_text(encoding="utf-8"), weights)
    return sha256_of("\0".join(parts).encode(errors="surrogateescape"))


def convert(arguments: argparse.Namespace) -> int:
    """The model folder as it is served."""
    folder = ML / "processing"
    model = folder / "model"
    [archive] = (folder / "trained").glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(model, filter="data")
    run(
        "convert",
        "--data",
        folder / "photos",
        "--params",
        folder / "params" / "params.yaml",
        "--model",
        model,
    )
    return 0


def evaluate(arguments: argparse.Namespace) -> int:
    """The report, and evaluation.json for the pipeline's gate: figures, and whether params.yaml's limits are kept."""
    folder = ML / "processing"
    report, params = folder / "report", folder / "params" / "params.yaml"
    run(
        "evaluate",
        "--data",
        folder / "photos",
        "--params",
        params,
        "--model",
        folder / "model",
        "--report",
        report,
        "--record",
    )
    refused = lenslet(["gate", "--params", str(params), "--metrics", str(report / "metrics.json")])
    metrics = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    figures = {name: metrics[name] for name in FIGURES if isinstance(metrics.get(name), float | int)}
    evaluation = {**figures, "limits_kept": int(refused == 0)}
    (report / "evaluation.json").write_text(json.dumps(evaluation, indent=2), encoding="utf-8")
    # The archive that the registry wants: after the figures were written into model.json, by which releases go.
    shutil.copy(folder / "model" / "MODEL_CARD.md", report)
    with tarfile.open(report / "model.tar.gz", "w:gz") as file:
        for name in MODEL_FILES:
            file.add(folder / "model" / name, arcname=name)
    print(json.dumps(evaluation))
    return 0


def register(arguments: argparse.Namespace) -> int:
    """A version in the model group that waits for somebody's approval, with its figures and model card."""
    import boto3

    evaluation = (ML / "processing" / "report" / "evaluation.json").read_text(encoding="utf-8")
    figures = {name: f"{value:.4f}" for name, value in json.loads(evaluation).items()}
    client = boto3.client("sagemaker", region_name=os.environ.get("AWS_REGION"))  # as SageMaker names it
    statistics = {"ContentType": "application/json", "S3Uri": f"{arguments.report_uri}/metrics.json"}
    version = client.create_model_package(
        ModelPackageGroupName=arguments.group,
        ModelPackageDescription=f"Lenslet, trained on {arguments.data_uri}"[:1024],
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [
                {"Image": arguments.image, "ModelDataUrl": f"{arguments.report_uri}/model.tar.gz"}
            ],
            "SupportedContentTypes": ["image/jpeg", "application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        ModelMetrics={"ModelQuality": {"Statistics": statistics}},
        CustomerMetadataProperties={
            **figures,
            "model_card": f"{arguments.report_uri}/MODEL_CARD.md",
            "data": arguments.data_uri,
        },
    )
    print(f"registered, waiting for approval: {version['ModelPackageArn']}")
    return 0


STEPS: dict[str, Callable[[argparse.Namespace], int]] = {
    "prepare": prepare, "train": train, "convert": convert, "evaluate": evaluate, "register": register,
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())

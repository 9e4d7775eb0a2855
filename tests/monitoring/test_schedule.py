"""Daily alarms for CloudFormation: valid, about the stage's own metrics, and rarely false."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenslet.cli import main
from lenslet.commands.drift import main as drift
from lenslet.evaluation.reference import Reference, from_json
from lenslet.inference.artifact import Artifact, read_artifact
from lenslet.monitoring.drift import DriftLimits
from lenslet.monitoring.schedule import alarms_template, reference_shares

LEVELS = np.linspace(0, 1, 201)


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return replace(
        read_artifact(Path("model")), conformal_alpha=0.05, conformal_threshold=0.1, ood_threshold=0.98
    )


@pytest.fixture(scope="module")
def reference(artifact: Artifact) -> Reference:
    """Confidence uniform, so that 95 % of 1,000 photos are uncertain; OOD scores uniform: 2 % are foreign."""
    shipped = from_json(artifact.reference, len(artifact.labels))
    return replace(shipped, photos=1000, quantiles=dict.fromkeys(shipped.quantiles, LEVELS))


def alarms(artifact: Artifact, reference: Reference) -> dict[str, Any]:
    template = json.loads(alarms_template(artifact, reference, "staging", DriftLimits()))
    return {name: each["Properties"] for name, each in template["Resources"].items()}


def is_alarm(alarm: dict[str, Any], share: float, photos: int) -> bool:
    """Evaluate the metric math of CloudWatch, in which IF is a function and AND an operator."""
    expression = alarm["Metrics"][0]["Expression"].replace(" AND ", " and ")
    found = re.fullmatch(r"IF\((.*?), (.*), 0\)", expression)
    assert found
    names = {"share": share, "photos": photos}
    return bool(eval(found[1], names)) and eval(found[2], names) > alarm["Threshold"]


def test_shares_are_those_of_the_validation_photos(artifact: Artifact, reference: Reference) -> None:
    assert reference_shares(artifact, reference) == pytest.approx(
        {"Uncertain": 0.95, "OutOfDistribution": 0.02}
    )


@pytest.mark.parametrize(
    ("share", "photos", "expected"),
    [
        (0.02, 1000, False),
        (0.11, 1000, False),  # nine points more are no alarm, however significant
        (0.2, 1000, True),
        (0.2, 49, False),  # too few to say anything
        (0.5, 50, True),
        (0.0, 1000, False),  # fewer are no alarm
    ],
)
def test_alarm_on_foreign_photos(
    artifact: Artifact, reference: Reference, share: float, photos: int, expected: bool
) -> None:
    assert is_alarm(alarms(artifact, reference)["OutOfDistributionDrift"], share, photos) is expected


def test_false_alarms_of_a_month_are_rare(artifact: Artifact, reference: Reference) -> None:
    """Of 200 months without drift, 60 photos a day, the smallest window in which a share can leap."""
    both = alarms(artifact, replace(reference, photos=300))
    shares = reference_shares(artifact, reference)
    random = np.random.default_rng(0)
    false = 0
    for _ in range(200):
        days = [
            is_alarm(both[f"{metric}Drift"], random.binomial(60, shares[metric]) / 60, 60)
            for metric in shares
            for _ in range(30)
        ]
        false += any(days)
    assert false / 200 <= 0.05


@pytest.mark.slow
def test_command_prints_a_template_that_lints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert drift(["--schedule", "production", "--model", "model"]) == 0
    text = capsys.readouterr().out
    for alarm in json.loads(text)["Resources"].values():
        properties = alarm["Properties"]
        assert properties["AlarmName"].startswith("lenslet-production-drift-")
        for metric in properties["Metrics"][1:]:
            assert metric["MetricStat"]["Metric"]["Dimensions"] == [
                {"Name": "service", "Value": "lenslet-production"}
            ]
    path = tmp_path / "drift.json"
    path.write_text(text)
    linter = Path(sys.executable).parent / "cfn-lint"
    done = subprocess.run([linter, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("arguments", [[], ["a.log", "--schedule", "staging"]])
def test_either_answers_or_schedule(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drift", *arguments, "--model", "model"]) == 2
    assert "either the answers, or --schedule" in capsys.readouterr().err

"""All evidence of an evaluation of four photos, with figures that can be worked out by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from evaluation.report import Evidence, figures, table, write_report
from evaluation.trial import Trial
from inference.artifact import Artifact
from inference.decode import decode

ARTIFACT = Artifact(
    name="test",
    labels=("no", "yes"),
    image_size=160,
    resize="",
    sha256="",
    precision="float32",
    runtime="",
    temperature=1.0,
    conformal_alpha=0.1,
    conformal_threshold=0.4,
    metrics={"validation": {"agreement_with_keras": 0.999}},
)
PROBABILITIES = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]], np.float32)
EVIDENCE = Evidence(
    artifact=ARTIFACT,
    targets=np.array([0, 0, 1, 1]),
    trial=Trial(PROBABILITIES, 3.5),
    ladder={"gaussian_noise": [0.75, 0.75, 0.5, 0.5, 0.25], "occlusion": [0.75] * 5},
    ladder_clean=0.75,
    megabytes=4.5,
)


def test_figures() -> None:
    found = figures(EVIDENCE)
    assert found["accuracy"] == 0.75
    assert found["worst_recall"] == 0.5
    assert 0 <= found["accuracy_low"] < 0.75 < found["accuracy_high"] <= 1
    # Sets at 0.4: {no}, {no, yes}, {yes}, {yes}.
    assert (found["coverage"], found["mean_set_size"]) == (1.0, 1.25)
    # Confidence 0.9 right, 0.6 wrong, 0.8 right, 0.7 right.
    assert found["calibration_error"] == pytest.approx((0.1 + 0.6 + 0.2 + 0.3) / 4)
    assert found["calibration_error_before"] == pytest.approx(found["calibration_error"])
    assert found["robustness.gaussian_noise.5"] == 0.25
    assert found["robustness_mean"] == pytest.approx((2.75 + 3.75) / 10 / 0.75)
    assert found["robustness_worst"] == pytest.approx(0.25 / 0.75)
    assert (found["megabytes"], found["time_ms"], found["agreement_with_keras"]) == (4.5, 3.5, 0.999)


def test_table_shows_overall_figures_and_classes_but_not_every_cell() -> None:
    printed = table(figures(EVIDENCE), ARTIFACT.labels)
    assert "accuracy                      0.7500" in printed
    assert "gaussian_noise" not in printed
    assert printed.splitlines()[-1].split() == ["yes", "0.6667", "1.0000", "0.8000"]


def test_report_holds_figures_and_pictures(tmp_path: Path) -> None:
    names = write_report(EVIDENCE, tmp_path)
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    assert json.loads((tmp_path / "metrics.json").read_text()) == figures(EVIDENCE)
    assert len(names) == 5
    for name in names[1:]:
        assert decode((tmp_path / name).read_bytes(), 64).std() > 10, name  # not an empty picture

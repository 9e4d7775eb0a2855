"""Acceptance test of an endpoint: its answers on labelled photos, compared with those of the local model.

Photos are sent as they are, and some of them again under every corruption and severity
(lenslet/evaluation/corruptions.py: the same pixels each time, as PNG, which is lossless). An endpoint that serves the
same file must give the same answers, whatever its processor.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lenslet.checks.endpoint import KEY_VARIABLE, CheckError, Endpoint, look_up, send
from lenslet.checks.labelled_photos import CLEAN, Outcome
from lenslet.config import EndpointParams
from lenslet.dataset.layouts import find_photos
from lenslet.dataset.photos import DatasetError, Photo
from lenslet.dataset.sampling import evenly_spaced
from lenslet.evaluation.corruptions import CORRUPTIONS, SEVERITIES, robustness
from lenslet.evaluation.limits import check_limits, limits_table, verdicts_json
from lenslet.inference.artifact import Artifact

PERCENTILES = {"p50": 50, "p95": 95, "p99": 99, "slowest": 100}
SHOWN = 5  # examples of answers that differ from the local model's

Figures = dict[str, Any]


class AnotherModel(Exception):
    """The endpoint serves another model than the one it is compared with."""


def choose_photos(folder: Path, artifact: Artifact, wanted: int) -> list[Photo]:
    """Photos of the folder's test split, or of the folder if it has none, evenly spread. Raises DatasetError."""
    listed = find_photos(folder).photos
    found = [photo for photo in listed if photo.split == "test"] or [*listed]
    unknown = sorted({photo.label for photo in found} - set(artifact.labels))
    if unknown:
        raise DatasetError(
            f"{folder} has the class {unknown[0]!r}; the model knows {', '.join(artifact.labels)}"
        )
    return [found[number] for number in evenly_spaced(len(found), wanted)]


def check_model(endpoint: Endpoint, artifact: Artifact, key: str | None) -> None:
    """Check that the endpoint accepts the key and serves the model that it is compared with.

    Raises: CheckError, AnotherModel, each in one sentence.
    """
    try:
        response = send(endpoint, "GET", "/")
    except CheckError as failure:
        raise CheckError(f"{endpoint.url} cannot be asked: {failure}") from None
    if response.status_code in (401, 403):
        remedy = "it refuses this key" if key else f"it wants a key: give --key or {KEY_VARIABLE}"
        raise CheckError(f"{endpoint.url} answers with status {response.status_code}: {remedy}")
    try:
        version = look_up(response.json(), "version")
    except (CheckError, ValueError):
        said = f"status {response.status_code}, {response.text[:200]!r}"
        raise CheckError(f"{endpoint.url} does not describe itself as openapi.yaml says: {said}") from None
    if version != artifact.version:
        raise AnotherModel(
            f"{endpoint.url} serves model {version}, the local one is {artifact.version}: deploy it, or give --model"
        )


def measure_endpoint(
    outcomes: Sequence[Outcome], planned: int, params: EndpointParams, labels: Sequence[str]
) -> Figures:
    """The figures that have limits, the details behind them, and a verdict on each limit."""
    answered = [outcome for outcome in outcomes if outcome.served is not None]
    different = [outcome for outcome in answered if not outcome.agrees(params.probability_tolerance)]
    latency_ms = percentiles([outcome.seconds * 1000 for outcome in answered])
    accuracies = {
        kind: [cell_accuracy(outcomes, (kind, severity)) for severity in SEVERITIES] for kind in CORRUPTIONS
    }
    figures = {"errors": 1 - len(answered) / len(outcomes)}
    # Otherwise the endpoint broke down, and too few requests were sent to measure the rest.
    if answered and len(outcomes) == planned:
        figures["accuracy"] = cell_accuracy(outcomes, CLEAN) or 0.0
        figures |= relative_robustness(outcomes, accuracies)
        figures["agreement"] = 1 - len(different) / len(answered)
        figures["p95_ms"] = latency_ms["p95"]
    return {
        "requests": len(outcomes),
        "planned": planned,
        "asked_again": sum(outcome.refusals > 0 for outcome in outcomes),
        "figures": figures,
        "latency_ms": latency_ms,
        "accuracies": accuracies,
        "errors": dict(Counter(outcome.error for outcome in outcomes if outcome.error)),
        "differences": [difference(outcome, labels) for outcome in different],
        "verdicts": check_limits(figures, params),
    }


def cell_accuracy(outcomes: Sequence[Outcome], cell: tuple[str, int]) -> float | None:
    """Accuracy in a cell, where a failed request counts as a wrong answer; None if none was sent."""
    found = [outcome.is_right for outcome in outcomes if outcome.request.cell == cell]
    return sum(found) / len(found) if found else None


def relative_robustness(
    outcomes: Sequence[Outcome], accuracies: Mapping[str, Sequence[float | None]]
) -> dict[str, float]:
    """Mean and worst accuracy under corruption, divided by that of the same photos without, as in lenslet evaluate."""
    corrupted = {outcome.request.photo for outcome in outcomes if outcome.request.cell != CLEAN}
    clean = (
        cell_accuracy([outcome for outcome in outcomes if outcome.request.photo in corrupted], CLEAN) or 0.0
    )
    cells = {kind: [value for value in values if value is not None] for kind, values in accuracies.items()}
    found = robustness(cells, clean)
    return {key: value for key, value in found.items() if "." not in key}


def percentiles(latencies_ms: Sequence[float]) -> dict[str, float]:
    """Nearest-rank percentiles, so that each is a measured time; empty without an answer."""
    if not latencies_ms:
        return {}
    found = np.percentile(latencies_ms, list(PERCENTILES.values()), method="inverted_cdf")
    return {name: float(value) for name, value in zip(PERCENTILES, found, strict=True)}


def difference(outcome: Outcome, labels: Sequence[str]) -> str:
    """One answer compared with the local model's, for the terminal."""
    assert outcome.served is not None
    kind, severity = outcome.request.cell
    corruption = f", {kind} {severity}" if severity else ""
    said, expected = (
        f"{labels[int(each.argmax())]} {each.max():.4f}"
        for each in (outcome.served, outcome.request.expected)
    )
    return f"{outcome.request.photo.path}{corruption}: {said}, here {expected}"


def acceptance_text(report: Figures) -> str:
    """The report for the terminal."""
    lines = [f"{'accuracy':<16}" + "".join(f"{severity:>6}" for severity in SEVERITIES)]
    for kind, values in report["accuracies"].items():
        cells = ("—" if value is None else f"{value:.2f}" for value in values)
        lines.append(f"{kind:<16}" + "".join(f"{cell:>6}" for cell in cells))
    times = (f"{name} {value:.0f} ms" for name, value in report["latency_ms"].items())
    lines += ["", f"latency: {', '.join(times) or 'no request was answered'}"]
    if report["asked_again"]:
        lines.append(f"{report['asked_again']} requests had to be sent again: the endpoint was busy")
    if report["requests"] < report["planned"]:
        lines.append(f"given up after {report['requests']} requests: too many had failed already")
    lines += [f"failed {count} times: {error}" for error, count in report["errors"].items()]
    differences = report["differences"]
    if differences:
        lines += [f"{len(differences)} answers differ from the local model's:", *differences[:SHOWN]]
    return "\n".join([*lines, "", limits_table(report["verdicts"], "not to be promoted")])


def acceptance_json(report: Figures) -> Figures:
    """The report with its verdicts as plain values."""
    return {**report, "verdicts": verdicts_json(report["verdicts"])}

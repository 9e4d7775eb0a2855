"""The staging check: may what answers at this address go into production?

    lenslet accept https://….amazonaws.com/staging --json report/endpoint.json

Sends the photos of --data as they are, and some of them once more under nine kinds of damage in five severities
(lenslet/evaluation/corruptions.py: the same pixels each time, as PNG, which loses none), one photo a request; how
many, it says before. The model of --model answers each of them here, too: an endpoint that serves the same file
must say the same, whichever its processor. Prints accuracies, latencies, what went wrong, and a verdict on each
limit of params.yaml (`endpoint:`). Exit code 0 if all are kept, 1 if one is not or another model is served, 2 if
the endpoint cannot be asked. The key is best left in the environment variable LENSLET_API_KEY: a command line is
seen by others.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lenslet.checks.endpoint import KEY_VARIABLE, CheckError, Endpoint, connect, look_up, send
from lenslet.checks.labelled_photos import CLEAN, Outcome, fire, prepare
from lenslet.config import EndpointParams, ParamsError, read_params
from lenslet.dataset.layouts import find_photos
from lenslet.dataset.photos import DatasetError, Photo
from lenslet.dataset.sampling import evenly_spaced
from lenslet.evaluation.corruptions import CORRUPTIONS, SEVERITIES
from lenslet.evaluation.limits import judge, table
from lenslet.inference.artifact import Artifact
from lenslet.inference.atomic import write_text
from lenslet.inference.classifier import Classifier
from lenslet.inference.errors import ArtifactError

ROOT = Path(__file__).parents[2]
PERCENTILES = {"p50": 50, "p95": 95, "p99": 99, "slowest": 100}
SHOWN = 5  # examples of answers that differ from the local model's

Figures = dict[str, Any]


class AnotherModel(Exception):
    """The endpoint serves another model than the one it is compared with."""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        params = read_params(arguments.params).endpoint
        classifier = Classifier.load(arguments.model)
        photos = choose_photos(arguments.data, classifier.artifact, params.photos)
        if arguments.json:
            check_writable(arguments.json)
        check_model(connect(arguments.url, arguments.key), classifier.artifact, arguments.key)
        shots = prepare(photos, params.ladder_photos, classifier)
    except (ArtifactError, CheckError, DatasetError, ParamsError, OSError) as error:
        return refuse(error, 2)
    except AnotherModel as error:
        return refuse(error, 1)
    damaged = len(shots) - len(photos)
    print(
        f"{len(shots)} requests to {arguments.url}: {len(photos)} photos, {damaged} damaged ones", flush=True
    )
    labels = classifier.artifact.labels
    allowed = params.max.errors * len(shots)
    outcomes = fire(arguments.url, arguments.key, shots, labels, params.clients, allowed)
    report = measure(outcomes, len(shots), params, labels)
    print(text_of(report))
    if arguments.json:
        write_report(arguments.json, report, endpoint=arguments.url, model=classifier.artifact.version)
    return 0 if all(verdict.is_kept for verdict in report["verdicts"]) else 1


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="lenslet accept",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("url", help="the endpoint, as test.py takes it")
    add("--key", default=os.environ.get(KEY_VARIABLE), help=f"sent as X-Api-Key (${KEY_VARIABLE})")
    add("--data", type=Path, default=ROOT / "data/sample/test", help="labelled photos (data/sample/test)")
    add("--model", type=Path, default=ROOT / "model", help="the folder that is served (model/)")
    add("--params", type=Path, default=ROOT / "params.yaml", help="limits (params.yaml)")
    add("--json", type=Path, metavar="FILE", help="write all figures there too")
    return parser.parse_args(argv)


def refuse(reason: Exception, code: int) -> int:
    print(f"lenslet.checks.acceptance: {reason}", file=sys.stderr)
    return code


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
    """That the endpoint lets this caller in and serves the model that it is compared with.

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


def measure(
    outcomes: Sequence[Outcome], planned: int, params: EndpointParams, labels: Sequence[str]
) -> Figures:
    """What the limits are about, what lies behind it, and each limit with its verdict."""
    answered = [outcome for outcome in outcomes if outcome.served is not None]
    different = [outcome for outcome in answered if not outcome.agrees(params.probability_tolerance)]
    latency_ms = percentiles([outcome.seconds * 1000 for outcome in answered])
    ladder = {kind: [accuracy(outcomes, (kind, severity)) for severity in SEVERITIES] for kind in CORRUPTIONS}
    figures = {"errors": 1 - len(answered) / len(outcomes)}
    if (
        answered and len(outcomes) == planned
    ):  # else the endpoint broke down, and too few were asked to say more
        figures["accuracy"] = accuracy(outcomes, CLEAN) or 0.0
        figures |= robustness(outcomes, ladder)
        figures["agreement"] = 1 - len(different) / len(answered)
        figures["p95_ms"] = latency_ms["p95"]
    return {
        "requests": len(outcomes),
        "planned": planned,
        "asked_again": sum(outcome.refusals > 0 for outcome in outcomes),
        "figures": figures,
        "latency_ms": latency_ms,
        "ladder": ladder,
        "errors": dict(Counter(outcome.error for outcome in outcomes if outcome.error)),
        "differences": [difference(outcome, labels) for outcome in different],
        "verdicts": judge(figures, asdict(params.min), asdict(params.max)),
    }


def accuracy(outcomes: Sequence[Outcome], cell: tuple[str, int]) -> float | None:
    """Share of the cell's photos that were answered rightly: no answer is a wrong one. None if none was sent."""
    found = [outcome.is_right for outcome in outcomes if outcome.shot.cell == cell]
    return sum(found) / len(found) if found else None


def robustness(outcomes: Sequence[Outcome], ladder: Mapping[str, Sequence[float | None]]) -> dict[str, float]:
    """Mean and worst accuracy under damage, of that of the same photos without, as lenslet evaluate has it."""
    damaged = {outcome.shot.photo for outcome in outcomes if outcome.shot.cell != CLEAN}
    clean = accuracy([outcome for outcome in outcomes if outcome.shot.photo in damaged], CLEAN) or 0.0
    cells = [value for values in ladder.values() for value in values if value is not None]
    if not clean:
        return {"robustness_mean": 0.0, "robustness_worst": 0.0}
    return {"robustness_mean": float(np.mean(cells)) / clean, "robustness_worst": min(cells) / clean}


def percentiles(latencies_ms: Sequence[float]) -> dict[str, float]:
    """Nearest-rank percentiles, so that each is a time that was measured; none without an answer."""
    if not latencies_ms:
        return {}
    found = np.percentile(latencies_ms, list(PERCENTILES.values()), method="inverted_cdf")
    return {name: float(value) for name, value in zip(PERCENTILES, found, strict=True)}


def difference(outcome: Outcome, labels: Sequence[str]) -> str:
    """One answer beside the local model's, in words."""
    assert outcome.served is not None
    kind, severity = outcome.shot.cell
    damage = f", {kind} {severity}" if severity else ""
    said, expected = (
        f"{labels[int(each.argmax())]} {each.max():.4f}" for each in (outcome.served, outcome.shot.expected)
    )
    return f"{outcome.shot.photo.path}{damage}: {said}, here {expected}"


def text_of(report: Figures) -> str:
    """The report for people."""
    lines = [f"{'accuracy':<16}" + "".join(f"{severity:>6}" for severity in SEVERITIES)]
    for kind, values in report["ladder"].items():
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
        lines += [f"{len(differences)} answers are not the local model's:", *differences[:SHOWN]]
    verdicts = report["verdicts"]
    failed = sum(not verdict.is_kept for verdict in verdicts)
    judgement = (
        f"{failed} of {len(verdicts)} limits failed: not to be promoted" if failed else "all limits are kept"
    )
    return "\n".join([*lines, "", table(verdicts), judgement])


def check_writable(path: Path) -> None:
    """Before the requests, because what they found would be lost. Raises: OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise OSError(f"{path} cannot be written")


def write_report(path: Path, report: Figures, **about: str) -> None:
    verdicts = [{**asdict(verdict), "is_kept": verdict.is_kept} for verdict in report["verdicts"]]
    content = {**about, **report, "verdicts": verdicts}
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())

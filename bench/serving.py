"""Cold start and warm calls of this function and of its peers, side by side in one run.

    python -m bench.serving --rounds 5 --json report/serving.json

Each round starts every subject in a fresh process, one after the other, so that a machine that slows down
slows all of them. The cold start runs from the start of the process to its first answer (the 150 px photo);
warm calls follow in the same process: base64 in JSON in, JSON out, one thread each, logs to /dev/null; "with map"
asks for an explanation, too. Expect, after half a minute a round, a table of medians in milliseconds, each with its
ratio to this function, and which goals were met. Peers whose packages (requirements/bench.txt) are missing stay out.
"""

import argparse
import base64
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from bench.console import at_least_one, bench_parser, progress, tail
from bench.goals import Goal, judge, verdicts_text, write_report
from bench.peers import DECODE, FLOOR, FUNCTION, KERAS, ONNX, SUBJECTS
from lenslet.inference.artifact import Artifact, read_artifact
from lenslet.inference.classifier import runtime_name
from lenslet.inference.errors import ArtifactError

ROOT = Path(__file__).parents[1]
COLD, SMALL, EXPLAINED, LARGE = "cold", "small", "explained", "large"
MEASURES = {COLD: "cold start", SMALL: "150 px", EXPLAINED: "with map", LARGE: "12 MP"}


class Request(NamedTuple):
    width: int
    height: int
    calls: int  # timed in each round
    explain: bool = False  # asks for the explanation, of this function only: peers have none


# SMALL is the first: the cold start ends with its answer.
REQUESTS = {
    SMALL: Request(150, 150, calls=40),
    EXPLAINED: Request(150, 150, calls=40, explain=True),
    LARGE: Request(4000, 3000, calls=8),
}


def ratio(medians: "Medians", subject: str, measure: str, other: str, reference: str) -> float:
    """Of two medians. Raises KeyError where one was not measured."""
    return medians[subject][measure] / medians[other][reference]


GOALS = (
    Goal(
        "warm, 150 px: at most 1.12 × decoding and inference",
        lambda found: ratio(found, FUNCTION, SMALL, DECODE, SMALL),
        1.12,
    ),
    Goal(
        "warm, 12 MP: at most 1.2 × decoding and inference",
        lambda found: ratio(found, FUNCTION, LARGE, DECODE, LARGE),
        1.2,
    ),
    Goal(
        "warm, 150 px, with map: at most 130 ms, which occlusion may take",
        lambda found: found[FUNCTION][EXPLAINED],
        130,
    ),
    Goal(
        "warm, 12 MP: at least 4 × faster than ONNX Runtime",
        lambda found: ratio(found, FUNCTION, LARGE, ONNX, LARGE),
        1 / 4,
    ),
    Goal(
        "cold start: at most 1.12 × interpreter and inference alone",
        lambda found: ratio(found, FUNCTION, COLD, FLOOR, COLD),
        1.12,
    ),
    Goal("cold start: at most 1/8 of Keras", lambda found: ratio(found, FUNCTION, COLD, KERAS, COLD), 1 / 8),
)

# One thread for everyone. What the libraries say on their way is not what is measured.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}

Figures = dict[str, dict[str, list[float]]]  # subject → measure → seconds, one for each time it was done
Medians = dict[str, dict[str, float]]  # subject → measure → milliseconds


class PeerError(Exception):
    """A measured process ended without an answer; the message is what it wrote last."""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    model = arguments.model.resolve()
    try:
        artifact = read_artifact(model)
        with tempfile.TemporaryDirectory(prefix="lenslet-bench-") as name:
            photos = Path(name)
            bytes_drawn = draw_requests(photos)
            subjects = ready_subjects(model, photos)
            seconds = run_rounds(subjects, model, photos, arguments.rounds)
    except (ArtifactError, PeerError) as error:
        print(error, file=sys.stderr)
        return 2
    report = summary(seconds, artifact, bytes_drawn)
    print(f"{report['model']}; {report['runtime']}; {report['machine']}")
    print(f"JPEGs of {' and '.join(f'{count / 1000:,.0f} kB' for count in bytes_drawn.values())}, in base64")
    print(f"Medians of {arguments.rounds} rounds in milliseconds, and as multiples of this function's.\n")
    print(table(report["medians_ms"]))
    print()
    print(verdicts_text(report["goals"]))
    if arguments.json:
        write_report(arguments.json, report)
    return 0


def draw_requests(folder: Path) -> dict[str, int]:
    """Write each request, as JSON, into `folder`. Returns the sizes of the JPEGs in bytes."""
    sizes = {}
    for name, request in REQUESTS.items():
        jpeg = draw_jpeg(request.width, request.height)
        body = {"image": base64.b64encode(jpeg).decode("ascii"), "explain": request.explain}
        (folder / f"{name}.json").write_text(json.dumps(body), encoding="ascii")
        sizes[f"{request.width} × {request.height}"] = len(jpeg)
    return sizes


def draw_jpeg(width: int, height: int, seed: int = 0) -> bytes:
    """A JPEG of quality 88 with a photo's spectrum: noise of equal contrast in each octave but the finest.

    Natural images have this 1/frequency amplitude (Field 1987); lenses take the finest octave. 12 megapixels
    become 3.4 MB, as a camera's do.
    """
    random = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), 128, np.float32)
    cells = 2
    while cells <= max(width, height) / 2:
        coarse = Image.fromarray(random.integers(0, 256, (cells, cells, 3), np.uint8))
        fine = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
        pixels += (fine - 128) / 4
        cells *= 2
    jpeg = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(jpeg, "JPEG", quality=88)
    return jpeg.getvalue()


def ready_subjects(model: Path, photos: Path) -> list[str]:
    """The subjects whose packages are installed, with the ONNX graph made; says who is left out and why."""
    subjects = []
    for name, subject in SUBJECTS.items():
        missing = [module for module in subject.modules if find_spec(module) is None]
        if missing:
            print(
                f"left out: {subject.title}; it needs {', '.join(missing)}: "
                "pip install -r requirements.txt -r requirements/bench.txt",
                file=sys.stderr,
            )
        else:
            subjects.append(name)
    if ONNX in subjects:
        progress("converting model.keras to ONNX")
        _convert(model, photos)
    return subjects


def run_rounds(subjects: list[str], model: Path, photos: Path, rounds: int) -> Figures:
    """Seconds of every cold start and warm call. Each round goes once through all subjects."""
    seconds: Figures = {subject: {} for subject in subjects}
    for round_number in range(1, rounds + 1):
        for subject in subjects:
            progress(f"round {round_number} of {rounds}: {SUBJECTS[subject].title}")
            asked = {name: each for name, each in REQUESTS.items() if subject == FUNCTION or not each.explain}
            calls = {name: request.calls for name, request in asked.items()}
            for measure, figures in _run_process(subject, model, photos, calls).items():
                seconds[subject].setdefault(measure, []).extend(figures)
    progress("")
    return seconds


def summary(seconds: Figures, artifact: Artifact, bytes_drawn: dict[str, int]) -> dict[str, Any]:
    """The report: medians, verdicts, every figure, and the model and machine they were measured on."""
    medians = medians_of(seconds)
    return {
        "model": f"{artifact.name} {artifact.version}, {artifact.image_size} px, {artifact.precision}",
        "runtime": f"{runtime_name()}, Python {platform.python_version()}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "jpeg_bytes": bytes_drawn,
        "medians_ms": medians,
        "goals": judge(GOALS, medians),
        "seconds": seconds,
    }


def medians_of(seconds: Figures) -> Medians:
    return {
        subject: {measure: statistics.median(figures) * 1000 for measure, figures in of_subject.items()}
        for subject, of_subject in seconds.items()
    }


def table(medians: Medians) -> str:
    """One line a subject, for each measure the median in milliseconds and its ratio to this function's."""
    width = max(len(SUBJECTS[subject].title) for subject in medians)
    lines = [" " * width + "".join(f"{title:>19}" for title in MEASURES.values())]
    for subject, of_subject in medians.items():
        line = f"{SUBJECTS[subject].title:<{width}}"
        for measure in MEASURES:
            time_ms, own_ms = of_subject.get(measure), medians[FUNCTION][measure]
            line += f"{'—':>19}" if time_ms is None else f"{time_ms:>11.1f}{time_ms / own_ms:>7.2f}×"
        lines.append(line)
    return "\n".join(lines)


def _convert(model: Path, photos: Path) -> None:
    command = [sys.executable, "-m", "bench.peers", "convert", str(model), str(photos)]
    conversion = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True
    )
    if conversion.returncode != 0:
        raise PeerError(f"model.keras was not converted to ONNX:\n{tail(conversion.stderr)}")


def _run_process(subject: str, model: Path, photos: Path, calls: dict[str, int]) -> dict[str, list[float]]:
    """One fresh process: measure → seconds. Raises PeerError if it ends without its figures."""
    # A pipe of its own, because the standard output is /dev/null: the function logs there.
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "bench.peers", subject, str(model), str(photos), json.dumps(calls)]
    with tempfile.TemporaryFile() as errors, os.fdopen(read_end, encoding="ascii") as reports:
        started = time.perf_counter()
        process = subprocess.Popen(
            [*command, str(write_end)],
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT},
            pass_fds=[write_end],
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        os.close(write_end)  # the child has its own; with this one open the pipe would never end
        reports.readline()
        cold = time.perf_counter() - started
        warm = {name: json.loads(line) for name, line in zip(calls, reports, strict=False)}
        if process.wait() != 0:
            errors.seek(0)
            message = tail(errors.read().decode(errors="replace"))
            raise PeerError(f"{SUBJECTS[subject].title} failed:\n{message}")
    return {COLD: [cold], **warm}


def _parser() -> argparse.ArgumentParser:
    parser = bench_parser("serving", __doc__)
    add = parser.add_argument
    add("--rounds", type=at_least_one, default=5, help="fresh processes a subject (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="write all figures there too")
    add("--model", type=Path, default=ROOT / "model", metavar="FOLDER", help="with model.keras too (model/)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

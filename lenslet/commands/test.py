"""Smoke check of a running endpoint, local or deployed: does it answer as openapi.yaml says?

    python test.py                                             # http://127.0.0.1:8080
    python test.py https://….amazonaws.com/prod --key KEY --image-url https://example.com/photo.jpg
    python test.py --photos holiday/

Prints one line for each check, then each photo with its label, probability and time. Exit code 0 if every check
passes, 1 if one fails, 2 if nothing answers. Needs only HTTP: no model, no TensorFlow, and of the packages only
requests.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from lenslet.commands.options import KEY_HELP, KEY_VARIABLE, add_options
from lenslet.commands.output import json_output
from lenslet.commands.parser import CommandParser, parser_for
from lenslet.inference.errors import InputError
from lenslet.shipped import shipped

TWO_KEYS = (
    "With a key, requests without one must be refused. A second key, of a function behind a gateway that asks for the "
    "first, is read from $LENSLET_BEARER_KEY and sent as Bearer"
)


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)

    from lenslet.checks.endpoint import is_reachable, open_endpoint
    from lenslet.checks.smoke import classify_photos, contract_steps, photo_files

    endpoint = open_endpoint(arguments.url, arguments.key, arguments.origin)
    if not is_reachable(endpoint, arguments.wait):
        raise InputError(f"nothing answers at {endpoint.url}; `make serve` starts a local endpoint")
    with json_output(arguments.json) as print_json:
        print(f"Checking {endpoint.url}")
        steps = []
        for step in contract_steps(endpoint, bool(arguments.key), arguments.image_url):
            sign = "✓" if step.is_passed else "✗"
            print(f"{sign} {step.name:<15}{step.ms:7.0f} ms  {step.found}", flush=True)
            steps.append(step)
        photos = photo_files(arguments.photos)
        answers = []
        columns = [max((len(str(photo)) for photo in photos), default=0)]
        columns.append(max(len(label) for label in [*endpoint.labels, "label"]))
        if photos:
            print("\n" + row(columns, "photo", "label", "probability", "    ms"))
        for answer in classify_photos(endpoint, photos):
            found = [answer.label, f"{answer.probability:11.3f}"] if answer.probability is not None else []
            print(
                row(columns, str(answer.path), *(found or [f"✗ {answer.error}"]), f"{answer.ms:6.0f}"),
                flush=True,
            )
            answers.append(answer)
        failures = sum(not step.is_passed for step in steps) + sum(bool(answer.error) for answer in answers)
        print(f"\n{failures} failed" if failures else "\nAll checks passed.")
        figures = {
            "checks": [step._asdict() for step in steps],
            "photos": [each._asdict() for each in answers],
        }
        print_json({"endpoint": endpoint.url, "failures": failures, **figures})
    return 1 if failures else 0


def make_parser() -> CommandParser:
    parser = parser_for("test", __doc__)
    add = parser.add_argument
    add("url", nargs="?", default="http://127.0.0.1:8080", help="the endpoint (%(default)s)")
    add("--key", "--api-key", default=os.environ.get(KEY_VARIABLE), help=f"{KEY_HELP}. {TWO_KEYS}")
    add("--origin", default="https://example.com", help="a web page that may read the answers (%(default)s)")
    add(
        "--image-url",
        metavar="URL",
        help="an http(s):// or s3:// link to a photo that the endpoint can fetch",
    )
    add(
        "--photos",
        nargs="*",
        type=Path,
        metavar="PATH",
        default=sample_photos(),
        help="files or folders (the test photos of data/sample)",
    )
    add(
        "--wait",
        type=float,
        default=0,
        metavar="SECONDS",
        help="time to give an endpoint that is starting (0)",
    )
    add_options(parser, "--json")
    return parser


def sample_photos() -> list[Path]:
    folders = [shipped("sample") / name for name in ("test", "unlabelled")]
    return [folder for folder in folders if folder.is_dir()]  # an image holds none


def row(widths: Sequence[int], *cells: str) -> str:
    """The first cells padded to these widths."""
    padded = [f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=False)]
    return "  ".join([*padded, *cells[len(padded) :]])

"""Smoke check of a running endpoint, local or deployed: does it answer as openapi.yaml promises?

    python test.py                                             # http://127.0.0.1:8080
    python test.py https://….amazonaws.com/prod --key KEY --image-url https://example.com/photo.jpg
    python test.py --photos holiday/

Prints one line for each check, then each photo with its label, probability and time. Exit code 0 if all is
well, 1 if not. Needs nothing but HTTP: no model, no TensorFlow, and of the packages only requests.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lenslet.checks.contract import CHECKS, check_closed, check_link
from lenslet.checks.endpoint import (
    KEY_VARIABLE,
    CheckError,
    Endpoint,
    connect,
    encoded,
    is_reachable,
    look_up,
)

SAMPLE = Path(__file__).parents[2] / "data" / "sample"


def main(argv: list[str] | None = None) -> int:
    arguments = read_arguments(argv)
    try:
        endpoint = connect(arguments.url, arguments.key, arguments.origin)
    except CheckError as failure:
        print(f"lenslet test: {failure}", file=sys.stderr)
        return 1
    if not is_reachable(endpoint, arguments.wait):
        print(
            f"lenslet test: nothing answers at {endpoint.url}; `make serve` starts a local endpoint",
            file=sys.stderr,
        )
        return 1
    print(f"Checking {endpoint.url}")
    checks = dict(CHECKS)
    if arguments.key:
        checks["without a key"] = check_closed
    if arguments.image_url:
        checks["a link"] = lambda endpoint: check_link(endpoint, arguments.image_url)
    failures = sum(not run_check(name, check, endpoint) for name, check in checks.items())
    photos = find_photos(arguments.photos)
    if photos:
        print()
        failures += classify_photos(endpoint, photos)
    print(f"\n{failures} failed" if failures else "\nAll is well.")
    return 1 if failures else 0


def read_arguments(argv: list[str] | None) -> argparse.Namespace:
    description, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", nargs="?", default="http://127.0.0.1:8080", help="the endpoint (%(default)s)")
    parser.add_argument(
        "--key",
        "--api-key",
        default=os.environ.get(KEY_VARIABLE),
        help="sent as X-Api-Key; without it, nothing may be answered ($LENSLET_API_KEY). A second one, for a "
        "function that asks for one behind a gateway that does, is sent as Bearer ($LENSLET_BEARER_KEY)",
    )
    parser.add_argument(
        "--origin",
        default=Endpoint.origin,
        help="of a web page that may read the answers, if not every page may (%(default)s)",
    )
    parser.add_argument(
        "--image-url", help="an http(s):// or s3:// link to a photo that the endpoint can fetch"
    )
    parser.add_argument(
        "--photos",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="files or folders (the test photos of data/sample)",
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=0,
        metavar="SECONDS",
        help="time to give an endpoint that is starting (0)",
    )
    return parser.parse_args(argv)


def run_check(name: str, check: Callable[[Endpoint], str], endpoint: Endpoint) -> bool:
    started = time.perf_counter()
    try:
        sign, found = "✓", check(endpoint)
    except CheckError as failure:
        sign, found = "✗", str(failure)
    print(f"{sign} {name:<15}{(time.perf_counter() - started) * 1000:7.0f} ms  {found}", flush=True)
    return sign == "✓"


def classify_photos(endpoint: Endpoint, photos: list[Path]) -> int:
    """Print a table of the photos. Returns how many could not be classified."""
    width = max(len(str(photo)) for photo in photos)
    label_width = max(len(label) for label in [*endpoint.labels, "label"])
    print(f"{'photo':<{width}}  {'label':<{label_width}}  probability      ms")
    failures = 0
    for photo in photos:
        started = time.perf_counter()
        try:
            answer = endpoint.ask(
                "POST", "/predict", 200, json={"image": encoded(photo.read_bytes()), "top": 1}
            )
            best = look_up(answer, "predictions")[0]
            found = f"{best['label']:<{label_width}}  {best['probability']:11.3f}"
        except (CheckError, OSError) as failure:
            failures += 1
            found = f"✗ {failure}"
        print(f"{photo!s:<{width}}  {found}  {(time.perf_counter() - started) * 1000:6.0f}", flush=True)
    return failures


def find_photos(paths: list[Path] | None) -> list[Path]:
    """The files in `paths` and in the folders among them; without `paths`, the drawings kept for testing."""
    if paths is None:
        paths = [folder for folder in (SAMPLE / "test", SAMPLE / "unlabelled") if folder.is_dir()]
    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    return [shortest(file) for file in files if not file.is_dir() and not file.name.startswith(".")]


def shortest(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    sys.exit(main())

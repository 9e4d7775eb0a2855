"""Fuzz `lambda_func.handler` with malformed events: every answer must be as in `openapi.yaml`, and none a 5xx.

    python -m fuzz.handler --inputs 20000

Hypothesis generates events of payload 1.0, payload 2.0 and direct invokes, and reduces the first that fails to its
smallest form; the command then ends with exit code 1.
"""

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema
import yaml
from hypothesis import HealthCheck, given, seed, settings

import lambda_func
from bench.console import at_least_one
from fuzz.events import EVENTS, MODEL
from lenslet.inference import errors
from lenslet.serving import feedback

MAX_SECONDS = 5.0
CONTRACT = yaml.safe_load((Path(__file__).parent.parent / "openapi.yaml").read_text(encoding="utf-8"))
STATUSES = {
    each.code: each.status
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, errors.LensletError)
}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m fuzz.handler",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--inputs",
        type=at_least_one,
        default=2_000,
        metavar="N",
        help="how many events (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers (default: %(default)s)")
    arguments = parser.parse_args(argv)
    lambda_func.telemetry.level, lambda_func.telemetry.writes_metrics = "CRITICAL", False
    answered = ask_many(arguments.inputs, arguments.seed)
    stored = answered.pop("corrections stored")
    print(f"{answered.total():,} events, all answered as documented:")
    for kind, count in answered.most_common():
        print(f"{count:>10,}  {kind}")
    print(f"{stored:,} different corrections stored")


def ask_many(inputs: int, random_seed: int) -> Counter[str]:
    """Number of answers by status, or by code of a direct invoke. Raises: AssertionError, errors of jsonschema."""
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, LENSLET_FEEDBACK=folder),
        mock.patch.object(feedback, "MAX_PER_MINUTE", inputs),  # else twenty corrections in a minute
        mock.patch.object(feedback, "MAX_PER_DAY", inputs),
    ):
        answered = _ask_many(inputs, random_seed)
        answered["corrections stored"] = check_stored(Path(folder))
    return answered


def check_stored(folder: Path) -> int:
    """The number of corrections; each has a photo and a label of the model, or none."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    for record in records:
        assert record["label"] is None or record["label"] in MODEL.labels, record
    photos = {path.name for path in folder.glob("*.jpg")}
    assert photos == {record["photo"] for record in records}
    assert len(list(folder.iterdir())) == len(photos) + len(records), "something else was written"
    return len(records)


def _ask_many(inputs: int, random_seed: int) -> Counter[str]:
    answered: Counter[str] = Counter()

    @seed(random_seed)
    @settings(max_examples=inputs, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(event=EVENTS)
    def ask(event: object) -> None:
        started = time.perf_counter()
        answer = lambda_func.handler(event, None)
        assert time.perf_counter() - started < MAX_SECONDS, "too slow"
        answered[check_http(answer) if "statusCode" in answer else check_direct(answer)] += 1

    ask()
    return answered


def check_http(answer: dict[str, Any]) -> str:
    status = answer["statusCode"]
    if status == 204:
        assert answer["body"] == ""
        return "204"
    content = json.loads(answer["body"], parse_constant=_refuse)
    if status == 200:
        VALIDATORS["answer"].validate(content)
        return "200"
    code = check_error(content)
    assert status == STATUSES[code]
    return f"{status} {code}"


def check_direct(answer: dict[str, Any]) -> str:
    json.dumps(answer, allow_nan=False)
    if "error" in answer:
        return f"direct invoke, {check_error(answer)}"
    VALIDATORS["direct"].validate(answer)
    return "direct invoke, answered"


def check_error(content: dict[str, Any]) -> str:
    """The error's code; its status must be below 500, and its message must contain no traceback."""
    VALIDATORS["error"].validate(content)
    code, message = content["error"]["code"], content["error"]["message"]
    assert STATUSES[code] < 500, content
    assert "Traceback (most" not in message and str(Path(__file__).parent.parent) not in message, message
    return str(code)


def _validator(*schemas: str) -> jsonschema.Draft202012Validator:
    choices = [{"$ref": f"#/components/schemas/{schema}"} for schema in schemas]
    return jsonschema.Draft202012Validator({"oneOf": choices, "components": CONTRACT["components"]})


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


VALIDATORS = {
    "answer": _validator("Prediction", "Results", "Description", "Models", "Health", "Contract", "Feedback"),
    "direct": _validator("Prediction", "Results"),
    "error": _validator("Error"),
}

if __name__ == "__main__":
    main()

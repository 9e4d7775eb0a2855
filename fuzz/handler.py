"""Fuzz `lambda_func.handler` with malformed events: every answer must be as in `openapi.yaml`, and none a 5xx.

    python -m fuzz.handler --inputs 20000

Hypothesis generates events of payload 1.0, payload 2.0 and direct invokes, and reduces the first that fails to its
smallest form; the command then ends with exit code 1.
"""

import argparse
import base64
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

os.environ["POWERTOOLS_METRICS_DISABLED"] = "true"
os.environ["POWERTOOLS_LOG_LEVEL"] = "CRITICAL"

import lambda_func
from bench.console import at_least_one
from fuzz.seeds import pictures
from lenslet.inference import errors

MAX_SECONDS = 5.0
CONTRACT = yaml.safe_load((Path(__file__).parent.parent / "openapi.yaml").read_text(encoding="utf-8"))
STATUSES = {
    each.code: each.status
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, errors.LensletError)
}


def either(*kinds: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One of these with equal probability; `st.one_of` would weight them by their branches."""
    return st.sampled_from(kinds).flatmap(lambda kind: kind)


# Valid values are frequent, so that invalid ones are also reached in the fields after them.
METHODS = st.sampled_from(["POST"] * 12 + ["GET", "OPTIONS", "PUT", "HEAD", "post", ""])
PATHS = st.sampled_from(
    ["/predict"] * 12 + ["/", "/health", "/predict/", "//predict", "/nothing", "", "/prod/predict"]
)
TYPES = st.sampled_from(
    ["application/json", "image/png", "image/jpeg; charset=x", "IMAGE/*", "text/html", ""]
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
# No host names, because they would be looked up in the network.
LINKS = st.sampled_from(
    [
        "http://127.0.0.1/a.jpg",
        "https://[::1]/",
        "file:///etc/passwd",
        "s3://bucket/key",
        "http://169.254.169.254/",
    ]
) | st.text(max_size=30).filter(lambda text: "://" not in text)
PICTURES = st.sampled_from(pictures())
DAMAGED = st.builds(
    lambda picture, place, part: (
        picture[: place % len(picture)] + part + picture[place % len(picture) + len(part) :]
    ),
    PICTURES,
    st.integers(0, 4000),
    st.binary(max_size=4),
)
BYTES = either(PICTURES, DAMAGED, st.binary(max_size=60))
BASE64 = BYTES.map(lambda data: base64.b64encode(data).decode())
ENCODED = BASE64 | BASE64.map(lambda text: f"data:image/png;base64,{text}") | st.text(max_size=30)
PHOTO = either(st.fixed_dictionaries({"image": ENCODED}), st.fixed_dictionaries({"url": LINKS}), ANY_JSON)
OPTIONS = {"top": st.integers(1, 9) | ANY_JSON, "explain": either(st.booleans(), ANY_JSON)}
REQUESTS = either(
    st.fixed_dictionaries({"image": BASE64}),
    st.fixed_dictionaries({"image": ENCODED}, optional=OPTIONS),
    st.fixed_dictionaries({"url": LINKS}, optional=OPTIONS),
    st.fixed_dictionaries({"images": st.lists(PHOTO, max_size=3)}, optional=OPTIONS),
    st.fixed_dictionaries(
        {}, optional={"image": ENCODED | ANY_JSON, "url": LINKS, "images": ANY_JSON, **OPTIONS}
    ),
    st.dictionaries(st.text(max_size=8), ANY_JSON, max_size=3),
)
JSON_BODIES = REQUESTS.map(json.dumps)
BODIES = either(
    JSON_BODIES,
    JSON_BODIES,
    JSON_BODIES.map(lambda text: base64.b64encode(text.encode()).decode()),
    BASE64,
    ANY_JSON.map(json.dumps),
    st.sampled_from(
        ["[" * 100_000, '{"top":' * 50_000, '{"image": "", "image": 1}', '{"top": 1e999}', "9" * 5000]
    ),
    st.text(max_size=60),
    st.none(),
)
QUERIES: st.SearchStrategy[Any] = (
    st.none()
    | st.just({})
    | st.dictionaries(
        st.sampled_from(["top", "explain", "x"]),
        st.sampled_from(["1", "0", "true", "", "99999999999", "²", "NaN"]),
    )
)
HEADERS = st.none() | st.builds(
    lambda name, kind, others: {**others, name: kind},
    st.sampled_from(["Content-Type", "content-type", "CONTENT-TYPE"]),
    TYPES | st.none(),
    st.dictionaries(st.text(max_size=8), st.text(max_size=8) | st.none(), max_size=2),
)
COMMON = {
    "body": BODIES,
    "isBase64Encoded": st.booleans(),
    "headers": HEADERS,
    "queryStringParameters": QUERIES,
}
PAYLOAD_1 = st.fixed_dictionaries(
    {
        "httpMethod": METHODS,
        "path": PATHS,
        "requestContext": st.fixed_dictionaries({"stage": st.just("prod")}),
    },
    optional=COMMON,
)
PAYLOAD_2 = st.fixed_dictionaries(
    {
        "rawPath": PATHS,
        "requestContext": METHODS.map(lambda method: {"stage": "$default", "http": {"method": method}}),
    },
    optional=COMMON,
)
EVENTS = either(PAYLOAD_1, PAYLOAD_1, PAYLOAD_2, PAYLOAD_2, REQUESTS, ANY_JSON)


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
    answered = ask_many(arguments.inputs, arguments.seed)
    print(f"{answered.total():,} events, all answered as documented:")
    for kind, count in answered.most_common():
        print(f"{count:>10,}  {kind}")


def ask_many(inputs: int, random_seed: int) -> Counter[str]:
    """Number of answers by status, or by code of a direct invoke. Raises: AssertionError, errors of jsonschema."""
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
    "answer": _validator("Prediction", "Results", "Description", "Health"),
    "direct": _validator("Prediction", "Results"),
    "error": _validator("Error"),
}

if __name__ == "__main__":
    main()

"""The Lambda function: an event of API Gateway, Function URL or direct invoke in, predictions as JSON out.

Entry point: `lambda_func.handler(event, context)`; the contract is `openapi.yaml`. The model folder is
`model/` beside this file, or the one that the environment variable LENSLET_MODEL names.

`lambda_func.label_upload(event, context)` is the entry point for photos that are put into an S3 bucket.
"""

import json
import os
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics.functions import is_metrics_disabled
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from lenslet.inference.budget import bound_freed_memory
from lenslet.inference.classifier import Classifier
from lenslet.inference.errors import LensletError, MethodNotAllowed, UnknownPath
from lenslet.serving.access import read_access
from lenslet.serving.answer import answer, description, refusal
from lenslet.serving.links.rules import read_rules
from lenslet.serving.request import HttpRequest, predict_request_of, read_http_request, read_predict_request
from lenslet.serving.uploads import answer_upload, read_uploads

# Metrics and log bear this name; the stages of one account are told apart by it.
SERVICE = os.environ.get("POWERTOOLS_SERVICE_NAME") or "lenslet"

# The one module whose import does something: Lambda gives that phase a full CPU, and no caller waits for it.
bound_freed_memory()
access = read_access(os.environ)
read_rules(os.environ)  # a setting that makes no sense must stop the start, not the first link
classifier = Classifier.load(Path(os.environ.get("LENSLET_MODEL") or Path(__file__).parent / "model"))
try:
    logger = Logger(service=SERVICE)
    is_metrics_disabled()
except ValueError as error:  # which names no setting
    raise ValueError(f"POWERTOOLS_LOG_LEVEL or POWERTOOLS_METRICS_DISABLED: {error}") from error

# HEAD is what uptime monitors ask with. It is answered as GET; whoever speaks HTTP leaves the body out.
READING = ("GET", "HEAD")
# A table of our own and not powertools' resolvers: those keep the current event on a class
# (`BaseRouter.current_event = …` in 3.37), and mix up requests when lenslet serve calls from several threads.
ROUTES: dict[str, dict[str, Callable[[HttpRequest], dict[str, Any]]]] = {
    "/": dict.fromkeys(READING, lambda call: description(classifier.artifact)),
    "/health": dict.fromkeys(READING, lambda call: {"status": "ok"}),
    "/predict": {"POST": lambda call: answer(read_predict_request(call), classifier)},
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OPEN_PATHS = ("/health",)  # load balancers have no key


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Answer one event, failures too. HTTP gets a proxy response, a direct invoke the JSON object itself."""
    started = time.perf_counter()
    # Passed with each line of the log: the logger's own keys are shared by all threads.
    about: dict[str, Any] = {"request_id": getattr(context, "aws_request_id", None)}
    call = None
    try:
        call = read_http_request(event)
        if call:
            about |= _asked(call)
        status, content = _route(call) if call else (200, answer(predict_request_of(event), classifier))
        body = json.dumps(content, allow_nan=False) if content else ""
    except LensletError as error:
        status, content = error.status, refusal(error)
        body = json.dumps(content)
    except Exception as error:
        _report("unexpected error", error, about)
        status, content = 500, refusal(LensletError("the request failed; the reason is in the service's log"))
        body = json.dumps(content)
    _record(status, content, about, latency_ms=(time.perf_counter() - started) * 1000)
    return _http(call, status, body) if call else content


def check_key(event: dict[str, Any]) -> None:
    """Whether the caller of an HTTP event is let in, which its head says: a server need not take the body first.

    Raises: KeyMissing, KeyRefused.
    """
    call = read_http_request(event)
    if call:
        _check_key(call)


def label_upload(event: Any, context: Any) -> None:
    """Lay an answer beside each photo that an event of S3 names.

    Raises: RuntimeError, after the others are done, if S3 or the service failed with one: Lambda tries it again.
    """
    failures = 0
    for upload in read_uploads(event):
        started = time.perf_counter()
        about = {"request_id": getattr(context, "aws_request_id", None)}
        try:
            answered = answer_upload(upload, classifier)
        except Exception as error:
            _report("a photo got no answer", error, about)
            failures += 1
            continue
        if answered:
            _record(*answered, about, latency_ms=(time.perf_counter() - started) * 1000)
    if failures:
        raise RuntimeError(f"{failures} of the event's photos got no answer; the log above says why")


def refuse_event(event: Any, context: Any, error: LensletError) -> dict[str, Any]:
    """Answer an HTTP event with `error` of the server around this function: headers, JSON and log as `handler`'s."""
    call = read_http_request(event)
    if not call:
        raise TypeError("only an HTTP event has an answer with headers")
    about = {"request_id": context.aws_request_id, **_asked(call)}
    _record(error.status, refusal(error), about, latency_ms=0)
    return _http(call, error.status, json.dumps(refusal(error)))


def _asked(call: HttpRequest) -> dict[str, Any]:
    """What the log tells of a request. What is not known may hold anything, a signed link for instance."""
    return {
        "method": call.method if call.method in METHODS else None,
        "path": call.path if call.path in ROUTES else None,
    }


def _check_key(call: HttpRequest) -> None:
    if call.method != "OPTIONS" and call.path not in OPEN_PATHS:
        access.check_key(call.headers)


def _route(call: HttpRequest) -> tuple[int, dict[str, Any]]:
    _check_key(call)
    if call.path not in ROUTES:
        raise UnknownPath(f"there is nothing at this path; there is at {', '.join(ROUTES)}")
    methods = ROUTES[call.path]
    if call.method == "OPTIONS":  # a browser asks before it posts; the headers are the answer
        return 204, {}
    if call.method not in methods:
        raise MethodNotAllowed(f"{call.path} takes {', '.join(methods)}")
    return 200, methods[call.method](call)


def _http(call: HttpRequest, status: int, body: str) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", **access.cors_headers(call.headers.get("origin"))}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 405:
        headers["Allow"] = ", ".join([*ROUTES[call.path], "OPTIONS"])
    return {"statusCode": status, "headers": headers, "body": body, "isBase64Encoded": False}


def _record(status: int, content: dict[str, Any], about: dict[str, Any], latency_ms: float) -> None:
    """One line of log for every event, metrics for every prediction. No image and no link is written."""
    results = [result for result in content.get("results", [content]) if "predictions" in result]
    labels = [result["predictions"][0]["label"] for result in results]
    failure = content.get("error", {}).get("code")
    logger.info(
        "answered", **about, status=status, code=failure, latency_ms=round(latency_ms, 2), labels=labels
    )
    if not results or is_metrics_disabled():
        return
    measured = [("Latency", "Milliseconds", round(latency_ms, 2))]
    measured += [("Uncertain", "Count", int(not result["is_certain"])) for result in results]
    measured += [("OutOfDistribution", "Count", int(not result["is_in_distribution"])) for result in results]
    _write_metrics(measured)
    for label, count in Counter(labels).items():
        in_ascii = ascii(label)[1:-1]  # CloudWatch takes no other text as a dimension
        _write_metrics([("Predictions", "Count", count)], Label=in_ascii)


def _write_metrics(measured: list[tuple[str, str, float]], **dimensions: str) -> None:
    """One line in CloudWatch's embedded metric format.

    A provider for each line: powertools' `Metrics` is one set of state for all threads. Written here, because
    its `flush_metrics` prints line and line end in two steps, between which another thread may print.
    """
    provider = AmazonCloudWatchEMFProvider(namespace="Lenslet", service=SERVICE, dimension_set=dimensions)
    for name, unit, value in measured:
        provider.add_metric(name, unit, value)
    sys.stdout.write(json.dumps(provider.serialize_metric_set()) + "\n")


def _report(message: str, error: Exception, about: dict[str, Any]) -> None:
    about = about | {"exception": _trace(error), "exception_name": type(error).__name__}
    logger.error(message, **about, stacklevel=3)  # where it was called, and not this line, is in the log


def _trace(error: Exception) -> str:
    """The traceback, with the query of any link in it cut off: it may hold a signature."""
    return re.sub(r"\?[^\s'\"]+", "?…", "".join(traceback.format_exception(error)))

"""The Lambda function: an event of API Gateway, a Function URL or a direct invoke in, predictions as JSON out.

Entry point: `lambda_func.handler(event, context)`; `openapi.yaml` is its contract. The model folder is `model/`
beside this file, or the one that the environment variable LENSLET_MODEL names; LENSLET_MODELS adds others.

`lambda_func.label_upload(event, context)` is the entry point for photos that are put into an S3 bucket,
`lambda_func.label_batch(event, context)` the one for the tasks of a batch (infra/batch.yaml).
"""

import json
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

from lenslet.inference.budget import bound_freed_memory
from lenslet.inference.errors import LensletError
from lenslet.serving.access import read_access
from lenslet.serving.answer import check_size, predict, refusal
from lenslet.serving.feedback import read_feedback_place
from lenslet.serving.formats import read_formats
from lenslet.serving.gateway import read_base_path, read_http_request
from lenslet.serving.links.rules import read_rules
from lenslet.serving.models import load_models
from lenslet.serving.request import predict_request_of
from lenslet.serving.routes import logged_fields, proxy_response, route
from lenslet.serving.settings import check_settings
from lenslet.serving.shadow import Sample, read_shadow
from lenslet.serving.telemetry import Telemetry
from lenslet.serving.uploads import answer_uploads

# The one module whose import does something: Lambda gives that phase a full CPU, and no caller waits for it.
bound_freed_memory()
check_settings(os.environ)
access = read_access(os.environ)
# Read again with each link and each request; a malformed setting stops the start, not the first of them.
read_rules(os.environ)
read_base_path(os.environ)
read_formats(os.environ)
read_feedback_place(os.environ)
models = load_models(os.environ, Path(os.environ.get("LENSLET_MODEL") or Path(__file__).parent / "model"))
telemetry = Telemetry(os.environ)
shadow = read_shadow(os.environ, models.default.artifact, telemetry.report_candidate)


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Answer one event, failures too: HTTP with a proxy response, a direct invoke with the JSON object itself."""
    started = time.perf_counter()
    # Passed with each line of the log: the logger's own keys are shared by all threads.
    log_fields: dict[str, Any] = {"request_id": getattr(context, "aws_request_id", None)}
    request = own_version = None
    samples: list[Sample] = []
    keep = partial(shadow.draw, samples) if shadow else None
    try:
        own_version = models.default.artifact.version
        request = read_http_request(event)
        if request:
            log_fields |= logged_fields(request)
            status, content = route(request, models, access, keep)
        else:
            status, content = 200, predict(predict_request_of(event), models, keep)
        body = json.dumps(content, allow_nan=False) if content else ""
        check_size(body)
    except LensletError as error:
        status, content = error.status, refusal(error)
        body = json.dumps(content)
    except Exception as error:
        telemetry.log_exception("unexpected error", error, log_fields)
        status, content = 500, refusal(LensletError("the request failed; the reason is in the service's log"))
        body = json.dumps(content)
    latency_ms = (time.perf_counter() - started) * 1000
    telemetry.record(status, content, log_fields, latency_ms, own_version)
    if shadow:
        shadow.offer(samples, log_fields["request_id"])
    return proxy_response(request, status, body, access) if request else content


def label_upload(event: Any, context: Any) -> None:
    """Write an answer beside each photo that an event of S3 names.

    Raises: RuntimeError, after the other photos are done, if S3 or the service failed with one: Lambda tries again.
    """
    answer_uploads(event, context, models.default, telemetry)


def label_batch(event: Any, context: Any) -> dict[str, Any]:
    """Do one task of a batch: plan it, classify a part, or write its manifest (`lenslet.serving.label_batch`).

    Raises: TaskRefused, which no retry mends; StorageAway, which one may.
    """
    from lenslet.serving.label_batch import (
        run_task,  # 4 ms, which the start of the other entry points does not need
    )

    return run_task(event, models.default)

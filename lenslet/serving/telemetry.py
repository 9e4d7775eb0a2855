"""Log lines and CloudWatch metrics of the function, in JSON on the standard output."""

import json
import re
import sys
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics.functions import is_metrics_disabled
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from lenslet.serving.answer import Predicted

Metric = tuple[str, str, float]  # name, unit, value
NAMESPACE = "Lenslet"  # of the metrics; the stages of one account are told apart by the service's name
LINK_FAILURES = (
    "link_failed",
    "link_timeout",
)  # codes of answers 502 and 504, whose cause is a link's server


class Telemetry:
    """One service's log and metrics; may be used by many threads at once."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Read the settings of powertools. Raises ValueError if one of them is malformed."""
        self.service = environment.get("POWERTOOLS_SERVICE_NAME") or "lenslet"
        try:
            self.logger = Logger(service=self.service, json_serializer=_log_line)
            self._is_lost = False
            for handler in self.logger.handlers:
                handler.handleError = _raise  # type: ignore[method-assign]
            is_metrics_disabled()
        except ValueError as error:  # which names no setting
            raise ValueError(f"POWERTOOLS_LOG_LEVEL or POWERTOOLS_METRICS_DISABLED: {error}") from error

    def record(
        self,
        status: int,
        content: Mapping[str, Any],
        log_fields: Mapping[str, Any],
        latency_ms: float,
        own_version: str | None = None,
    ) -> None:
        """Write a line of log for an answered event, and metrics for its predictions. No image or link is written.

        `own_version`: of the default model; metrics of another one have its name as a dimension. A log that cannot be
        written (full disk, closed pipe) is no failure of the request: it is said once.
        """
        try:
            self._record(status, content, log_fields, latency_ms, own_version)
        except (OSError, ValueError) as error:  # ValueError: the standard output is closed
            self._say_lost(error)

    def record_comparison(
        self,
        request_id: str | None,
        served: tuple[str, float],
        candidate: tuple[str, float],
        version: str,
        cpu_ms: float,
        skipped: int,
    ) -> None:
        """Write a line of log and metrics for a candidate's answer beside the served one, (label, probability) each.

        `version`: of the candidate. `skipped`: samples before this one that it did not get to.
        """
        agrees = served[0] == candidate[0]
        fields: dict[str, Any] = {
            "label": served[0],
            "confidence": round(served[1], 6),
            "agrees": agrees,
            "skipped": skipped,
        }
        fields |= {"candidate_label": candidate[0], "candidate_confidence": round(candidate[1], 6)}
        fields |= {"candidate_version": version, "candidate_cpu_ms": round(cpu_ms, 2)}
        fields["skipped"] = skipped
        try:
            self.logger.info("compared", request_id=request_id, **fields)
            if not is_metrics_disabled():
                counts = {"ShadowDisagreements": int(not agrees), "ShadowSkipped": skipped}
                self._write_metrics([(name, "Count", count) for name, count in counts.items()])
        except (OSError, ValueError) as error:
            self._say_lost(error)

    def report_candidate(self, reason: str) -> None:
        """Write a line of log for a candidate that failed."""
        try:
            self.logger.error(f"the model of LENSLET_SHADOW has failed: {reason}")
        except (OSError, ValueError) as lost:
            self._say_lost(lost)

    def _record(
        self,
        status: int,
        content: Mapping[str, Any],
        log_fields: Mapping[str, Any],
        latency_ms: float,
        own_version: str | None,
    ) -> None:
        results = [result for result in content.get("results", [content]) if "predictions" in result]
        labels = [result["predictions"][0]["label"] for result in results]
        code = content.get("error", {}).get("code")
        rounded_ms = round(latency_ms, 2)
        model = results[0]["model"] if results else {}
        # For `lenslet drift`; in the order of `labels`.
        scores: dict[str, Any] = {
            "confidence": [result["predictions"][0]["probability"] for result in results],
            "ood_score": [result["ood_score"] for result in results],
        }
        if results and all(isinstance(result, Predicted) for result in results):
            scores["entropy"] = [result.entropy for result in results]
        if model:
            scores["version"] = model["version"]  # of the model
        self.logger.info(
            "answered", **log_fields, status=status, code=code, latency_ms=rounded_ms, labels=labels, **scores
        )
        if is_metrics_disabled():
            return
        # With every answer, 0 or 1: an alarm takes them off the gateway's failures, minute by minute.
        metrics: list[Metric] = [("LinkFailures", "Count", int(code in LINK_FAILURES))]
        if model and model["version"] != (own_version or model["version"]):
            self._write_metrics(metrics)
            self._write_predictions(results, rounded_ms, [], Model=_in_ascii(model["name"]))
        else:
            self._write_predictions(results, rounded_ms, metrics)

    def _write_predictions(
        self, results: Sequence[Any], latency_ms: float, metrics: list[Metric], **dimensions: str
    ) -> None:
        """Metrics of the photos that one request had answered, in one line with these `metrics`; and one a label."""
        if results:
            metrics.append(("Latency", "Milliseconds", latency_ms))
        metrics += [("Uncertain", "Count", int(not result["is_certain"])) for result in results]
        metrics += [
            ("OutOfDistribution", "Count", int(not result["is_in_distribution"])) for result in results
        ]
        self._write_metrics(metrics, **dimensions)
        labels = Counter(result["predictions"][0]["label"] for result in results)
        for label, count in labels.items():
            self._write_metrics([("Predictions", "Count", count)], **dimensions, Label=_in_ascii(label))

    def log_exception(self, message: str, error: Exception, log_fields: Mapping[str, Any]) -> None:
        """Write a line of log with the traceback; the log names the caller's line, not this one."""
        fields = {**log_fields, "exception": _traceback(error), "exception_name": type(error).__name__}
        try:
            self.logger.error(message, **fields, stacklevel=3)
        except (OSError, ValueError) as lost:
            self._say_lost(lost)

    def _say_lost(self, error: Exception) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        with suppress(OSError, ValueError):
            print(f"the log cannot be written ({error}): requests are answered without it", file=sys.stderr)

    def _write_metrics(self, metrics: Sequence[Metric], **dimensions: str) -> None:
        """Write one line in CloudWatch's embedded metric format.

        A provider for each line: `Metrics` of powertools is one set of state for all threads. Written here, because
        its `flush_metrics` prints line and line end in two steps, between which another thread may print.
        """
        provider = AmazonCloudWatchEMFProvider(
            namespace=NAMESPACE, service=self.service, dimension_set=dimensions
        )
        for name, unit, value in metrics:
            provider.add_metric(name, unit, value)
        sys.stdout.write(json.dumps(provider.serialize_metric_set()) + "\n")


def _log_line(content: Mapping[str, Any]) -> str:
    """JSON as powertools writes it, and escaped what would steer a terminal: labels may hold anything."""
    text = json.dumps(content, default=str, separators=(",", ":"), ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def _in_ascii(text: str) -> str:
    """CloudWatch takes no other text as a dimension."""
    return ascii(text)[1:-1]


def _raise(record: object) -> None:
    """Instead of logging's own answer to a line that cannot be written, a traceback on standard error each time."""
    raise


def _traceback(error: Exception) -> str:
    """The traceback without the query of any link in it, which may hold a signature."""
    return re.sub(r"\?[^\s'\"]+", "?…", "".join(traceback.format_exception(error)))

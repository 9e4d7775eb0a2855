"""Log lines and CloudWatch metrics of the function, in JSON on the standard output."""

import json
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from lenslet.serving.answer import Predicted

Metric = tuple[str, str, float]  # name, unit, value
NAMESPACE = "Lenslet"  # of the metrics; the stages of one account are told apart by the service's name
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LINK_FAILURES = (
    "link_failed",
    "link_timeout",
)  # codes of answers 502 and 504, whose cause is a link's server


class Telemetry:
    """One service's log and metrics; may be used by many threads at once."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Read the settings of the log. Raises ValueError if one of them is malformed."""
        self.service = environment.get("LENSLET_SERVICE_NAME", "").strip() or "lenslet"
        level = environment.get("LENSLET_LOG_LEVEL", "").strip() or "INFO"
        if level.upper() not in LEVELS:
            raise ValueError(f"LENSLET_LOG_LEVEL takes {', '.join(LEVELS)}, not {level!r}")
        self.level = level.upper()
        is_off = environment.get("LENSLET_METRICS_DISABLED", "").strip() or "false"
        if is_off.lower() not in ("true", "false"):
            raise ValueError(f"LENSLET_METRICS_DISABLED takes true or false, not {is_off!r}")
        self.writes_metrics = is_off.lower() == "false"
        self._is_lost = False

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
        results = [result for result in content.get("results", [content]) if "predictions" in result]
        code = content.get("error", {}).get("code")
        lines = self._answered(results, status, code, log_fields, latency_ms)
        if self.writes_metrics:
            lines += self._metrics_of(results, code, latency_ms, own_version)
        self._write(lines)

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
        lines = self._line("INFO", "compared", {"request_id": request_id, **fields})
        if self.writes_metrics:
            counts = {"ShadowDisagreements": int(not agrees), "ShadowSkipped": skipped}
            lines += self._metrics([(name, "Count", count) for name, count in counts.items()])
        self._write(lines)

    def report_candidate(self, reason: str) -> None:
        """Write a line of log for a candidate that failed."""
        self._write(self._line("ERROR", f"the model of LENSLET_SHADOW has failed: {reason}", {}))

    def _answered(
        self,
        results: Sequence[Any],
        status: int,
        code: str | None,
        log_fields: Mapping[str, Any],
        latency_ms: float,
    ) -> list[str]:
        # For `lenslet drift`; in the order of `labels`.
        fields: dict[str, Any] = {
            "labels": [result["predictions"][0]["label"] for result in results],
            "confidence": [result["predictions"][0]["probability"] for result in results],
            "ood_score": [result["ood_score"] for result in results],
        }
        if results and all(isinstance(result, Predicted) for result in results):
            fields["entropy"] = [result.entropy for result in results]
        if results:
            fields["version"] = results[0]["model"]["version"]
        common = {"status": status, "code": code, "latency_ms": round(latency_ms, 2)}
        return self._line("INFO", "answered", {**log_fields, **common, **fields})

    def _metrics_of(
        self, results: Sequence[Any], code: str | None, latency_ms: float, own_version: str | None
    ) -> list[str]:
        # With every answer, 0 or 1: an alarm takes them off the gateway's failures, minute by minute.
        metrics: list[Metric] = [("LinkFailures", "Count", int(code in LINK_FAILURES))]
        model = results[0]["model"] if results else {}
        if model and model["version"] != (own_version or model["version"]):
            named = _in_ascii(model["name"])
            return self._metrics(metrics) + self._predictions(results, latency_ms, [], Model=named)
        return self._predictions(results, latency_ms, metrics)

    def _predictions(
        self, results: Sequence[Any], latency_ms: float, metrics: list[Metric], **dimensions: str
    ) -> list[str]:
        """Metrics of the photos that one request had answered, in one line with these `metrics`; and one a label."""
        if results:
            metrics.append(("Latency", "Milliseconds", round(latency_ms, 2)))
        metrics += [("Uncertain", "Count", int(not result["is_certain"])) for result in results]
        metrics += [
            ("OutOfDistribution", "Count", int(not result["is_in_distribution"])) for result in results
        ]
        lines = self._metrics(metrics, **dimensions)
        labels = Counter(result["predictions"][0]["label"] for result in results)
        for label, count in labels.items():
            lines += self._metrics([("Predictions", "Count", count)], **dimensions, Label=_in_ascii(label))
        return lines

    def log_exception(self, message: str, error: Exception, log_fields: Mapping[str, Any]) -> None:
        """Write a line of log with the traceback."""
        fields = {**log_fields, "exception": _traceback(error), "exception_name": type(error).__name__}
        self._write(self._line("ERROR", message, fields))

    def _write(self, lines: Sequence[str]) -> None:
        """Write whole lines at once: other threads write, too."""
        if not lines:
            return
        try:
            sys.stdout.write("".join(lines))
            sys.stdout.flush()
        except (OSError, ValueError) as error:  # ValueError: the standard output is closed
            self._say_lost(error)

    def _say_lost(self, error: Exception) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        with suppress(OSError, ValueError):
            print(f"the log cannot be written ({error}): requests are answered without it", file=sys.stderr)

    def _line(self, level: str, message: str, fields: Mapping[str, Any]) -> list[str]:
        """One line of log, or none below the level that is wanted; fields without a value are left out."""
        if LEVELS.index(level) < LEVELS.index(self.level):
            return []
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        content = {"level": level, "message": message, "timestamp": now, "service": self.service}
        content |= {name: value for name, value in fields.items() if value is not None}
        text = json.dumps(content, default=str, separators=(",", ":"), ensure_ascii=False)
        if not text.isprintable():  # labels may hold what would steer a terminal
            text = "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)
        return [text + "\n"]

    def _metrics(self, metrics: Sequence[Metric], **dimensions: str) -> list[str]:
        """One line in CloudWatch's embedded metric format, by which it makes metrics of the log."""
        values: dict[str, list[float]] = {}
        for name, _, value in metrics:
            values.setdefault(name, []).append(value)
        named = {"service": self.service, **dimensions}
        units = {name: unit for name, unit, _ in metrics}
        kinds = [{"Name": name, "Unit": unit} for name, unit in units.items()]
        directive = {"Namespace": NAMESPACE, "Dimensions": [list(named)], "Metrics": kinds}
        head = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
        return [json.dumps({"_aws": head, **named, **values}) + "\n"]


def _in_ascii(text: str) -> str:
    """CloudWatch takes no other text as a dimension."""
    return ascii(text)[1:-1]


def _traceback(error: Exception) -> str:
    """The traceback without the query of any link in it, which may hold a signature."""
    return re.sub(r"\?[^\s'\"]+", "?…", "".join(traceback.format_exception(error)))

"""Where a window's answers come from: the function's log, `lenslet predict` (CSV, JSON Lines), or CloudWatch Logs."""

import csv
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from lenslet.dataset.csv_file import text_of
from lenslet.evaluation.reference import SCORES
from lenslet.inference.errors import InputError
from lenslet.inference.json_text import parse_json
from lenslet.monitoring.drift import Window

CLOUDWATCH = "cloudwatch"
PROBABILITY = "probability: "  # before the label, in the columns of `lenslet predict --csv`
ANSWERED = "answered"  # the message of the line that the function logs for each event


class SourceError(InputError):
    """The source cannot be read; the message is one sentence with the remedy."""


@dataclass(frozen=True)
class Answer:
    """One answer: the predicted label, and those of SCORES that its source has."""

    label: str
    scores: Mapping[str, float]
    time: datetime | None = None
    version: str | None = None  # of the model that answered; logs of 0.1 do not have it


@dataclass(frozen=True)
class Books:
    """Answers that were read: `lines` = answers in the window + the sum of `left_out`."""

    window: Window
    lines: int
    left_out: Mapping[str, int]  # reason → count


def read_window(
    source: str,
    labels: Sequence[str],
    since: datetime | None = None,
    until: datetime | None = None,
    version: str | None = None,
) -> Books:
    """Answers of `source` from `since` (inclusive) to `until` (exclusive), both with a time zone.

    With `version`, those of another model, which a service or an earlier release may have, are left out.

    `source`: a file of the function's log (JSON lines), a CSV or JSON Lines of `lenslet predict`, or
        `cloudwatch://LOG-GROUP`.
    Raises: SourceError.
    """
    left_out: Counter[str] = Counter()
    answers: list[Answer] = []
    lines = 0
    for count, found in _records(source, labels, since, until):
        lines += count
        for each in found:
            if isinstance(each, str):
                left_out[each] += 1
            elif version and each.version not in (None, version):
                left_out["an answer of another model"] += 1
            elif each.label not in labels:
                left_out["a label that the model does not have"] += 1
            elif each.time and ((since and each.time < since) or (until and each.time >= until)):
                left_out["outside the window"] += 1
            else:
                answers.append(each)
    return Books(_window(answers, labels), lines, dict(left_out))


def _records(
    source: str, labels: Sequence[str], since: datetime | None, until: datetime | None
) -> Iterator[tuple[int, list[Answer | str]]]:
    """For each line of the source how many answers or reasons it holds, and these."""
    read: Iterable[list[Answer | str]]
    if urlsplit(source).scheme == CLOUDWATCH:
        read = map(_of_log_line, _cloudwatch(source, since, until))
    else:
        path = Path(source)
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise SourceError(f"{source} cannot be read: {error.strerror}") from error
        read = (
            _of_csv(text, source, labels) if path.suffix == ".csv" else map(_of_log_line, text.splitlines())
        )
    try:
        for found in read:
            yield len(found), found
    except csv.Error as error:
        raise SourceError(f"{source} is no CSV that can be read: {error}") from error


def _of_log_line(line: str) -> list[Answer | str]:
    """The answers of one line of the function's log, or of `lenslet predict`; or why it holds none."""
    if not line.strip():
        return []
    try:
        content = parse_json(line)
    except ValueError:
        return ["a line that is not JSON"]
    if isinstance(content, dict) and "file" in content:
        return [_of_json_row(content)]
    if not isinstance(content, dict) or content.get("message") != ANSWERED:
        return ["a line about something else"]
    labels = content.get("labels") or []
    if not labels:
        return ["a request without a prediction"]
    columns = {name: content[name] for name in SCORES if isinstance(content.get(name), list)}
    if not isinstance(labels, list) or any(len(values) != len(labels) for values in columns.values()):
        return ["a line with another number of scores than labels"]
    time, version = _time(content.get("timestamp")), content.get("version")
    try:
        return [
            Answer(
                str(label),
                {name: _finite(values[number]) for name, values in columns.items()},
                time,
                version if isinstance(version, str) else None,
            )
            for number, label in enumerate(labels)
        ]
    except (ValueError, TypeError):
        return ["a line whose numbers cannot be read"]


def _of_json_row(content: Mapping[str, Any]) -> Answer | str:
    """The answer for one photo, as `lenslet predict` writes it as JSON Lines."""
    if "predictions" not in content:
        return _no_answer(content)
    try:
        best, *others = content["predictions"]
        shares = [each["probability"] for each in (best, *others)]
        return Answer(str(best["label"]), _scores(shares[0], shares, content.get("ood_score")))
    except (ValueError, TypeError, LookupError):
        return "a row whose numbers cannot be read"


def _no_answer(row: Mapping[str, Any]) -> str:
    return f"a photo without an answer: {row.get('error') or 'no reason given'}"[:80]


def _scores(confidence: Any, shares: Sequence[Any], ood_score: Any) -> dict[str, float]:
    """Of one row; without all `shares` there is no entropy. Raises: ValueError, TypeError."""
    scores = {"confidence": _finite(confidence)}
    if shares:
        numbers = [max(_finite(share), math.ulp(0)) for share in shares]
        scores["entropy"] = -sum(share * math.log(share) for share in numbers)
    if ood_score not in (None, ""):
        scores["ood_score"] = _finite(ood_score)
    return scores


def _of_csv(text: str, source: str, labels: Sequence[str]) -> Iterator[list[Answer | str]]:
    rows = csv.DictReader(StringIO(text, newline=""))
    if not rows.fieldnames or not {"label", "probability"} <= set(rows.fieldnames):
        raise SourceError(
            f"{source} has no columns label and probability: write it with lenslet predict --csv"
        )
    columns = [f"{PROBABILITY}{label}" for label in labels]
    for row in rows:
        if not row["label"]:
            yield [_no_answer(row)]
            continue
        try:
            shares = [row[column] for column in columns if row.get(column)]
            is_whole = len(shares) == len(columns)
            scores = _scores(row["probability"], shares if is_whole else (), row.get("ood_score"))
        except (ValueError, TypeError):
            yield ["a row whose numbers cannot be read"]
            continue
        yield [Answer(text_of(row["label"]), scores)]


def _finite(value: Any) -> float:
    """Raises: ValueError, TypeError."""
    try:
        number = float(value)
    except OverflowError:  # a whole number of 400 digits
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{value} is no finite number")
    return number


def _cloudwatch(source: str, since: datetime | None, until: datetime | None) -> Iterator[str]:
    """The messages of a log group, `cloudwatch:///aws/lambda/NAME` or `cloudwatch://NAME`."""
    import boto3  # 200 ms, and an extra of its own
    from botocore.exceptions import BotoCoreError, ClientError

    place = urlsplit(source)
    group = f"{place.netloc}{place.path}"
    times: dict[str, Any] = {
        name: int(moment.timestamp() * 1000)
        for name, moment in (("startTime", since), ("endTime", until))
        if moment
    }
    try:
        pages = boto3.client("logs").get_paginator("filter_log_events")
        for page in pages.paginate(logGroupName=group, filterPattern=f'"{ANSWERED}"', **times):
            yield from (event["message"] for event in page["events"])
    except (BotoCoreError, ClientError) as error:
        raise SourceError(f"the log group {group} cannot be read: {error}") from error


def _time(text: object) -> datetime | None:
    """The time of a log line, in ISO 8601, or as former versions wrote it ("2026-11-28 10:00:00,123+0000")."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text.replace(",", "."))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def moment(text: str | None) -> datetime | None:
    """A time of the command line, in UTC where it names no zone. Raises ValueError."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time in ISO 8601, as 2026-11-01 or 2026-11-01T12:00") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _window(answers: Sequence[Answer], labels: Sequence[str]) -> Window:
    index = {label: number for number, label in enumerate(labels)}
    shared = [name for name in SCORES if answers and all(name in answer.scores for answer in answers)]
    return Window(
        predicted=np.array([index[answer.label] for answer in answers], np.int64),
        scores={name: np.array([answer.scores[name] for answer in answers]) for name in shared},
    )

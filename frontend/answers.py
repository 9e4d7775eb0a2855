"""A prediction of the endpoint (schema `Prediction` of `openapi.yaml`), in words, in a table and as CSV."""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

# Between the column `file` and the labels' columns; the same as in `lenslet predict --csv`.
COLUMNS = ("label", "probability", "is_certain", "prediction_set", "is_in_distribution", "ood_score")
LABELS_NAMED = 3  # of those that an answer cannot decide between
# As in lenslet/dataset/csv_file.py: text that a spreadsheet would take for a formula, and numbers, which are none.
FORMULA = re.compile(r"['=+\-@\t\r]")
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Answer:
    """The prediction for one photo; `grid` says what it rests on, rows from top to bottom, values 0…1."""

    ranked: tuple[tuple[str, float], ...]  # labels and probabilities, the most probable first
    is_certain: bool
    possible: tuple[str, ...]
    is_in_distribution: bool
    model: str
    grid: tuple[tuple[float, ...], ...] | None = None
    grid_kind: str = "activation_map"
    ood_score: float | None = None  # None: an endpoint of version 0.1.0
    possible_count: int = 0  # labels in the prediction set, where it has more than are in `possible`

    @property
    def label(self) -> str:
        return self.ranked[0][0]

    @property
    def probability(self) -> float:
        return self.ranked[0][1]


@dataclass(frozen=True)
class Row:
    """One line of the CSV file: an answer, or the reason why there is none."""

    file: str
    answer: Answer | None
    error: str = ""


def read_answer(content: Any) -> Answer:
    """Parse schema `Prediction` of openapi.yaml. Raises ValueError if `content` is something else."""
    try:
        ranked = tuple((str(each["label"]), float(each["probability"])) for each in content["predictions"])
        explanation = content.get("explanation")
        grid = (
            tuple(tuple(float(value) for value in row) for row in explanation["grid"])
            if explanation
            else None
        )
        answer = Answer(
            ranked=ranked,
            is_certain=bool(content["is_certain"]),
            possible=tuple(str(label) for label in content["prediction_set"]),
            is_in_distribution=bool(content["is_in_distribution"]),
            model=f"{content['model']['name']} {content['model']['version']}",
            grid=grid,
            grid_kind=str(explanation.get("kind", "activation_map")) if explanation else "activation_map",
            ood_score=float(content["ood_score"]) if "ood_score" in content else None,
            possible_count=int(content.get("prediction_set_size", 0)),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("the answer is not a prediction") from error
    if not ranked or (grid is not None and (not grid or len({len(row) for row in grid}) != 1)):
        raise ValueError("the prediction is incomplete")
    return answer


def in_words(label: str) -> str:
    """The label with spaces for underscores, which names of folders often have."""
    return label.replace("_", " ")


def percent(share: float) -> str:
    """One decimal; never "100 %", since no predicted probability is exactly 1."""
    if share >= 0.9995:
        return "over 99.9 %"
    return "under 0.1 %" if share < 0.0005 else f"{share:.1%}".replace("%", " %")


def either(labels: Sequence[str], last: str = "or") -> str:
    """Labels in a row, as "forest", "forest or sea", "forest, sea or street"."""
    words = [in_words(label) for label in labels]
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def some_of(labels: Sequence[str], count: int = 0) -> str:
    """The first labels in a row, and how many others there are, as "forest, sea, street or 4 others".

    `count`: of all labels, where there are more than in `labels`.
    """
    if len(labels) <= LABELS_NAMED:
        return either(labels)
    others = max(count, len(labels)) - LABELS_NAMED
    named = ", ".join(in_words(label) for label in labels[:LABELS_NAMED])
    return f"{named} or {others} other{'s' * (others > 1)}"


def both(labels: Sequence[str]) -> str:
    return either(labels, "and")


def verdict(answer: Answer) -> str:
    """How far the answer can be relied on, in one sentence."""
    if not answer.is_in_distribution:
        return (
            "Probably none of these labels: the photo does not resemble those that the model was trained on."
        )
    if not answer.is_certain:
        return f"Not sure: {some_of(answer.possible, answer.possible_count)}."
    return "Sure: no other label is likely enough to count."


def in_short(answer: Answer) -> str:
    """The verdict in one or two words, for a table."""
    if not answer.is_in_distribution:
        return "none of these?"
    return "sure" if answer.is_certain else some_of(answer.possible, answer.possible_count)


def region(grid: Sequence[Sequence[float]]) -> str:
    """Where the centre of mass of a map lies: "upper left", "centre", "lower right"…"""
    # Squared, so that small values all over the map do not pull it to the middle.
    grid = [[value**2 for value in row] for row in grid]
    total = sum(map(sum, grid))
    if not total:
        return "nowhere in particular"
    down = sum((y + 0.5) * sum(row) for y, row in enumerate(grid)) / total / len(grid)
    across = sum((x + 0.5) * value for row in grid for x, value in enumerate(row)) / total / len(grid[0])
    words = [_third(down, ("upper", "", "lower")), _third(across, ("left", "", "right"))]
    return " ".join(filter(None, words)) or "centre"


def _third(place: float, words: tuple[str, str, str]) -> str:
    return words[0] if place < 1 / 3 else words[2] if place > 2 / 3 else words[1]


def least_certain_first(answers: Iterable[tuple[Any, Answer]]) -> list[tuple[Any, Answer]]:
    """Pairs of anything and its answer, ordered by the answer's highest probability."""
    return sorted(answers, key=lambda pair: pair[1].probability)


def to_csv(rows: Sequence[Row], labels: Sequence[str]) -> str:
    """CSV with the columns of `lenslet predict --csv`: file, COLUMNS, a probability for each of `labels`, error."""
    text = StringIO(newline="")
    writer = csv.writer(text)
    header = ["file", *COLUMNS, *(f"probability: {label}" for label in labels), "error"]
    writer.writerow(map(_cell, header))
    writer.writerows([_cell(value) for value in _values(row, labels)] for row in rows)
    return text.getvalue()


def _values(row: Row, labels: Sequence[str]) -> list[object]:
    answer = row.answer
    if answer is None:
        return [row.file, *("" for _ in (*COLUMNS, *labels)), row.error]
    found = dict(answer.ranked)
    return [
        row.file,
        answer.label,
        f"{answer.probability:.6f}",
        answer.is_certain,
        "|".join(label.replace("|", r"\|") for label in answer.possible),
        answer.is_in_distribution,
        "" if answer.ood_score is None else f"{answer.ood_score:.4f}",
        *(f"{found[label]:.6f}" if label in found else "" for label in labels),
        "",
    ]


def _cell(value: object) -> object:
    is_formula = isinstance(value, str) and FORMULA.match(value) and not NUMBER.fullmatch(value)
    return f"'{value}" if is_formula else value

"""The answer for one photo, rounded as every format writes it; failures are rows with an error."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lenslet.inference.classifier import Prediction
from lenslet.serving.answer import OOD_SCORE_DECIMALS, PROBABILITY_DECIMALS


@dataclass(frozen=True)
class AnswerRow:
    """The answer for one photo, or `error`, the reason why there is none."""

    file: str
    label: str = ""
    probabilities: tuple[float, ...] = ()  # in the order of the model's labels; empty without an answer
    is_certain: bool = False
    prediction_set: tuple[str, ...] = ()
    is_in_distribution: bool = False
    ood_score: float = 0.0
    error: str = ""

    @property
    def probability(self) -> float:
        return max(self.probabilities)

    def ranked(self, labels: Sequence[str]) -> list[tuple[str, float]]:
        """(label, probability) pairs, the most probable first."""
        pairs = zip(labels, self.probabilities, strict=True)
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0] != self.label))


def row_of(file: str, prediction: Prediction) -> AnswerRow:
    return AnswerRow(
        file,
        prediction.label,
        tuple(round(float(each), PROBABILITY_DECIMALS) for each in prediction.probabilities),
        prediction.is_certain,
        tuple(prediction.prediction_set),
        prediction.is_in_distribution,
        round(prediction.ood_score, OOD_SCORE_DECIMALS),
    )


def object_of(row: AnswerRow, labels: Sequence[str]) -> dict[str, Any]:
    """The fields of the endpoint's answer, or `error`, beside `file`."""
    if row.error:
        return {"file": row.file, "error": row.error}
    ranked = [{"label": label, "probability": probability} for label, probability in row.ranked(labels)]
    return {
        "file": row.file,
        "predictions": ranked,
        "is_certain": row.is_certain,
        "prediction_set": list(row.prediction_set),
        "is_in_distribution": row.is_in_distribution,
        "ood_score": row.ood_score,
    }

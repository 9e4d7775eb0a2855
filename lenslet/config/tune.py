"""Section `tune`: the objective, the size and the space of the search."""

from dataclasses import dataclass
from typing import Annotated, Literal

from lenslet.config.parsing import Count, ParamsError, Range


@dataclass(frozen=True)
class TuneParams:
    objective: Literal["log_loss", "auc", "accuracy"]
    trials: Count
    backbones: tuple[str, ...]
    optimizers: tuple[Literal["adam", "adamw", "sgd", "rmsprop"], ...]
    hidden_units: tuple[int, ...]
    learning_rate_factor: Range
    weight_decay: Range
    dropout: Range
    label_smoothing: Range
    # Of pictures, in pixels, where train.image_size is auto.
    image_sizes: tuple[Annotated[int, Range(8, 2048)], ...] = (160, 224)

    def __post_init__(self) -> None:
        for key in ("learning_rate_factor", "weight_decay", "dropout", "label_smoothing"):
            ends: Range = getattr(self, key)
            if ends.low > ends.high:
                raise ParamsError(f"tune.{key}.low must not be above high, but is {ends.low:g}")
            if key in ("learning_rate_factor", "weight_decay") and ends.low == 0:
                raise ParamsError(f"tune.{key}.low must be above 0: it is drawn on a log scale")
            if key in ("dropout", "label_smoothing") and ends.high >= 1:
                raise ParamsError(f"tune.{key}.high must be below 1, but is {ends.high:g}")

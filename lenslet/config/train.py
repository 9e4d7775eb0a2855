"""Section `train`: the backbone, the head, fine-tuning and augmentation."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from lenslet.config.parsing import Count, Fraction, LearningRate, Range, Share


@dataclass(frozen=True)
class BackboneParams:
    name: str
    weights: str
    layers_unfrozen: int | Literal["all"]


@dataclass(frozen=True)
class HeadParams:
    hidden_units: int
    dropout: Fraction
    batch_size: Count
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"]
    learning_rate: LearningRate
    weight_decay: float
    label_smoothing: Fraction
    epochs: Count
    patience: int


@dataclass(frozen=True)
class FineTuneParams:
    batch_size: Count
    learning_rate: LearningRate
    warmup_epochs: float
    weight_decay: float
    label_smoothing: Fraction
    epochs: int
    min_steps_per_epoch: int
    patience: int
    min_validation_photos: int


@dataclass(frozen=True)
class AugmentationParams:
    flip: Literal["none", "horizontal", "both"]
    shift: Share
    zoom: Fraction
    contrast: Share
    mixup: float
    mixup_min_photos: int


@dataclass(frozen=True)
class ListParams:
    """How a list of photos is read; `auto` takes usual names."""

    root: str = "auto"
    image_column: str = "auto"
    label_column: str = "auto"
    split_column: str = "auto"
    group_column: str = "none"


@dataclass(frozen=True)
class TrainParams:
    seed: int
    split_seed: int
    image_size: Annotated[int, Range(8, 2048)]
    validation_fraction: Fraction
    test_fraction: Fraction
    class_weights: Literal["none", "balanced"]
    backbone: BackboneParams
    head: HeadParams
    fine_tune: FineTuneParams
    augmentation: AugmentationParams
    # Absent from the records of version 0.1.0.
    leaks: Literal["drop", "keep", "refuse"] = "drop"
    drop_small_classes: int = 0
    list: ListParams = field(default_factory=ListParams)

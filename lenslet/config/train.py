"""Section `train`: the backbone, the head, fine-tuning and augmentation."""

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Annotated, Literal

from lenslet.config.parsing import Count, Fraction, LearningRate, ParamsError, Range, Seed, Share

# Rows of lenslet/network/backbones.py, which takes seconds to import; a test holds both equal.
BACKBONE_NAMES = (
    "mobilenet_v2",
    "mobilenet_v2_035",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "efficientnet_v2_b0",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "resnet50",
    "vgg16",
    "small_cnn",
)


@dataclass(frozen=True)
class BackboneParams:
    name: str
    weights: str
    layers_unfrozen: int | Literal["all"]

    def __post_init__(self) -> None:
        if self.name not in BACKBONE_NAMES:
            close = get_close_matches(self.name, BACKBONE_NAMES, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are: {', '.join(BACKBONE_NAMES)}"
            raise ParamsError(f"train.backbone.name: there is no backbone {self.name!r}; {hint}")


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
    solver: Literal["auto", "gradient", "logistic"] = "gradient"  # of records that do not name it


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
    min_photos_per_class: int = 0  # of records that do not name it
    ema: Annotated[float, Range(0, 0.99999)] = 0.0


@dataclass(frozen=True)
class AugmentationParams:
    flip: Literal["none", "horizontal", "both"]
    shift: Share
    zoom: Fraction
    contrast: Share
    mixup: float
    mixup_min_photos: int
    # Absent from the records of versions before 0.3.0.
    rotation: Annotated[float, Range(0, 180)] = 0.0
    shear: Share = 0.0
    brightness: Share = 0.0
    hue: Annotated[float, Range(0, 0.5)] = 0.0
    blur: Annotated[float, Range(0, 2)] = 0.0
    noise: Share = 0.0
    jpeg: Fraction = 0.0
    cutout: Fraction = 0.0
    operations: Annotated[int, Range(0, 4)] = 0


@dataclass(frozen=True)
class DistillParams:
    """Distillation: soft labels from other models, mixed with the labels."""

    teachers: str = "none"
    share: Share = 0.5
    temperature: Annotated[float, Range(0.1, 20)] = 1.0
    doubtful_weight: Share = 1.0


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
    seed: Seed
    split_seed: Seed
    image_size: Annotated[int | Literal["auto"], Range(8, 2048)]
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
    training_fold: str = "all"
    distill: DistillParams = field(default_factory=DistillParams)
    calibration: Literal["auto", "validation", "out_of_fold"] = "validation"

    def __post_init__(self) -> None:
        if self.training_fold != "all" and not self.fold:
            raise ParamsError(
                f"train.training_fold must be all, or k/n with k from 1 to n, not {self.training_fold!r}"
            )

    @property
    def input_size(self) -> int:
        """`image_size`, where it is a number: of a network, of photos that are read. Raises: ParamsError."""
        if self.image_size == "auto":
            raise ParamsError("train.image_size is auto: it is known when the photos are read")
        return self.image_size

    @property
    def fold(self) -> tuple[int, int] | None:
        """(k, n) of training_fold k/n; None for all photos."""
        parts = re.fullmatch(r"(\d{1,3})/(\d{1,3})", self.training_fold)
        fold = (int(parts[1]), int(parts[2])) if parts else None
        return fold if fold and 1 <= fold[0] <= fold[1] else None

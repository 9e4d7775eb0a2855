"""Learning rates for the search: one sweep per backbone and optimizer."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import keras
import optuna
from tqdm import tqdm

from lenslet.config import Params, ParamsError, TrainParams
from lenslet.dataset.dataset import Dataset
from lenslet.network.assembly import build_network, set_head
from lenslet.network.backbones import build_backbone
from lenslet.training.features import LabelledFeatures, head_features
from lenslet.training.head_fit import fit_head
from lenslet.training.lr_finder import LearningRateNotFound, Sweep, sweep_head, sweep_network
from lenslet.tuning.space import searched_name, three_digits, with_backbone

FeaturesByBackbone = Mapping[
    str, tuple[LabelledFeatures, LabelledFeatures]
]  # of training and validation photos


def features_by_backbone(
    datasets: Mapping[int, Dataset], params: TrainParams, backbones: list[str], cache: Path
) -> FeaturesByBackbone:
    """Features of the training and validation photos by each backbone, computed where `cache` has none.

    `datasets`: size of the pictures → the same photos at this size. Returns: by `searched_name`.
    Raises: WeightsUnavailable.
    """
    features = {}
    for size, dataset in datasets.items():
        for name in backbones:
            backbone = build_backbone(replace(params.backbone, name=name))
            key = searched_name(name, size, datasets)
            features[key] = head_features(backbone, dataset, with_backbone(params, name, size), cache)
    return features


def learning_rate_sweep(dataset: Dataset, params: TrainParams, fine_tuning: bool, cache: Path) -> Sweep:
    """Sweep learning rates on the head or, if `fine_tuning`, on the whole network after its head was fitted.

    Raises: ParamsError if there is no head to sweep; WeightsUnavailable; LearningRateNotFound.
    """
    name, classes, head = params.backbone.name, len(dataset.labels), params.head
    features = (
        features_by_backbone({dataset.image_size: dataset}, params, [name], cache)[name]
        if params.backbone.weights != "none"
        else None
    )
    keras.utils.set_random_seed(params.seed)
    if fine_tuning:
        network = build_network(build_backbone(params.backbone), classes, params)
        if features:
            set_head(network, fit_head(*features, classes, head, params.class_weights)[0])
        return sweep_network(network, dataset, params)
    if not features:
        raise ParamsError("a backbone without weights has no head to find a rate for: add --fine-tune")
    return sweep_head(features[0], classes, head, params.class_weights)


def suggested_rates(
    study: optuna.Study, features: FeaturesByBackbone, classes: int, params: Params
) -> Mapping[str, float]:
    """ "backbone optimizer" → the learning-rate finder's suggestion, stored in the study for processes that join it.

    Raises: LearningRateNotFound.
    """
    rates: dict[str, float] = study.user_attrs.get("suggested_rates", {})
    if rates:
        return rates
    for name, (train, _) in tqdm(
        features.items(), "learning rates", unit=" backbones", leave=False, disable=None
    ):
        for optimizer in params.tune.optimizers:
            keras.utils.set_random_seed(params.train.seed)
            head = replace(params.train.head, optimizer=optimizer)
            try:
                seen = sweep_head(train, classes, head, params.train.class_weights)
            except LearningRateNotFound as error:
                tqdm.write(f"{name} with {optimizer} is left out: {error}")
            else:
                rates[f"{name} {optimizer}"] = three_digits(seen.suggestion)
    if not rates:
        raise LearningRateNotFound("no backbone has a learning rate with any optimizer of tune.optimizers")
    study.set_user_attr("suggested_rates", rates)
    return rates

"""The network: scaling, backbone and head in one graph with outputs `probabilities` and `activation_map`."""

from collections.abc import Sequence
from dataclasses import replace

import keras
import numpy as np
from numpy.typing import NDArray

from lenslet.config import BackboneParams, TrainParams
from lenslet.network.backbones import BACKBONES, build_backbone
from lenslet.network.devices import Acceleration

EPSILON = 1e-12


def build_network(backbone: keras.Model, classes: int, params: TrainParams) -> keras.Model:
    """Put scaling and head around a backbone from `build_backbone`.

    Input `image`: uint8 RGB (batch, size, size, 3). Outputs: `probabilities` (batch, classes) and, for a head
    without hidden units, `activation_map` (batch, h, w, classes) whose mean over h and w is the logits: a 1 × 1
    convolution before the average is the same function as a dense layer after it (Zhou et al. 2016).
    """
    image, feature_map = _feature_map(backbone, params)
    if params.head.hidden_units:
        logits = _hidden_head(feature_map, classes, params)
        return keras.Model(image, {"probabilities": _softmax(logits)})
    # Whole channels are dropped, as dropout after the average would do.
    dropped = keras.layers.SpatialDropout2D(params.head.dropout)(feature_map)
    activation_map = keras.layers.Conv2D(classes, 1, name="head")(dropped)
    logits = keras.layers.GlobalAveragePooling2D(name="logits")(activation_map)
    return keras.Model(image, {"probabilities": _softmax(logits), "activation_map": activation_map})


def initial_network(
    params: TrainParams, classes: int, accelerated: Acceleration, weights: str | None = None
) -> tuple[keras.Model, keras.Model]:
    """The backbone with its initial weights and the network around it, on the accelerated devices, by `params.seed`.

    `weights`: a .keras file, in place of the registered model that `params` may name. Raises: WeightsUnavailable.
    """
    keras.utils.set_random_seed(params.seed)
    with accelerated.strategy.scope():
        backbone = build_backbone(replace(params.backbone, weights=weights or params.backbone.weights))
        return backbone, build_network(backbone, classes, params)


def build_feature_extractor(backbone: keras.Model, params: TrainParams) -> keras.Model:
    """uint8 RGB (batch, size, size, 3) → the backbone's average-pooled features (batch, channels)."""
    image, feature_map = _feature_map(backbone, params)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(feature_map))


def _feature_map(backbone: keras.Model, params: TrainParams) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    image = keras.Input((params.input_size, params.input_size, 3), dtype="uint8", name="image")
    return image, backbone(BACKBONES[params.backbone.name].scaling(image))


def _hidden_head(feature_map: keras.KerasTensor, classes: int, params: TrainParams) -> keras.KerasTensor:
    # 1 × 1 convolutions instead of dense layers: TFLite's FULLY_CONNECTED is what old runtimes refuse.
    pooled = keras.layers.GlobalAveragePooling2D(keepdims=True)(feature_map)
    hidden = keras.layers.Conv2D(params.head.hidden_units, 1, activation="relu", name="hidden")(pooled)
    dropped = keras.layers.Dropout(params.head.dropout)(hidden)
    return keras.layers.Flatten(name="logits")(keras.layers.Conv2D(classes, 1, name="head")(dropped))


def _softmax(logits: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.Softmax(name="probabilities")(logits)


def logits_of(network: keras.Model) -> keras.Model:
    """The same layers with `logits` (batch, classes) as the only output, which training optimises."""
    return keras.Model(network.input, network.get_layer("logits").output)


def logits_and_features_of(network: keras.Model) -> keras.Model:
    """The same layers with other outputs: `logits`, and the backbone's average-pooled `features` (batch, channels)."""
    features = keras.layers.GlobalAveragePooling2D()(_head_input(network))
    return keras.Model(network.input, {"logits": network.get_layer("logits").output, "features": features})


def served_network(network: keras.Model, temperature: float, subspace: NDArray[np.float32]) -> keras.Model:
    """The same layers with all outputs that serving needs.

    `probabilities`: the softmax of the logits divided by `temperature` (Guo et al. 2017). `logits` (batch, classes).
    `feature_residual` (batch, 1): the share, 0…1, of the features' length that lies outside the `subspace`, orthonormal
    columns of shape (channels, dimensions): the sine of the angle between them (Cook et al. 2020).
    """
    logits = network.get_layer("logits").output
    tempered = keras.layers.Rescaling(1 / temperature, name="temperature")(logits)
    outputs = {"logits": logits, "probabilities": _softmax(tempered)}
    residual = _residual(_head_input(network), subspace)
    return keras.Model(network.input, {**network.output, **outputs, "feature_residual": residual})


def _head_input(network: keras.Model) -> keras.KerasTensor:
    first = next(layer for layer in network.layers if layer.name in ("hidden", "head"))
    return first.input


def _residual(feature_map: keras.KerasTensor, subspace: NDArray[np.float32]) -> keras.KerasTensor:
    pooled = keras.layers.GlobalAveragePooling2D(keepdims=True)(feature_map)
    # A 1 × 1 convolution, as in the head.
    projection = keras.layers.Conv2D(subspace.shape[1], 1, use_bias=False, name="subspace")
    inside = keras.ops.sum(keras.ops.square(projection(pooled)), axis=(1, 2, 3))
    projection.set_weights([subspace[np.newaxis, np.newaxis]])
    whole = keras.ops.sum(keras.ops.square(pooled), axis=(1, 2, 3))
    # Features that are all zero, as of a backbone that sees nothing, lie outside.
    outside = keras.ops.maximum(1 - inside / (whole + EPSILON), 0)
    return keras.ops.sqrt(outside)[:, np.newaxis]


def set_head(network: keras.Model, kernels: Sequence[NDArray[np.float32]]) -> None:
    """Put a dense head's weights from `fit_head`, [kernel, bias] per layer, into the network's convolutions."""
    layers = [layer for layer in network.layers if layer.name in ("hidden", "head")]
    for layer, kernel, bias in zip(layers, kernels[::2], kernels[1::2], strict=True):
        layer.set_weights([kernel[np.newaxis, np.newaxis], bias])


def unfreeze(network: keras.Model, params: BackboneParams) -> None:
    """Make all layers of the backbone trainable, or its last N, as `params.layers_unfrozen` says."""
    backbone = network.get_layer("backbone")
    backbone.trainable = True
    count = len(backbone.layers)
    first = 0 if params.layers_unfrozen == "all" else max(0, count - params.layers_unfrozen)
    # BatchNorm keeps its pretrained statistics: small batches would spoil them. Calling the backbone with
    # training=False would not do: Keras 3 hands the outer model's flag down to every layer inside.
    keeps_statistics = params.weights != "none"
    for number, layer in enumerate(backbone.layers):
        is_batch_norm = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = number >= first and not (is_batch_norm and keeps_statistics)

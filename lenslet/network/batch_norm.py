"""Convolutions that are followed by BatchNorm: which they are, and their kernels at He scale."""

from collections.abc import Iterator

import keras
import numpy as np
from numpy.typing import NDArray

# A channel whose kernel is this small beside the layer's median is dead: scaled up, its noise would be trained.
DEAD_CHANNEL = 0.01


def normalized_convolutions(
    model: keras.Model,
) -> Iterator[tuple[keras.layers.Layer, keras.layers.BatchNormalization]]:
    """Each linear convolution of `model` whose output goes into a BatchNorm and nowhere else, with that BatchNorm."""
    for norm in model.layers:
        if not isinstance(norm, keras.layers.BatchNormalization) or not (norm.scale and norm.center):
            continue
        convolution = norm.input._keras_history.operation
        is_linear = getattr(convolution, "activation", None) is keras.activations.linear
        is_convolution = type(convolution) in (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
        if is_convolution and is_linear and len(convolution._outbound_nodes) == 1:
            yield convolution, norm


def rescale_to_he(model: keras.Model) -> None:
    """Give every kernel that BatchNorm follows He scale, and let the BatchNorm take it back: the same function.

    Each output channel's weights get a root mean square of √(2 / fan-in) (He et al. 2015), so that one learning
    rate fits all layers, whatever scale the source of the weights left them in.
    """
    for convolution, norm in normalized_convolutions(model):
        kernel, *bias = (weight.astype(np.float64) for weight in convolution.get_weights())
        gamma, beta, mean, variance = (weight.astype(np.float64) for weight in norm.get_weights())
        is_depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
        height, width, channels, multiplier = kernel.shape
        # Output channels last: a depthwise kernel's are (channels, multiplier).
        columns = kernel.reshape(height * width if is_depthwise else height * width * channels, -1)
        factor = _he_factor(columns)
        by_channel = factor.reshape(channels, multiplier) if is_depthwise else factor
        scaled = factor**2 * variance
        gamma *= np.sqrt((scaled + norm.epsilon) / (variance + norm.epsilon)) / factor
        convolution.set_weights([kernel * by_channel, *(each * factor for each in bias)])
        norm.set_weights([gamma, beta, mean * factor, scaled])


def _he_factor(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Factors that bring each column, shape (fan-in, channels), to He scale; 1 for dead channels."""
    size = np.sqrt(np.mean(columns**2, axis=0))
    is_alive = size > DEAD_CHANNEL * np.median(size)
    factor: NDArray[np.float64] = np.where(
        is_alive, np.sqrt(2 / len(columns)) / np.where(is_alive, size, 1), 1.0
    )
    return factor

"""Frozen BatchNorm folded into the convolutions before it while a network is fine-tuned: the same function, faster.

A frozen BatchNorm is a constant scale and shift of each channel, which costs four passes over the feature map in a
training step. Inside the convolution, scaling the kernel costs next to nothing, and the kernel that is trained stays
the unscaled one: gradients and weight decay are those of the original network.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lenslet.network.assembly import logits_of
from lenslet.network.batch_norm import normalized_convolutions


class FoldedConv2D(keras.layers.Conv2D):  # type: ignore[misc]  # Keras ships no types
    """A convolution with a constant scale and shift of its output channels."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        self.scale, self.shift = _constants(self, self.filters)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.nn.bias_add(self.convolution_op(inputs, self.kernel * self.scale), self.shift)


class FoldedDepthwiseConv2D(keras.layers.DepthwiseConv2D):  # type: ignore[misc]
    """A depthwise convolution, of multiplier 1, with a constant scale and shift of its channels."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        self.scale, self.shift = _constants(self, int(input_shape[-1] or 0))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        kernel = self.kernel * self.scale[:, tf.newaxis]
        outputs = keras.ops.depthwise_conv(inputs, kernel, strides=tuple(self.strides), padding=self.padding)
        return tf.nn.bias_add(outputs, self.shift)


class Folded(keras.layers.Layer):  # type: ignore[misc]
    """Stands where the BatchNorm was; with its signature."""

    def call(self, inputs: tf.Tensor, mask: Any = None) -> tf.Tensor:
        return inputs


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """A model of the same function as `model`, in which convolutions without bias take in the frozen BatchNorm
    that follows them.

    Layers that are not folded are shared with `model`; of the others, `copy_kernels` brings home what was trained.
    """
    pairs = {convolution.name: (convolution, norm) for convolution, norm in _foldable(model)}
    norms = {norm.name for _, norm in pairs.values()}

    def folded(layer: keras.layers.Layer) -> keras.layers.Layer:
        if layer.name in pairs:
            is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            kind = FoldedDepthwiseConv2D if is_depthwise else FoldedConv2D
            return kind.from_config({**layer.get_config(), "dtype": layer.dtype_policy})
        return Folded(name=layer.name) if layer.name in norms else layer

    copy = keras.models.clone_model(model, clone_function=folded)
    for name, (convolution, norm) in pairs.items():
        gamma, beta, mean, variance = norm.get_weights()
        scale = gamma / np.sqrt(variance + norm.epsilon)
        copy.get_layer(name).set_weights([convolution.get_weights()[0], scale, beta - mean * scale])
        copy.get_layer(name).trainable = convolution.trainable
    copy.name = model.name
    return copy


def fold_network(network: keras.Model) -> keras.Model:
    """The network that training optimises: `logits_of(network)` with the backbone folded; `unfold` copies it back."""
    backbone = network.get_layer("backbone")
    folded = fold_batch_norm(backbone)
    return keras.models.clone_model(
        logits_of(network), clone_function=lambda layer: folded if layer is backbone else layer
    )


def unfold(trained: keras.Model, network: keras.Model) -> None:
    """Give `network` what `trained`, made from it by `fold_network`, has learned."""
    copy_kernels(trained.get_layer("backbone"), network.get_layer("backbone"))


def copy_kernels(folded: keras.Model, model: keras.Model) -> None:
    """Give `model` the kernels that `folded`, its copy by `fold_batch_norm`, was trained to."""
    for convolution, _ in _foldable(model):
        convolution.set_weights([folded.get_layer(convolution.name).kernel])


def _foldable(model: keras.Model) -> list[tuple[keras.layers.Layer, keras.layers.BatchNormalization]]:
    return [
        (convolution, norm)
        for convolution, norm in normalized_convolutions(model)
        if not norm.trainable
        and not convolution.use_bias
        and getattr(convolution, "depth_multiplier", 1) == 1
        and convolution.data_format == "channels_last"
    ]


def _constants(layer: keras.layers.Layer, channels: int) -> tuple[keras.Variable, keras.Variable]:
    return (
        layer.add_weight(name="scale", shape=(channels,), initializer="ones", trainable=False),
        layer.add_weight(name="shift", shape=(channels,), initializer="zeros", trainable=False),
    )

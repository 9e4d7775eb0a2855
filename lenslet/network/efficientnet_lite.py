"""EfficientNet-Lite: EfficientNet without squeeze-excite and swish, made for TFLite (Google 2020)."""

import math

import keras
from keras import layers

DEPTH = {0: 1.0, 1: 1.1}  # how many times the blocks of Lite0; both have its width
STAGES = (  # blocks, kernel, stride of the first block, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM_CHANNELS, HEAD_CHANNELS = 32, 1280


def efficientnet_lite(
    version: int, input_shape: tuple[int | None, ...], include_top: bool = False, weights: None = None
) -> keras.Model:
    """The convolutional part of EfficientNet-Lite `version`. Keras's constructors give the signature.

    Returns: a model float32 (batch, height, width, 3), scaled to (image − 127) / 128 → feature map of stride 32,
    1,280 channels. Convolution, BatchNorm and ReLU6 only.
    """
    image = keras.Input(input_shape)
    stem = layers.Conv2D(STEM_CHANNELS, 3, strides=2, padding="same", use_bias=False, name="stem")(image)
    features, channels = _normalized(stem, "stem"), STEM_CHANNELS
    for number, (kernel, stride, expansion, wanted) in enumerate(_blocks(DEPTH[version])):
        features = _block(features, f"block{number:02d}", (kernel, stride, expansion), channels, wanted)
        channels = wanted
    head = layers.Conv2D(HEAD_CHANNELS, 1, padding="same", use_bias=False, name="head")(features)
    return keras.Model(image, _normalized(head, "head"), name=f"efficientnet_lite{version}")


def _blocks(depth: float) -> list[tuple[int, int, int, int]]:
    """Kernel, stride, expansion and channels of each block. The first and the last stage are never deepened."""
    blocks = []
    for stage, (count, kernel, stride, expansion, channels) in enumerate(STAGES):
        is_fixed = stage in (0, len(STAGES) - 1)
        for number in range(count if is_fixed else math.ceil(depth * count)):
            blocks.append((kernel, stride if number == 0 else 1, expansion, channels))
    return blocks


def _block(
    features: keras.KerasTensor, name: str, shape: tuple[int, int, int], channels: int, wanted: int
) -> keras.KerasTensor:
    """An inverted residual (Sandler et al. 2018): expand, depthwise convolution, project, add."""
    kernel, stride, expansion = shape
    inner = features
    if expansion > 1:
        expand = layers.Conv2D(channels * expansion, 1, padding="same", use_bias=False, name=f"{name}_expand")
        inner = _normalized(expand(inner), f"{name}_expand")
    depthwise = layers.DepthwiseConv2D(
        kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise"
    )
    inner = _normalized(depthwise(inner), f"{name}_depthwise")
    project = layers.Conv2D(wanted, 1, padding="same", use_bias=False, name=f"{name}_project")
    inner = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_project_bn")(project(inner))
    if stride == 1 and channels == wanted:
        inner = layers.Add(name=f"{name}_add")([inner, features])
    return inner


def _normalized(features: keras.KerasTensor, name: str) -> keras.KerasTensor:
    normalized = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(features)
    return layers.ReLU(6.0, name=f"{name}_relu")(normalized)

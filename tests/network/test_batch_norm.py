"""Kernels at He scale: the same function, other weights."""

import numpy as np
import pytest

pytestmark = pytest.mark.slow


def small_network():
    import keras

    image = keras.Input((8, 8, 3))
    features = keras.layers.Conv2D(4, 3, use_bias=True, name="full")(image)
    features = keras.layers.BatchNormalization(name="full_bn")(features)
    features = keras.layers.DepthwiseConv2D(3, use_bias=False, name="depthwise")(features)
    features = keras.layers.BatchNormalization(name="depthwise_bn")(features)
    features = keras.layers.Conv2D(2, 1, activation="relu", name="not_linear")(features)
    features = keras.layers.BatchNormalization(name="not_linear_bn")(features)
    network = keras.Model(image, features)
    random = np.random.default_rng(5)
    for layer in network.layers:
        layer.set_weights([random.uniform(0.1, 3, weight.shape) for weight in layer.get_weights()])
    return network


def test_convolutions_before_batch_norm_are_found() -> None:
    from lenslet.network.batch_norm import normalized_convolutions

    pairs = [(convolution.name, norm.name) for convolution, norm in normalized_convolutions(small_network())]
    assert pairs == [("full", "full_bn"), ("depthwise", "depthwise_bn")]


def test_he_scale_changes_kernels_and_no_output() -> None:
    from lenslet.network.batch_norm import rescale_to_he

    network = small_network()
    pixels = np.random.default_rng(1).uniform(-1, 1, (2, 8, 8, 3))
    before, untouched = network.predict(pixels, verbose=0), network.get_layer("not_linear").get_weights()
    rescale_to_he(network)
    np.testing.assert_allclose(network.predict(pixels, verbose=0), before, rtol=1e-4)
    # √(2 / 27) and √(2 / 9): 3 × 3 pixels of three channels, and of one
    full, depthwise = (network.get_layer(name).get_weights()[0] for name in ("full", "depthwise"))
    np.testing.assert_allclose(np.sqrt((full**2).mean(axis=(0, 1, 2))), 0.27217, rtol=1e-4)
    np.testing.assert_allclose(np.sqrt((depthwise**2).mean(axis=(0, 1)))[:, 0], 0.47140, rtol=1e-4)
    np.testing.assert_array_equal(network.get_layer("not_linear").get_weights()[0], untouched[0])


def test_dead_channels_are_not_scaled_up() -> None:
    from lenslet.network.batch_norm import rescale_to_he

    network = small_network()
    kernel, bias = network.get_layer("full").get_weights()
    kernel[..., 2] = 0
    kernel[0, 0, 0, 2] = 1e-6
    network.get_layer("full").set_weights([kernel, bias])
    rescale_to_he(network)
    assert network.get_layer("full").get_weights()[0][0, 0, 0, 2] == np.float32(1e-6)


@pytest.mark.parametrize("name", ["mobilenet_v2_035", "efficientnet_lite0"])
def test_he_scale_of_a_whole_backbone_is_exact(name: str) -> None:
    """Also where a source has BatchNorm folded in: kernels of another scale in every layer."""
    from lenslet.config import BackboneParams
    from lenslet.network.backbones import build_backbone
    from lenslet.network.batch_norm import normalized_convolutions, rescale_to_he

    backbone = build_backbone(BackboneParams(name, "none", "all"))
    random = np.random.default_rng(4)
    for number, (convolution, norm) in enumerate(normalized_convolutions(backbone)):
        scale = 0.3 if number % 2 else 3.0
        shape = convolution.get_weights()[0].shape
        convolution.set_weights([random.normal(0, scale * np.sqrt(2 / fan_in(convolution)), shape)])
        gamma, beta, mean, variance = norm.get_weights()
        norm.set_weights([gamma, beta, mean, scale**2 * variance])
    pixels = np.random.default_rng(1).uniform(-1, 1, (1, 64, 64, 3))
    before = backbone.predict(pixels, verbose=0)
    rescale_to_he(backbone)
    after = backbone.predict(pixels, verbose=0)
    assert np.abs(before).max() > 0.01
    np.testing.assert_allclose(after, before, atol=1e-3)
    for convolution, _ in normalized_convolutions(backbone):
        assert (
            0.2 < np.sqrt((convolution.get_weights()[0] ** 2).mean()) * np.sqrt(fan_in(convolution)) < 1.6
        )  # √2 but for dead channels


def fan_in(convolution) -> int:
    height, width, channels, _ = convolution.get_weights()[0].shape
    return height * width * (1 if "depthwise" in convolution.name else channels)
